"""Accuracy, size, gas and time of networks before and after `synod model quantize`, as Markdown.

    python report.py SYNOD FOLDER > docs/benchmarks-quantization.md

SYNOD is the program, FOLDER what generate.py has written. Beside each network is what ONNX Runtime's own quantiser (`quantize_static`: QDQ,
u8 activations by min-max, i8 weights for each channel) makes of it with the same samples, run by ONNX Runtime, which also runs the file
that synod wrote.
"""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SYNOD, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])

# Each network, what it is asked, and how many multiply-adds (in thousands of millions) each stage of measurements may take, if fewer than usual.
CASES = {
    "cellar": ("wines", None),
    "fleet": ("windows of motion", None),
    "gate": ("digits and other pictures", None),
    "efficientnet-lite0": ("pieces of photographs", 100),
    "pp-ocr-v2-cls": ("lines of text", None),
    "pp-ocr-v4-rec": ("lines of text, each step", 30),
    "pp-ocr-v4-det": ("pages", 30),
    "pp-ocr-v6-rec": ("lines of text, each step", 30),
    "pp-ocr-v6-det": ("pages", 30),
    "magika": ("kinds of files", None),
    "silero-vad": ("steps of sound", None),
    "minilm": ("subjects of sentences", None),
    "perceptron": ("flowers", None),
}
# Their answer is a map of where text is, which has no class.
MAPS = {"pp-ocr-v4-det", "pp-ocr-v6-det"}
# Operators that are shown of each network: those that cost most.
SHOWN = 3


