"""What ONNX Runtime says of trained models that packages ship, for real inputs: the references of `real_models.rs`.

    python generate.py FOLDER

Writes a folder for each model in the layout of ONNX's own tests: `model.onnx`, and for each call `test_data_set_N/` with
`input_I.pb` and `output_I.pb`, in the model's order. A file `carried.txt` names, line by line, the input and output of a
state: from the second call on, the input is what the runtime under test gave as that output the call before.

ONNX Runtime runs on one thread with its graph optimisations off, so that it computes the graph as it is written. Inputs are text, bytes,
drawings and sounds that this script makes, the same each time. Where a network's answer has a meaning (the text of
an image, the language of a file, which sentences are alike), the script checks it: the inputs are what the network was trained for.
"""

import io
import json
import pathlib
import sys
import zipfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from shipped import PACKAGES, frames, magika_features, minilm_graph, minilm_tokens, shipped

OUT = pathlib.Path(sys.argv[1])


class Case:
    """A model with its calls; each is answered by ONNX Runtime and written down."""

    def __init__(self, name, model, carried=()):
        self.folder = OUT / name
        self.folder.mkdir(parents=True)
        (self.folder / "model.onnx").write_bytes(model)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.carried = list(carried)
        if self.carried:
            lines = [f"{source} {target}\n" for source, target in self.carried]
            (self.folder / "carried.txt").write_text("".join(lines))
        self.state = {}
        self.calls = 0

    def call(self, **inputs):
        """Answers by name, for these inputs and the state so far."""
        inputs = {**inputs, **self.state}
        folder = self.folder / f"test_data_set_{self.calls}"
        folder.mkdir()
        self.calls += 1
        for index, value in enumerate(self.session.get_inputs()):
            write(folder / f"input_{index}.pb", value.name, inputs[value.name])
        names = [value.name for value in self.session.get_outputs()]
        outputs = dict(zip(names, self.session.run(None, inputs)))
        for index, name in enumerate(names):
            write(folder / f"output_{index}.pb", name, outputs[name])
        self.state = {target: outputs[source] for target, source in self.carried}
        return outputs


def write(path, name, array):
    path.write_bytes(numpy_helper.from_array(np.asarray(array), name).SerializeToString())


# Which kind of file is it?


def magika():
    case = Case("magika", shipped("magika"))
    png = io.BytesIO()
    drawing("APPLES", (64, 32)).save(png, "png")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("greeting.txt"), "hello " * 400)
    python = b"import math\n\n\ndef area(radius: float) -> float:\n    return math.pi * radius ** 2\n" * 4
    html = b"<!DOCTYPE html>\n<html><head><title>Apples</title></head>\n<body><p>Pears</p></body></html>\n"
    files = [python, html, png.getvalue(), archive.getvalue(), bytes(range(256)) * 20]

    # Its labels that the files above must get, by their place in its list.
    config = PACKAGES / "magika/models/standard_v3_3/config.min.json"
    labels = json.loads(config.read_text())["target_labels_space"]
    answers = case.call(bytes=np.stack([magika_features(data) for data in files]))
    answers = answers[next(iter(answers))]
    found = [labels[row.argmax()] for row in answers[:4]]
    assert found == ["python", "html", "png", "zip"], found
    case.call(bytes=magika_features(html)[None])


# Is somebody speaking?


def silero():
    for name in (
        "silero-vad",
        "silero-vad-16k-op15",
        "silero-vad-half",
        "silero-vad-op18-ifless",
        "silero-vad-openvino-16k",
    ):
        model = shipped(name)
        takes_rate = any(value.name == "sr" for value in onnx.load_from_string(model).graph.input)
        # Those that take a rate have two networks in them, for two rates.
        for rate in (16000, 8000) if name in ("silero-vad", "silero-vad-op18-ifless") else (16000,):
            case = Case(
                name if rate == 16000 else f"{name}-8k", model, carried=[("state", "stateN")]
            )
            case.state["state"] = np.zeros((2, 1, 128), np.float32)
            fixed = {"sr": np.array(rate, np.int64)} if takes_rate else {}
            heard = [case.call(input=frame[None], **fixed)["output"].item() for frame in frames(rate)]
            assert max(heard) > 0.5 > min(heard), (name, rate, heard)

    case = Case("silero-vad-16k-sequence", shipped("silero-vad-16k-sequence"), [("h", "hn"), ("c", "cn")])
    case.state = {name: np.zeros((1, 1, 128), np.float32) for name in ("h", "c")}
    for some in np.array_split(frames(16000), 3):
        case.call(input=some)


# What is written there?


def drawing(text, size):
    image = Image.new("RGB", size, (250, 248, 240))
    font = ImageFont.load_default(size=size[1] * 0.6)
    ImageDraw.Draw(image).text((size[1] * 0.2, size[1] * 0.12), text, fill=(20, 20, 60), font=font)
    return image


def pixels(image):
    """Channels first, from -1 to 1, as all the PP-OCR networks take them."""
    array = np.asarray(image, np.float32).transpose(2, 0, 1)[None]
    return array / np.float32(127.5) - np.float32(1)


def pp_ocr():
    # Upright or upside down?
    case = Case("pp-ocr-v2-cls", shipped("pp-ocr-v2-cls"))
    upright = drawing("apples and pears", (192, 48))
    both = np.concatenate([pixels(upright), pixels(upright.rotate(180))])
    answers = case.call(x=both)
    answers = answers[next(iter(answers))]
    assert answers.argmax(1).tolist() == [0, 1], answers

    page = Image.new("RGB", (224, 128), (255, 255, 255))
    page.paste(drawing("APPLES", (140, 40)), (10, 10))
    page.paste(drawing("42 pears", (140, 40)), (60, 75))
    for name in ("pp-ocr-v4-det", "pp-ocr-v6-det"):
        case = Case(name, shipped(name))
        answers = case.call(x=pixels(page))
        answers = answers[next(iter(answers))][0, 0]
        # Text in both lines, none between them.
        assert answers[20:40, 20:140].max() > 0.6 and answers[85:105, 70:190].max() > 0.6, name
        assert answers[56:66].max() < 0.3, name
        case.call(x=pixels(page.resize((96, 64))))

    for name in ("pp-ocr-v4-rec", "pp-ocr-v6-rec"):
        model = shipped(name)
        case = Case(name, model)
        metadata = {entry.key: entry.value for entry in onnx.load_from_string(model).metadata_props}
        characters = ["", *metadata["character"].splitlines(), " "]
        for text, width in (("APPLES 42", 192), ("PEAR", 96)):
            answers = case.call(x=pixels(drawing(text, (width, 48))))
            best = answers[next(iter(answers))][0].argmax(1)
            read = "".join(
                characters[k] for i, k in enumerate(best) if k and (i == 0 or best[i - 1] != k)
            )
            assert read.replace(" ", "") == text.replace(" ", ""), (name, text, read)


# What does a sentence mean?


def minilm():
    case = Case("minilm", minilm_graph())
    sentences = [
        "The orchard's apples are ripe in September.",
        "In autumn the fruit on the trees can be picked.",
        "A validator signs the block it has verified.",
    ]
    inputs = minilm_tokens(sentences)
    vectors = case.call(**inputs)["sentence_embedding"]
    alike, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert alike > 0.4 > 0.2 > other, (alike, other)
    case.call(**minilm_tokens(sentences[2:]))


if __name__ == "__main__":
    magika()
    silero()
    pp_ocr()
    minilm()
