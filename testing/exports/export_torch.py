"""Networks of PyTorch, exported by both of its exporters: the fixtures of `exports.rs`, made again by `cargo xtask regen`.

    python export_torch.py FOLDER [NAME ...]

With names, only the models whose name contains one of them; `all` adds the models that are not committed: a wider sweep.
"""

import io
import pathlib
import sys
import traceback
import warnings

import numpy as np
import onnx
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import fixture

warnings.filterwarnings("ignore")
# The fused attention of PyTorch's inference has no counterpart in ONNX.
torch.backends.mha.set_fastpath_enabled(False)


class SmallGpt(nn.Module):
    """A decoder as nanoGPT has it: learned positions, pre-norm blocks, causal attention, tied head. With `cache`, keys and values of
    earlier tokens come in and go out."""

    def __init__(self, vocabulary=128, width=64, heads=4, layers=2, context=32, cache=False):
        super().__init__()
        self.heads, self.cache = heads, cache
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(width),
                    "qkv": nn.Linear(width, 3 * width),
                    "project": nn.Linear(width, width),
                    "norm2": nn.LayerNorm(width),
                    "up": nn.Linear(width, 4 * width),
                    "down": nn.Linear(4 * width, width),
                }
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids, past=None):
        batch, length = ids.shape
        before = past.shape[4] if self.cache else 0
        x = self.tokens(ids) + self.positions(torch.arange(before, before + length))
        present = []
        for number, block in enumerate(self.blocks):
            q, k, v = block["qkv"](block["norm1"](x)).chunk(3, dim=2)
            q, k, v = (part.reshape(batch, length, self.heads, -1).transpose(1, 2) for part in (q, k, v))
            if self.cache:
                k = torch.cat([past[number, 0], k], dim=2)
                v = torch.cat([past[number, 1], v], dim=2)
                present.append(torch.stack([k, v]))
            scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
            allowed = torch.ones(length, before + length, dtype=torch.bool).tril(before)
            scores = scores.masked_fill(~allowed, float("-inf"))
            seen = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, -1)
            x = x + block["project"](seen)
            x = x + block["down"](F.gelu(block["up"](block["norm2"](x)), approximate="tanh"))
        logits = self.head(self.norm(x))
        return (logits, torch.stack(present)) if self.cache else logits


class LstmClassifier(nn.Module):
    """Text classification: embedding, two bidirectional LSTM layers, the greatest over time, a linear layer."""

    def __init__(self, kind=nn.LSTM):
        super().__init__()
        self.embedding = nn.Embedding(200, 24)
        self.rnn = kind(24, 32, num_layers=2, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(64, 5)

    def forward(self, ids):
        states, _ = self.rnn(self.embedding(ids))
        return self.linear(states.amax(1)).softmax(-1)


class UNet(nn.Module):
    """Segmentation: two levels down, up by a transposed convolution and by interpolation, joined with what was there."""

    def __init__(self):
        super().__init__()

        def block(a, b):
            return nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
                nn.Conv2d(b, b, 3, padding=1, padding_mode="reflect"), nn.InstanceNorm2d(b, affine=True), nn.LeakyReLU(0.1),
            )

        self.first, self.second, self.third = block(3, 12), block(12, 24), block(24, 32)
        self.up = nn.ConvTranspose2d(32, 24, 3, stride=2, padding=1, output_padding=1)
        self.join, self.last = block(48, 24), block(36, 12)
        self.head = nn.Conv2d(12, 2, 1)

    def forward(self, x):
        one = self.first(x)
        two = self.second(F.max_pool2d(one, 2))
        three = self.third(F.avg_pool2d(two, 2, ceil_mode=True))
        y = self.join(torch.cat([self.up(three), two], 1))
        y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
        y = self.head(self.last(torch.cat([y, one], 1)))
        return torch.sigmoid(F.interpolate(y, size=(48, 48), mode="bicubic"))


class Detector(nn.Module):
    """One-stage detection: a small backbone with SiLU, anchors decoded to boxes, the best kept by non-maximum suppression."""

    def __init__(self, suppress=True):
        super().__init__()
        self.suppress = suppress

        def down(a, b):
            return nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.SiLU())

        self.backbone = nn.Sequential(down(3, 16), down(16, 32), down(32, 48))
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.fine = nn.Conv2d(48 + 48, 2 * (5 + 3), 1)
        self.register_buffer("anchors", torch.tensor([[10.0, 14.0], [23.0, 27.0]]))

    def forward(self, images):
        x = self.backbone(images)
        x = self.fine(torch.cat([x, F.interpolate(self.pool(x)[:, :, ::2, ::2], scale_factor=2.0, mode="nearest")], 1))
        batch, _, height, width = x.shape
        x = x.view(batch, 2, 8, height, width).permute(0, 1, 3, 4, 2).sigmoid()
        ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centre = (x[..., 0:2] * 2 - 0.5 + torch.stack([xs, ys], -1)) * 8
        size = (x[..., 2:4] * 2) ** 2 * self.anchors[:, None, None]
        boxes = torch.cat([centre - size / 2, centre + size / 2], -1).reshape(batch, -1, 4)
        scores = (x[..., 4:5] * x[..., 5:]).reshape(batch, -1, 3)
        if not self.suppress:
            return boxes, scores
        best, labels = scores[0].max(-1)
        kept = torchvision.ops.nms(boxes[0], best, 0.45)[:10]
        return boxes[0][kept], best[kept], labels[kept]


