"""Accuracy, size, gas and time of networks before and after `synod model quantize`, as Markdown.

    python report.py SYNOD FOLDER > docs/benchmarks-quantization.md

SYNOD is the program, FOLDER what generate.py has written; the repository's own examples are measured too. Beside each network is what
ONNX Runtime's own quantiser (`quantize_static`: QDQ, u8 activations by min-max, i8 weights for each channel) makes of it with the same
samples, run by ONNX Runtime, which also runs the file that synod wrote.
"""

import json
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime

ROOT = pathlib.Path(__file__).parent.parent.parent
SYNOD, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])


def examples():
    """The examples as cases: every other held-out sample calibrates."""
    for name, array, samples in (
        ("cellar", "analysis", np.loadtxt(ROOT / "examples/cellar/heldout.csv", np.float32, delimiter=",", skiprows=1)),
        ("fleet", "window", np.load(ROOT / "examples/fleet/heldout.npy")),
    ):
        folder = FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        labels = np.loadtxt(ROOT / f"examples/{name}/labels.csv", np.int64, skiprows=1)
        (folder / "model.onnx").write_bytes((ROOT / f"examples/{name}/model.onnx").read_bytes())
        np.savez(folder / "calibration.npz", **{array: samples[::2]})
        np.savez(folder / "evaluate.npz", **{array: samples[1::2]})
        np.save(folder / "labels.npy", labels[1::2])


def synod(folder):
    """The report of `model quantize`."""
    command = [SYNOD, "--json", "model", "quantize", folder / "model.onnx", "-o", folder / "int8.onnx"]
    command += ["--calibration", folder / "calibration.npz", "--evaluate", folder / "evaluate.npz"]
    if (folder / "labels.npy").exists():
        command += ["--labels", folder / "labels.npy"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def classes(path, folder):
    """The classes that ONNX Runtime gives the samples, one behind the other."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    output = session.get_outputs()[0].name
    return np.concatenate([class_of(session.run([output], call)[0]) for call in calls(session, folder / "evaluate.npz")])


def calls(session, path):
    """The inputs of each call: a sample, within the first axis or on an axis of its own (docs/quantization.md)."""
    arrays = np.load(path)
    inputs = session.get_inputs()
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
            session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
            self.calls = calls(session, folder / "calibration.npz")

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


def main():
    examples()
    accuracy, costs, losses = [], [], []
    for folder in sorted(path for path in FOLDER.iterdir() if (path / "calibration.npz").exists()):
        report = synod(folder)
        float_, int8, answers = report["float"], report["int8"], report["evaluation"]["answers"]
        ours_elsewhere = elsewhere(folder, lambda: folder / "int8.onnx")
        float_classes = elsewhere(folder, lambda: folder / "model.onnx")
        others = elsewhere(folder, lambda: theirs(folder))
        row = [folder.name, str(answers)]
        if (folder / "labels.npy").exists():
            labels = np.load(folder / "labels.npy")
            right = lambda found: "–" if found is None else percent((found == labels).sum(), answers)
            lost = 100 * (float_["correct"] - int8["correct"]) / answers
            row += [percent(float_["correct"], answers), percent(int8["correct"], answers), f"{lost:+.2f}"]
            row += [right(ours_elsewhere), right(others)]
        else:
            row += ["–"] * 5
        agree = lambda found: "–" if found is None or float_classes is None else percent((found == float_classes).sum(), answers)
        row += [percent(report["evaluation"]["agree"], answers), agree(others)]
        decibels = report["evaluation"].get("decibels")  # of integers, and of answers without a difference, there are none
        row += ["–" if decibels is None else f"{decibels:.1f}"]
        accuracy.append(row)
        size = lambda of: of["graph_bytes"] + of["weight_bytes"]
        pairs = [
            (size(float_), size(int8)),
            (float_["gas"], int8["gas"]),
            (float_["execution_gas"], int8["execution_gas"]),
        ]
        cells = [f"{a:,} → {b:,} ({b / a:.2f})" for a, b in pairs]
        a, b = float_["milliseconds"], int8["milliseconds"]
        costs.append([folder.name, *cells, f"{a:.3f} → {b:.3f} ({b / a:.2f})"])
        most = [f"{row['layer']} {row['decibels']:.1f} dB" for row in report["layers"][:3] if row["decibels"]]
        methods = {}
        for row in report["activations"]:
            methods[row["method"]] = methods.get(row["method"], 0) + 1
        chosen = ", ".join(f"{count} {method}" for method, count in sorted(methods.items()))
        rounding = ("cut off" if report["clipping"] else "whole") + (
            ", biases corrected" if report["bias_correction"] else ""
        )
        losses.append([folder.name, report["equalization"], rounding, chosen, "; ".join(most)])
    print(TEXT.format(version=onnxruntime.__version__))
    table(
        "Accuracy",
        ["network", "answers", "float", "int8", "points lost", "int8 in ONNX Runtime", "by ONNX Runtime's quantiser",
         "same class as float", "the same, its quantiser", "dB"],
        accuracy,
    )
    table("Size, gas and time", ["network", "bytes", "gas, first predict", "gas of the nodes", "milliseconds"], costs)
    table("What was chosen", ["network", "channels equalised", "weights", "ranges", "lose most"], losses)


def table(title, header, rows):
    print(f"\n## {title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


TEXT = """# Quantised networks

Made by `cargo xtask bench quantize`. Networks are as they were published (`testing/quantize/generate.py` says where they come from);
`synod model quantize` saw the calibration samples only, and every figure is of other samples. *Points lost* are of top-1 accuracy. *dB* is the first
output's signal over its error. Where there are no labels only the agreement with the network of floats is shown: the class of each row of the first
output. ONNX Runtime is {version}; its quantiser has min-max ranges and weights with a scale for each channel."""


if __name__ == "__main__":
    main()
