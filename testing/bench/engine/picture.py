"""The peer of the picture in `cargo xtask bench text`: Pillow, numpy and ONNX Runtime; and the network of integers that both look with.

    picture.py quantize FOLDER OUT       writes the folder OUT: the network of FOLDER as ONNX Runtime's quantize_static makes it
    picture.py look FOLDER FILE RUNS     decodes, resizes and normalises FILE, runs the network; prints JSON: class, and the least time in ms

What the processor does is transformers' ConvNextImageProcessorPil with the fields of FOLDER/preprocessor_config.json.
"""

import json
import pathlib
import shutil
import sys
import time

import numpy as np
import onnxruntime
from PIL import Image

RULE = "preprocessor_config.json"


class Processor:
    def __init__(self, folder):
        rule = json.loads((folder / RULE).read_text())
        self.edge = rule["size"]["shortest_edge"]
        self.larger, self.filter = int(self.edge / rule["crop_pct"]), rule["resample"]
        self.scale = rule["rescale_factor"]
        self.mean, self.std = (np.array(rule[name], np.float32)[:, None, None] for name in ("image_mean", "image_std"))

    def __call__(self, picture):
        picture = picture.convert("RGB")
        short, long = sorted(picture.size)
        long = int(self.larger * long / short)
        wide = picture.width > picture.height
        picture = picture.resize((long, self.larger) if wide else (self.larger, long), self.filter)
        left, top = (picture.width - self.edge) // 2, (picture.height - self.edge) // 2
        picture = picture.crop((left, top, left + self.edge, top + self.edge))
        values = np.asarray(picture).transpose(2, 0, 1).astype(np.float64) * self.scale
        return ((values.astype(np.float32) - self.mean) / self.std)[None]


def apart(graph):
    """Gives every convolution a bias of its own. The drawn ones are all the same, so that they lie there once, where the tool would take one
    convolution's scales for all of them, and no runtime could run the others with integers. Each differs a little: it merges equal ones again."""
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    stored |= {node.output[0]: stored[node.input[0]] for node in graph.node if node.op_type == "Identity" and node.input[0] in stored}
    convolutions = [node for node in graph.node if node.op_type == "Conv" and len(node.input) == 3]
    for index, node in enumerate(convolutions):
        bias = numpy_helper.to_array(stored[node.input[2]]) * np.float32(1 + index / 1024) + np.float32(index / 65536)
        node.input[2] = f"{node.output[0]}_bias"
        graph.initializer.append(numpy_helper.from_array(bias, node.input[2]))


def quantize(folder, out):
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Samples(CalibrationDataReader):
        """Pictures of soft noise: what an int8 network takes does not depend on how good its scales are."""

        def __init__(self):
            random, processor = np.random.default_rng(0), Processor(folder)
            noise = (random.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(8))
            pictures = (Image.fromarray(pixels).resize((320, 240), Image.BICUBIC) for pixels in noise)
            self.rows = ({"pixel_values": processor(picture)} for picture in pictures)

        def get_next(self):
            return next(self.rows, None)

    out.mkdir(parents=True)
    prepared = out / "prepared.onnx"
    # with its weights in it: the tool looks for a file beside its own temporary one
    model = onnx.load(folder / "model.onnx")
    apart(model.graph)
    onnx.save(model, prepared)
    quant_pre_process(prepared, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared, out / "model.onnx", Samples(), quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, per_channel=True,
    )
    prepared.unlink()
    for name in ("config.json", RULE):
        shutil.copy(folder / name, out / name)


def look(folder, file, runs):
    processor = Processor(folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    least = float("inf")
    for _ in range(runs):
        begin = time.perf_counter()
        [logits] = session.run(["logits"], {"pixel_values": processor(Image.open(file))})
        least = min(least, time.perf_counter() - begin)
    print(json.dumps({"class": int(logits.argmax()), "milliseconds": least * 1e3}))


if __name__ == "__main__":
    if sys.argv[1] == "quantize":
        quantize(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    else:
        look(pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
