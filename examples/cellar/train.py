"""Trains the network of the cellar example and writes everything that the example needs.

The question: which of three cultivars did this wine come from, going by its chemical analysis?
The data: scikit-learn's wine set, 178 analyses of 13 measurements (see README.md for its source).

    python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python train.py

Written beside this file:

    model.onnx    analysis f32[batch, 13] -> cultivar f32[batch, 3], probabilities
    heldout.csv   the analyses that the training never saw, in the units of the laboratory
    labels.csv    their true cultivars, 0, 1 or 2
    sample.csv    the first of the held-out analyses, for trying things out
    score.json    what ONNX Runtime makes of the held-out set, to be compared with the chain

The measurements enter in their own units: centring and scaling are the network's first two
operators, so a contract sends what the laboratory reports and nobody can scale it differently.
"""

import csv
import hashlib
import json
import random
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
SEED = 2018
HELD_OUT = 0.4  # 72 of 178: a large share, since the accuracy of a small set says little
EPOCHS = 400


class Cellar(torch.nn.Module):
    """Standardisation, one hidden layer of 16, and a probability for each cultivar."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("deviation", torch.from_numpy(deviation))
        self.hidden = torch.nn.Linear(13, 16)
        self.output = torch.nn.Linear(16, 3)

    def logits(self, analysis: torch.Tensor) -> torch.Tensor:
        standard = (analysis - self.mean) / self.deviation
        return self.output(torch.relu(self.hidden(standard)))

    def forward(self, analysis: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.logits(analysis), dim=1)


def settle_randomness() -> None:
    """The same weights from every run on the same machine and library versions."""
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def train(analyses: np.ndarray, cultivars: np.ndarray) -> Cellar:
    """Full-batch Adam with weight decay. The scale comes from the training half alone."""
    model = Cellar(analyses.mean(axis=0), analyses.std(axis=0))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
    inputs, targets = torch.from_numpy(analyses), torch.from_numpy(cultivars)
    for _ in range(EPOCHS):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model.logits(inputs), targets)
        loss.backward()
        optimiser.step()
    return model.eval()


def export(model: Cellar, path: Path) -> None:
    """ONNX with a named batch dimension, so that one call can judge many analyses."""
    torch.onnx.export(
        model,
        (torch.zeros(1, 13),),
        path,
        input_names=["analysis"],
        output_names=["cultivar"],
        dynamic_axes={"analysis": {0: "batch"}, "cultivar": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def score(path: Path, analyses: np.ndarray, cultivars: np.ndarray) -> dict:
    """The held-out set through ONNX Runtime: the off-chain score of the very file that is published."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["cultivar"], {"analysis": analyses})
    predictions = probabilities.argmax(axis=1)
    return {
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "samples": len(cultivars),
        "correct": int((predictions == cultivars).sum()),
        "predictions": predictions.tolist(),
    }


def main() -> None:
    settle_randomness()
    wine = load_wine()
    train_x, held_x, train_y, held_y = train_test_split(
        wine.data.astype(np.float32),
        wine.target.astype(np.int64),
        test_size=HELD_OUT,
        stratify=wine.target,
        random_state=SEED,
    )
    model = train(train_x, train_y)

    path = HERE / "model.onnx"
    export(model, path)
    for name, analyses in (("heldout.csv", held_x), ("sample.csv", held_x[:1])):
        with open(HERE / name, "w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(wine.feature_names)
            rows.writerows([[str(value) for value in row] for row in analyses])
    with open(HERE / "labels.csv", "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["cultivar"])
        rows.writerows([[label] for label in held_y])

    result = score(path, held_x, held_y)
    (HERE / "score.json").write_text(json.dumps(result) + "\n")
    print(f"held out: {result['correct']} of {result['samples']} right ({result['runtime']})")


if __name__ == "__main__":
    main()
