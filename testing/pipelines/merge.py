"""Merged decoders, as Optimum writes them, of the pairs that `generate.py` has exported.

    PYTHONHASHSEED=0 python merge.py

Optimum chooses the names of weights that two graphs share from a set: the seed makes it choose the same ones again.
"""

import pathlib
import sys

import onnx
from onnx import TensorProto, numpy_helper
from optimum.onnx.graph_transformations import merge_decoders

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "exports"))
from fixture import strip, uniform  # noqa: E402


def filled(path, recipes):
    """The graph with its weights, of which `recipes` learns how they are made: Optimum compares them by their bytes."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if not entries:
            continue
        _, seed, low, high = entries["location"].split()
        data = uniform(int(seed), float(low), float(high), int(entries["length"]) // 4)
        recipes[data.tobytes()] = entries["location"]
        tensor.CopyFrom(numpy_helper.from_array(data.reshape(tuple(tensor.dims)), tensor.name))
    return model


def main():
    assert not sys.flags.hash_randomization, "PYTHONHASHSEED=0 is needed"
    for name in ("marian", "gpt2"):
        recipes = {}
        pair = [filled(HERE / name / f"{file}.onnx", recipes) for file in ("decoder_model", "decoder_with_past_model")]
        # the axis that Optimum's exports have under one name in both graphs
        for value in [value for model in pair for value in model.graph.input if value.name == "attention_mask"]:
            value.type.tensor_type.shape.dim[1].dim_param = "sequence_length"
        path = HERE / name / "decoder_model_merged.onnx"
        merged = merge_decoders(*pair, strict=False, save_path=path)
        strip(merged)
        for tensor in merged.graph.initializer:
            recipe = recipes.get(tensor.raw_data)
            if recipe is None:
                continue
            length = len(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=recipe)
            tensor.external_data.add(key="length", value=str(length))
        path.write_bytes(merged.SerializeToString())
        assert path.stat().st_size < 300_000, path.stat().st_size


if __name__ == "__main__":
    main()
