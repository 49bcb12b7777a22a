"""Turns an exported model into a fixture that is small: the graph as the exporter wrote it, the weights as a recipe.

A large tensor of numbers is replaced by external data whose location says how to make it, `uniform SEED LOW HIGH`: element i is

    LOW + (HIGH - LOW) * u,  u = (splitmix64(SEED + i) >> 40) * 2^-24

in f32, each operation rounded once, where splitmix64(x) is the output function of SplitMix64 (Steele, Lea and Flood 2014) for the state
x * 0x9E3779B97F4A7C15. A test makes the same bytes.

Weights are drawn so that activations keep their size (He's rule for fan-in), scales and variances around 1.
"""

import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper

# Tensors with fewer elements stay in the file.
LARGE = 48


def uniform(seed, low, high, count):
    with np.errstate(over="ignore"):
        state = (np.uint64(seed) + np.arange(count, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    unit = (state >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return np.float32(low) + (np.float32(high) - np.float32(low)) * unit


def write(folder, model, inputs, keep=()):
    """Writes the fixture of `model`, with ONNX Runtime's answers to `inputs` (arrays by name, or recipes with a shape)."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    strip(model)
    uses = consumers(model)
    filled, recipe = onnx.ModelProto(), onnx.ModelProto()
    filled.CopyFrom(model)
    for index, (tensor, whole) in enumerate(zip(tensors(model), tensors(filled))):
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.size < LARGE or tensor.name in keep:
            continue
        if (array == array.flat[0]).all() and tensor.name not in uses:
            continue
        seed = (index + 1) << 32
        low, high = bounds(array, *uses.get(tensor.name, (None, None, 0)))
        data = uniform(seed, low, high, array.size)
        whole.CopyFrom(numpy_helper.from_array(data.reshape(array.shape), tensor.name))
        for name in ("raw_data", "float_data"):
            tensor.ClearField(name)
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=f"uniform {seed} {float(low)!r} {float(high)!r}")
        tensor.external_data.add(key="length", value=str(data.nbytes))
    (folder / "model.onnx").write_bytes(model.SerializeToString())

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        filled.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    arrays = {}
    for index, value in enumerate(session.get_inputs()):
        given = inputs[value.name]
        if isinstance(given, tuple):
            shape, low, high = given
            given = uniform(index + 1, low, high, int(np.prod(shape))).reshape(shape)
            line = f"{value.name} {' '.join(map(str, shape))}\nuniform {index + 1} {low!r} {high!r}\n"
            (folder / f"input_{index}.txt").write_text(line)
        else:
            save(folder / f"input_{index}.pb", value.name, given)
        arrays[value.name] = given
    names = [value.name for value in session.get_outputs()]
    for index, (name, array) in enumerate(zip(names, session.run(None, arrays))):
        save(folder / f"output_{index}.pb", name, array)


def save(path, name, array):
    path.write_bytes(numpy_helper.from_array(np.asarray(array), name).SerializeToString())


def strip(model):
    """Drops what exporters say about the machine that they ran on."""
    for node in nodes(model.graph, model.functions):
        node.doc_string = ""
        kept = [entry for entry in node.metadata_props if "trace" not in entry.key and "fx_node" not in entry.key]
        kept = [(entry.key, entry.value) for entry in kept if "/" not in entry.value]
        del node.metadata_props[:]
        for key, value in kept[:2]:
            node.metadata_props.add(key=key, value=value)
    model.graph.doc_string = ""
    del model.metadata_props[:]


def nodes(graph, functions=()):
    for holder in (graph, *functions):
        for node in holder.node:
            yield node
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    yield from nodes(attribute.g)


def tensors(model):
    """Every initialiser and every constant of the main graph."""
    yield from model.graph.initializer
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    attribute.t.name = node.output[0]
                    yield attribute.t


def consumers(model):
    """What reads each tensor: operator, node, and at which place."""
    uses = {}
    renamed = {}
    for node in model.graph.node:
        if node.op_type in ("Identity", "Transpose"):
            renamed[node.output[0]] = node.input[0]
    for node in nodes(model.graph):
        for place, name in enumerate(node.input):
            while name in renamed:
                name = renamed[name]
            uses.setdefault(name, (node.op_type, node, place))
    return uses


def bounds(array, operator, node, place):
    """From where to where to draw a tensor's elements."""
    if operator == "BatchNormalization" and place in (1, 4) or operator in (
        "LayerNormalization",
        "InstanceNormalization",
        "GroupNormalization",
    ) and place == 1:
        return np.float32(0.5), np.float32(1.5)
    if array.ndim < 2 or array.size == max(array.shape):
        return np.float32(-0.1), np.float32(0.1)
    attributes = {attribute.name: attribute for attribute in node.attribute} if node is not None else {}
    if operator == "Conv":
        fan = np.prod(array.shape[1:])
    elif operator == "ConvTranspose":
        fan = array.shape[0] * max(1, np.prod(array.shape[2:]) // 4)
    elif operator == "Gemm":
        fan = array.shape[1] if "transB" in attributes and attributes["transB"].i else array.shape[0]
    elif operator in ("LSTM", "GRU", "RNN"):
        fan = array.shape[-1] * 2
    elif operator in ("Gather", "Add"):
        fan = 6
    else:
        fan = array.shape[-2]
    limit = np.float32(np.sqrt(6.0 / fan if operator == "Conv" else 3.0 / fan))
    return -limit, limit