def small_vit():
    return torchvision.models.VisionTransformer(
        image_size=64, patch_size=16, num_layers=3, num_heads=4, hidden_dim=96, mlp_dim=192, num_classes=20
    )


def zoo(name, size=224, **options):
    build = getattr(torchvision.models, name)
    return lambda: build(weights=None, **options), {"image": torch.zeros(1, 3, size, size)}


IDS = torch.tensor([[5, 17, 99, 3, 64, 12, 8], [1, 2, 3, 100, 5, 6, 127]])
PAST = torch.linspace(-1, 1, 2 * 2 * 1 * 4 * 5 * 16).reshape(2, 2, 1, 4, 5, 16)

# name: (how to build, inputs, dynamic axes by input, which exporters)
COMMITTED = {
    "mobilenet-v2": (*zoo("mobilenet_v2"), {}),
    "resnet-18": (*zoo("resnet18"), {}),
    "resnet-50": (*zoo("resnet50"), {}),
    "efficientnet-b0": (*zoo("efficientnet_b0", 128), {}),
    "vit": (small_vit, {"image": torch.zeros(2, 3, 64, 64)}, {"image": ["batch"]}),
    "gpt": (SmallGpt, {"ids": IDS}, {"ids": ["batch", "sequence"]}),
    "gpt-with-cache": (
        lambda: SmallGpt(cache=True),
        {"ids": IDS[:1, :3], "past": PAST},
        {"ids": [None, "sequence"], "past": [None, None, None, None, "before"]},
    ),
    "lstm-classifier": (LstmClassifier, {"ids": IDS}, {"ids": ["batch", "sequence"]}),
    "gru-classifier": (lambda: LstmClassifier(nn.GRU), {"ids": IDS}, {}),
    "u-net": (UNet, {"image": torch.zeros(1, 3, 44, 52)}, {}),
    "detector": (lambda: Detector(False), {"images": torch.zeros(1, 3, 64, 96)}, {"images": [None, None, "height", "width"]}),
    "detector-with-nms": (Detector, {"images": torch.zeros(1, 3, 64, 64)}, {}),
}

# More of the same for `all`: what else people export.
SWEEP = {
    name.replace("_", "-"): (*zoo(name, size, **options), {})
    for name, size, options in [
        ("alexnet", 128, {}),
        ("squeezenet1_1", 96, {}),
        ("mobilenet_v3_small", 96, {}),
        ("shufflenet_v2_x0_5", 96, {}),
        ("mnasnet0_5", 96, {}),
        ("densenet121", 64, {}),
        ("googlenet", 96, {"init_weights": False, "aux_logits": False}),
        ("inception_v3", 128, {"init_weights": False, "aux_logits": False}),
        ("regnet_y_400mf", 96, {}),
        ("convnext_tiny", 64, {}),
        ("efficientnet_v2_s", 96, {}),
        ("swin_t", 64, {}),
        ("swin_v2_t", 64, {}),
        ("maxvit_t", 224, {}),
    ]
}


def export(build, inputs, dynamic, dynamo):
    torch.manual_seed(0)
    model = build().eval()
    if not dynamo:
        file = io.BytesIO()
        axes = {name: {i: n for i, n in enumerate(names) if n} for name, names in dynamic.items()}
        with torch.no_grad():
            torch.onnx.export(
                model, tuple(inputs.values()), file, input_names=list(inputs), dynamic_axes=axes or None,
                opset_version=17, dynamo=False,
            )
        return onnx.load_from_string(file.getvalue())
    shapes = None
    if dynamic:
        dims = {}
        def dim(name):
            return None if name is None else dims.setdefault(name, torch.export.Dim(name, min=1, max=4096))
        shapes = {name: {i: dim(n) for i, n in enumerate(dynamic.get(name, [])) if n} for name in inputs}
        shapes = tuple(shapes.values())
    with torch.no_grad():
        program = torch.onnx.export(
            model, tuple(inputs.values()), input_names=list(inputs), dynamic_shapes=shapes, dynamo=True, verbose=False
        )
    return program.model_proto


def main():
    out, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:]
    models = {**COMMITTED, **(SWEEP if "all" in wanted else {})}
    names = [name for name in wanted if name != "all"]
    for name, (build, inputs, dynamic) in models.items():
        if names and not any(part in name for part in names):
            continue
        for dynamo in (False, True):
            case = f"pytorch-{'dynamo' if dynamo else 'torchscript'}-{name}"
            if (out / case).exists():
                continue
            try:
                model = export(build, inputs, dynamic, dynamo)
                given = {
                    key: ((*value.shape,), -1.0, 1.0) if value.dtype == torch.float32 and value.numel() > 2000 else value.numpy()
                    for key, value in inputs.items()
                }
                fixture.write(out / case, model, given)
                print(f"{case}: {(out / case / 'model.onnx').stat().st_size} bytes", flush=True)
            except Exception as error:
                print(f"{case}: FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
                if "-v" in wanted:
                    traceback.print_exc()


if __name__ == "__main__":
    main()