def synod(*arguments):
    """What a command of synod says, as JSON."""
    command = [SYNOD, "--json", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def quantized(folder, effort, file="int8.onnx", keep="0"):
    """The report of `model quantize`."""
    arguments = [folder / "model.onnx", "-o", folder / file, "--threads", 1, "--keep-float", keep]
    arguments += ["--calibration", folder / "calibration.npz", "--evaluate", folder / "evaluate.npz"]
    if effort is not None:
        arguments += ["--effort", effort]
    if (folder / "labels.npy").exists():
        arguments += ["--labels", folder / "labels.npy"]
    return synod("model", "quantize", *arguments)


def profile(folder, file):
    """Of each operator of a file, on one call: gas and seconds."""
    session = runtime(folder / "model.onnx")
    call = next(calls(session, folder / "evaluate.npz"))
    np.savez(folder / "call.npz", **call)
    steps = synod("model", "run", folder / file, "--input", folder / "call.npz", "--profile", "--threads", 1)["profile"]["steps"]
    operators = {}
    for step in steps:
        name = step["operator"].split("+")[0]  # what is fused with a layer runs in its shadow
        gas, seconds = operators.get(name, (0, 0.0))
        operators[name] = gas + step["gas"], seconds + step["seconds"]
    return operators


def runtime(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def classes(path, folder):
    """The classes that ONNX Runtime gives the samples, one behind the other."""
    session = runtime(path)
    output = session.get_outputs()[0].name
    return np.concatenate([class_of(session.run([output], call)[0]) for call in calls(session, folder / "evaluate.npz")])


def calls(session, path):
    """The inputs of each call: a sample, within the first axis or on an axis of its own (docs/quantization.md)."""
    arrays = np.load(path)
    inputs = session.get_inputs()
    arrays = {value.name: arrays[value.name] for value in inputs}
    for at in range(len(arrays[inputs[0].name])):
        own_axis = lambda value: arrays[value.name].ndim > len(value.shape)
        yield {
            value.name: arrays[value.name][at] if own_axis(value) else arrays[value.name][at : at + 1]
            for value in inputs
        }


def class_of(answer):
    """The class of each row, as `model quantize` finds it."""
    if np.issubdtype(answer.dtype, np.integer):
        return answer.ravel()
    if answer.shape[-1] == 1:
        return (answer > 0.5).astype(np.int64).ravel()
    return answer.argmax(-1).ravel()


def theirs(folder):
    """What ONNX Runtime's quantiser makes of the network."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.calls = calls(runtime(folder / "model.onnx"), folder / "calibration.npz")

        def get_next(self):
            return next(self.calls, None)

    prepared, path = folder / "prepared.onnx", folder / "theirs.onnx"
    model = onnx.load(folder / "model.onnx")
    if model.opset_import[0].version < 13:  # its scales for each channel need it
        model = onnx.version_converter.convert_version(model, 13)
    onnx.save(model, prepared)
    quant_pre_process(prepared, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return path


def elsewhere(folder, model):
    """The classes that ONNX Runtime gives; `None` if it refuses, which is a result too."""
    try:
        return classes(model(), folder)
    except Exception as error:
        print(f"{folder.name}: {error}", file=sys.stderr)
        return None


def percent(right, count):
    return f"{100 * right / count:.2f} %"


def chance(report):
    """The standard error of the points lost, were each answer that changed as likely to become right as wrong (McNemar's test)."""
    answers, agree = report["evaluation"]["answers"], report["evaluation"]["agree"]
    return 100 * (answers - agree) ** 0.5 / answers


def kept_row(folder, effort, plain):
    """The network with as few layers in float as leave the first output 25 dB over its error; `None` if it needs none."""
    if folder.name not in MAPS and 100 * plain["evaluation"]["agree"] >= 99 * plain["evaluation"]["answers"]:
        return None
    try:
        report = quantized(folder, effort, "kept.onnx", "auto:25dB")
    except subprocess.CalledProcessError:
        return [folder.name, "no number of layers is enough", *["–"] * 6]
    float_, int8, answers = report["float"], report["int8"], report["evaluation"]["answers"]
    kept = [row["layer"] for row in report["layers"] if row["kept_float"]]
    lost = "–"
    if "correct" in float_:
        lost = f"{100 * (float_['correct'] - int8['correct']) / answers:.2f} ± {chance(report):.2f}"
    size = int8["graph_bytes"] + int8["weight_bytes"]
    named = ", ".join(kept[:4]) + (", …" if len(kept) > 4 else "")
    costs = [f"{size:,}", f"{int8['execution_gas']:,}", f"{int8['milliseconds']:.3f}"]
    same = "–" if folder.name in MAPS else percent(report["evaluation"]["agree"], answers)
    return [folder.name, f"{len(kept)} of {len(report['layers'])}", named, lost, same, *costs]


def accuracy_row(folder, what, report):
    float_, int8, answers = report["float"], report["int8"], report["evaluation"]["answers"]
    decibels = report["evaluation"].get("decibels")  # of integers, and of answers without a difference, there are none
    decibels = "–" if decibels is None else f"{decibels:.1f}"
    if folder.name in MAPS:
        with np.load(folder / "evaluate.npz") as samples:
            pages = len(samples[samples.files[0]])
        return [f"{folder.name}, {what}", f"{pages:,}", *["–"] * 7, decibels]
    ours_elsewhere = elsewhere(folder, lambda: folder / "int8.onnx")
    float_classes = elsewhere(folder, lambda: folder / "model.onnx")
    others = elsewhere(folder, lambda: theirs(folder))
    row = [f"{folder.name}, {what}", f"{answers:,}"]
    if (folder / "labels.npy").exists():
        labels = np.load(folder / "labels.npy")
        right = lambda found: "–" if found is None else percent((found == labels).sum(), answers)
        lost = 100 * (float_["correct"] - int8["correct"]) / answers
        row += [percent(float_["correct"], answers), percent(int8["correct"], answers), f"{lost:.2f} ± {chance(report):.2f}"]
        row += [right(ours_elsewhere), right(others)]
    else:
        row += ["–"] * 5
    agree = lambda found: "–" if found is None or float_classes is None else percent((found == float_classes).sum(), answers)
    row += [percent(report["evaluation"]["agree"], answers), agree(others)]
    return row + [decibels]


def cost_row(folder, report):
    float_, int8 = report["float"], report["int8"]
    size = lambda of: of["graph_bytes"] + of["weight_bytes"]
    pairs = [
        (size(float_), size(int8)),
        (float_["gas"], int8["gas"]),
        (float_["execution_gas"], int8["execution_gas"]),
    ]
    cells = [f"{a:,} → {b:,} ({b / a:.2f})" for a, b in pairs]
    a, b = float_["milliseconds"], int8["milliseconds"]
    return [folder.name, *cells, f"{a:.3f} → {b:.3f} ({b / a:.2f})"]


def operator_rows(folder):
    """The operators that cost most in gas, as they are and in what the quantiser wrote: gas, milliseconds, and gas of a second."""
    for file, kind in (("model.onnx", "float"), ("int8.onnx", "int8")):
        operators = sorted(profile(folder, file).items(), key=lambda item: -item[1][0])
        gas = sum(of[0] for _, of in operators)
        cells = [
            f"{name} {100 * of[0] / gas:.0f} %, {of[1] * 1e3:.3f} ms, {of[0] / of[1] / 1e6:.0f} Mgas/s"
            for name, of in operators[:SHOWN]
            if of[1] > 0
        ]
        yield [folder.name, kind, f"{gas:,}", "; ".join(cells)]


def choice_row(folder, report):
    most = [f"{row['layer']} {row['decibels']:.1f} dB" for row in report["layers"][:3] if row["decibels"]]
    methods = {}
    for row in report["activations"]:
        methods[row["method"]] = methods.get(row["method"], 0) + 1
    chosen = ", ".join(f"{count} {method}" for method, count in sorted(methods.items()))
    rounding = ("cut off" if report["clipping"] else "whole") + (", biases corrected" if report["bias_correction"] else "")
    return [folder.name, str(report["folded"]), report["equalization"], rounding, chosen, "; ".join(most)]


def translator_rows():
    """What examples/translate/evaluate.py has written of its network: its floats are there only where it is trained."""
    sources = json.loads((ROOT / "examples/translate/score.json").read_text())["sources"]
    for name, source in sources.items():
        (part,) = (of for key, of in source.items() if key.startswith("every "))
        float_, int8 = part["float"], part["int8"]
        cells = [f"{float_[score]} → {int8[score]}" for score in ("chrF", "BLEU")]
        yield [name, str(part["pairs"]), *cells, f"{100 * part['same text in int8 and float']:.0f} %"]


def main():
    accuracy, costs, operators, choices, kept = [], [], [], [], []
    for name, (what, effort) in CASES.items():
        folder = FOLDER / name
        print(f"    {name}", file=sys.stderr, flush=True)
        report = quantized(folder, effort)
        accuracy.append(accuracy_row(folder, what, report))
        costs.append(cost_row(folder, report))
        operators += operator_rows(folder)
        choices.append(choice_row(folder, report))
        kept.append(kept_row(folder, effort, report))
    processor = next(line for line in open("/proc/cpuinfo") if line.startswith("model name")).split(":")[1].strip()
    machine = f"{processor}, {os.cpu_count()} threads, {platform.system()}"
    print(TEXT.format(version=onnxruntime.__version__, date=datetime.date.today(), machine=machine))
    print(ACCURACY)
    header = "network, answers|n|float|int8|points lost|ours in ONNX Runtime|its own quantiser|same class, ours|same class, its own|dB"
    table(header.split("|"), accuracy)
    print(KEPT)
    header = ["network", "layers in float", "which", "points lost", "same class", "bytes", "gas of the execution", "milliseconds"]
    table(header, [row for row in kept if row is not None])
    print(RECORD)
    print(TRANSLATOR)
    table(["source", "pairs", "chrF", "BLEU", "same text"], list(translator_rows()))
    print(COSTS)
    table(["network", "bytes", "gas, first predict", "gas of the execution", "milliseconds, one thread"], costs)
    print(OPERATORS)
    table(["network", "as", "gas of the nodes", "operators that cost most"], operators)
    print(CHOICES)
    table(["network", "nodes folded", "channels equalised", "weights", "ranges", "lose most, alone"], choices)


def table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


TEXT = """# Quantised networks

Made by `cargo xtask bench quantize` on {date}; {machine}. What `synod model quantize` costs in accuracy and saves, on trained networks as
they were published (`testing/quantize/generate.py` says where they come from and makes the samples). Ranges come from the calibration samples
alone, every figure is of other samples. ONNX Runtime is {version}."""

ACCURACY = """
## Accuracy

*Points lost* are of top-1, behind ± their standard error if each changed answer were as likely to become right as wrong: less than twice that says nothing. *The same class* is the share of answers in which both networks agree; a map of where text is has none. *dB* is the first output's signal over its error. Beside it is the network
that ONNX Runtime's own quantiser makes from the same samples (`quantize_static`: QDQ, u8 activations by min-max, i8 weights for each channel), and our file run
by ONNX Runtime. Where there are no labels only the agreement with the network of floats is shown; – where a runtime refuses a file, or an answer has no
error to measure.
"""

KEPT = """
Not shown: a published MobileNetV2 itself and CIFAR-10, which no package ships.

### With layers in float

The networks above that keep the class of fewer than 99 answers in 100, or give maps, quantised with `--keep-float auto:25dB`: as few layers in float as leave the first output 25 dB over its error
on the calibration samples.
"""

RECORD = """
### A record: classes of ImageNet, 30 November 2026

Not made again by this command: no package ships images of ImageNet. Measured by hand with a public sample of one image of each class (probably of the training set, hence
the high accuracy), 48 more of which calibrated.

| network | answers | float | int8 | points lost | ours in ONNX Runtime | its own quantiser | same class, ours | same class, its own | dB |
|---|---|---|---|---|---|---|---|---|---|
| efficientnet-lite0 | 900 | 87.67 % | 87.56 % | 0.11 | 87.67 % | 87.89 % | 98.44 % | 98.22 % | 21.0 |
"""

TRANSLATOR = """### The translator

The network of `examples/translate` has integers from its own exporter (a scale for each row of activations, taken when they are there). Its floats are there only where it
is trained; `examples/translate/evaluate.py` compared both then, greedily, on every 40th pair that it was not trained on:
"""

COSTS = """
## Size, gas and time

Float networks have BatchNormalization folded, as the quantiser does first. *Milliseconds* are of the fastest call.
"""

OPERATORS = """
## Where the gas is

By operator, on one call, as `synod model run --profile` says: its part of the gas, the time it takes, and the gas of a second of it. What is fused with an operator counts to it.
"""

CHOICES = """
## What was chosen
"""


if __name__ == "__main__":
    main()
