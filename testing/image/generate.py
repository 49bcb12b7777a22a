"""Pictures, and what Pillow, numpy and transformers make of them: what crates/image is held against.

    python generate.py ../../vectors/pictures

writes small PNG and JPEG files, and `golden.json`: for every file the size and the SHA-256 of its pixels as Pillow decodes them, for
resized pictures the SHA-256 of Pillow's, for preprocessor_config.json files the rule's tensor as transformers' Pil classes compute it.
Nothing here is random: the same versions give the same bytes.
"""

import hashlib
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import skimage
from PIL import Image, ImageOps

OUT = pathlib.Path(sys.argv[1])
FILTERS = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]


def sha(data):
    return hashlib.sha256(data).hexdigest()


# Pictures


def photograph(name, box, size):
    path = pathlib.Path(skimage.__file__).parent / "data" / f"{name}.png"
    return Image.open(path).convert("RGB").crop(box).resize(size, Image.LANCZOS)


def noise(width, height, seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def drawn(width, height):
    """Gradients, edges and a checkerboard."""
    y, x = np.mgrid[0:height, 0:width]
    red = x * 255 // max(width - 1, 1)
    green = y * 255 // max(height - 1, 1)
    blue = np.where((x // 4 + y // 3) % 2 == 0, 255, 0)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


# PNG files of every kind: Pillow writes few

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def packed(rows, depth):
    """Rows of samples, height × width × samples, as rows of bytes."""
    rows = rows.reshape(rows.shape[0], -1)
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in rows]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in rows]
    bits = ((rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(rows.shape[0], -1)
    return [np.packbits(row.astype(np.uint8)).tobytes() for row in bits]


def filtered(rows, step):
    """Each row behind another of the five filters in turn."""
    out, above = b"", bytes(len(rows[0]))
    for number, row in enumerate(rows):
        kind = number % 5
        left = bytes(step) + row[:-step] if len(row) > step else bytes(len(row))
        corner = bytes(step) + above[:-step] if len(row) > step else bytes(len(row))
        predicted = {
            0: lambda a, b, c: 0,
            1: lambda a, b, c: a,
            2: lambda a, b, c: b,
            3: lambda a, b, c: (a + b) // 2,
            4: lambda a, b, c: min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2],
        }[kind]
        out += bytes([kind]) + bytes(
            (v - predicted(a, b, c)) & 255 for v, a, b, c in zip(row, left, above, corner)
        )
        above = row
    return out


def png(samples, depth, colour, interlaced=False, palette=None, extra=(), pieces=1):
    height, width = samples.shape[:2]
    step = max(1, SAMPLES[colour] * depth // 8)
    passes = PASSES if interlaced else [(0, 0, 1, 1)]
    data = b""
    for x, y, dx, dy in passes:
        part = samples[y::dy, x::dx]
        if part.size:
            data += filtered(packed(part, depth), step)
    data = zlib.compress(data, 9)
    cut = -(-len(data) // pieces)
    file = b"\x89PNG\r\n\x1a\n"
    file += chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced)))
    if palette is not None:
        file += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    for kind, body in extra:
        file += chunk(kind, body)
    for at in range(0, len(data), cut):
        file += chunk(b"IDAT", data[at : at + cut])
    return file + chunk(b"IEND", b"")


def pngs():
    random = np.random.default_rng(7)
    files = {}
    for colour, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items():
        for depth in depths:
            for interlaced in (False, True):
                shape = (13, 21, SAMPLES[colour])
                samples = random.integers(0, 1 << depth, shape)
                palette = random.integers(0, 256, (1 << depth, 3)) if colour == 3 else None
                name = f"png-{['grey', '', 'rgb', 'palette', 'grey-alpha', '', 'rgba'][colour]}-{depth}"
                name += "-interlaced" if interlaced else ""
                files[name] = png(samples, depth, colour, interlaced, palette)
    for width, height in ((1, 1), (2, 1), (1, 5), (3, 3), (9, 7)):
        samples = random.integers(0, 256, (height, width, 3))
        files[f"png-small-{width}x{height}-interlaced"] = png(samples, 8, 2, True)
    samples = random.integers(0, 256, (10, 10, 3))
    files["png-many-chunks"] = png(samples, 8, 2, pieces=40)
    bomb = zlib.compress(bytes(1 << 19), 9)
    extra = [
        (b"iCCP", b"x\0\0" + bomb),
        (b"tRNS", struct.pack(">HHH", 1, 2, 3)),
        (b"zTXt", b"k\0\0" + bomb),
        (b"iTXt", b"k\0\1\0\0\0" + bomb),
        (b"tEXt", b"k\0v"),
    ]
    files["png-texts"] = png(samples, 8, 2, extra=extra)
    palette = random.integers(0, 256, (4, 3))
    files["png-palette-transparent"] = png(
        random.integers(0, 4, (6, 6, 1)), 8, 3, palette=palette, extra=[(b"tRNS", bytes([0, 128, 255]))]
    )
    stream = io.BytesIO()
    frames = [noise(12, 8, seed) for seed in (1, 2, 3)]
    frames[0].save(stream, "PNG", save_all=True, append_images=frames[1:], duration=50)
    files["png-animated"] = stream.getvalue()
    stream = io.BytesIO()
    frames[0].save(
        stream, "PNG", save_all=True, append_images=frames[1:], duration=50, default_image=True
    )
    files["png-animated-default"] = stream.getvalue()
    exif = Image.Exif()
    exif[0x0112] = 8
    stream = io.BytesIO()
    drawn(21, 13).convert("L").save(stream, "PNG", exif=exif)
    files["png-grey-turned"] = stream.getvalue()
    stream = io.BytesIO()
    photograph("chelsea", (100, 20, 388, 236), (96, 72)).save(stream, "PNG", optimize=True)
    files["png-cat"] = stream.getvalue()
    return files


# JPEG files


def jpeg(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def cjpeg(image, *options):
    stream = io.BytesIO()
    image.save(stream, "PPM")
    return subprocess.run(["cjpeg", *options], input=stream.getvalue(), stdout=subprocess.PIPE, check=True).stdout


def jpegtran(data, script, *options):
    path = OUT / "scans.txt"
    path.write_text(script)
    try:
        return subprocess.run(
            ["jpegtran", "-scans", path, *options], input=data, stdout=subprocess.PIPE, check=True
        ).stdout
    finally:
        path.unlink()


def jpegs():
    files = {}
    cat = photograph("chelsea", (100, 20, 388, 236), (96, 72))
    face = photograph("astronaut", (120, 0, 320, 200), (80, 80))
    cup = photograph("coffee", (100, 50, 500, 350), (240, 180))
    for name, image in (("cat", cat), ("noise", noise(67, 45, 3)), ("drawn", drawn(50, 41))):
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            for progressive in (False, True):
                key = f"jpeg-{name}-{subsampling.replace(':', '')}{'-progressive' if progressive else ''}"
                files[key] = jpeg(image, quality=85, subsampling=subsampling, progressive=progressive)
    for sample in ("1x2", "4x1", "1x4", "4x2", "2x4"):
        for progressive in ((), ("-progressive",)):
            key = f"jpeg-cat-{sample}{'-progressive' if progressive else ''}"
            files[key] = cjpeg(cat, "-quality", "85", "-sample", sample, *progressive)
    for width, height in ((1, 1), (1, 9), (9, 1), (2, 2), (3, 4), (4, 3), (5, 5), (6, 2), (7, 8), (8, 7), (15, 17), (17, 15), (33, 32)):
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            key = f"jpeg-small-{width}x{height}-{subsampling.replace(':', '')}"
            files[key] = jpeg(noise(width, height, width), quality=90, subsampling=subsampling, progressive=width % 2 == 1)
    for sample in ("1x2", "4x1", "2x4"):
        for width, height in ((1, 3), (3, 1), (17, 33), (35, 18)):
            files[f"jpeg-small-{width}x{height}-{sample}"] = cjpeg(noise(width, height, 5), "-sample", sample)
    for quality in (1, 25, 100):
        files[f"jpeg-face-quality-{quality}"] = jpeg(face, quality=quality, subsampling="4:2:0")
    files["jpeg-face-16-bit-tables"] = cjpeg(face, "-quality", "1")
    files["jpeg-face-grey"] = jpeg(face.convert("L"), quality=85)
    files["jpeg-face-grey-progressive"] = jpeg(face.convert("L"), quality=85, progressive=True)
    files["jpeg-face-grey-2x2"] = cjpeg(face, "-grayscale", "-sample", "2x2")
    files["jpeg-face-rgb"] = jpeg(face, quality=85, keep_rgb=True)
    files["jpeg-face-rgb-progressive"] = jpeg(face, quality=85, keep_rgb=True, progressive=True)
    files["jpeg-face-restarts"] = jpeg(face, quality=85, restart_marker_blocks=3)
    files["jpeg-face-restarts-progressive"] = jpeg(face, quality=85, restart_marker_rows=1, progressive=True)
    files["jpeg-face-optimised"] = jpeg(face, quality=85, optimize=True)
    for orientation in range(10):
        exif = Image.Exif()
        exif[0x010F] = "camera"
        exif[0x0112] = orientation
        files[f"jpeg-turned-{orientation}"] = jpeg(drawn(21, 13), quality=85, exif=exif)
    files["jpeg-face-profile"] = jpeg(face, quality=85, icc_profile=bytes(200_000 % 251 for _ in range(70_000)), comment=b"c" * 500)
    files["jpeg-cup"] = jpeg(cup, quality=88, subsampling="4:2:0")
    files["jpeg-cup-progressive"] = jpeg(cup, quality=88, subsampling="4:2:0", progressive=True)
    plain = jpeg(cat, quality=85, subsampling="4:2:0")
    files["jpeg-cat-separate-scans"] = jpegtran(plain, "0; 1; 2;")
    files["jpeg-cat-separate-restarts"] = jpegtran(plain, "0; 1; 2;", "-restart", "2B")
    return files


# What they become


def pixels(data, name):
    """Mode and pixels as Pillow decodes and turns them; 16-bit grey it does not bring to 8 bits, so that is done here."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64) >> 8
        return "L", values.astype(np.uint8)
    mode = "L" if image.mode in ("1", "L", "LA") or name.startswith("png-grey") else "RGB"
    if image.mode in ("LA", "RGBA") and mode == "L":
        image = image.getchannel(0)
    return mode, np.asarray(image.convert(mode))


def resized():
    """Sizes, filters, and the SHA-256 of what Pillow makes of a picture that a simple formula gives."""
    sizes = [
        ((1, 1), (1, 1)), ((1, 1), (7, 5)), ((7, 5), (1, 1)), ((2, 3), (3, 2)), ((10, 10), (10, 10)), ((10, 10), (10, 3)),
        ((10, 10), (3, 10)), ((64, 48), (32, 24)), ((64, 48), (63, 47)), ((64, 48), (224, 224)), ((48, 64), (256, 341)),
        ((100, 500), (90, 50)), ((300, 300), (250, 20)), ((300, 300), (20, 250)), ((333, 217), (341, 256)), ((217, 333), (224, 224)),
        ((500, 3), (224, 224)), ((3, 500), (224, 224)), ((257, 255), (255, 257)), ((640, 480), (299, 299)), ((640, 480), (17, 13)),
        ((1000, 10), (10, 1000)), ((29, 31), (23, 37)), ((100, 100), (49, 51)), ((1, 400), (1, 7)), ((400, 1), (7, 1)),
    ]  # fmt: skip
    random = np.random.default_rng(11)
    sizes += [tuple((int(a), int(b)) for a, b in random.integers(1, 120, (2, 2))) for _ in range(60)]
    cases = []
    for number, (source, target) in enumerate(sizes):
        for channels in (1, 3):
            if number > 30 and number % 2 == channels % 3:
                continue
            count = source[0] * source[1] * channels
            data = formula(count)
            array = data.reshape(source[1], source[0], channels)
            image = Image.fromarray(array[..., 0] if channels == 1 else array)
            for filter in range(6):
                result = image.resize(target, filter)
                cases.append([*source, *target, channels, FILTERS[filter], sha(result.tobytes())[:16]])
    return cases


def formula(count):
    """Bytes that look random, with runs of black and white for the overshoot of filters."""
    index = np.arange(count, dtype=np.uint64)
    mixed = (index * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    run = (index // np.uint64(37)) % np.uint64(5)
    return np.where(run == 1, 0, np.where(run == 3, 255, mixed & np.uint64(255))).astype(np.uint8)


# Rules

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}

CONFIGS = {
    "vit": {
        "do_normalize": True, "do_rescale": True, "do_resize": True, **HALF, "image_processor_type": "ViTImageProcessor",
        "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224},
    },
    "vit-legacy": {
        "do_normalize": True, "do_resize": True, **HALF, "feature_extractor_type": "ViTFeatureExtractor", "resample": 2, "size": 64,
    },
    "deit": {
        "crop_size": {"height": 48, "width": 56}, "do_center_crop": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        **IMAGENET, "image_processor_type": "DeiTImageProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"height": 64, "width": 64},
    },
    "clip": {
        "crop_size": {"height": 60, "width": 60}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
        "do_rescale": True, "do_resize": True, **CLIP, "image_processor_type": "CLIPImageProcessor", "resample": 3,
        "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 60},
    },
    "crop-larger": {
        "crop_size": {"height": 91, "width": 60}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
        "do_rescale": True, "do_resize": True, **CLIP, "image_processor_type": "CLIPImageProcessorFast", "resample": 1,
        "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 50, "longest_edge": None}, "device": None,
    },
    "resnet": {
        "crop_pct": 0.875, "do_normalize": True, "do_resize": True, **IMAGENET, "feature_extractor_type": "ConvNextFeatureExtractor",
        "resample": 3, "size": 224,
    },
    "convnext-large": {
        "crop_pct": None, "do_normalize": True, "do_rescale": True, "do_resize": True, **IMAGENET,
        "image_processor_type": "ConvNextImageProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 384},
    },
    "mobilenet-v1": {
        "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_normalize": True, "do_rescale": True,
        "do_resize": True, **HALF, "image_processor_type": "MobileNetV1ImageProcessor", "resample": 2,
        "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256},
    },
    "mobilenet-v2": {
        "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_normalize": True, "do_rescale": True,
        "do_resize": True, "do_reduce_labels": False, **HALF, "image_processor_type": "MobileNetV2ImageProcessor", "resample": 2,
        "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}, "data_format": "channels_first",
    },
    "efficientnet": {
        "crop_size": {"height": 50, "width": 50}, "do_center_crop": False, "do_normalize": True, "do_rescale": True,
        "do_resize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.47853944, 0.4732864, 0.47434163],
        "image_processor_type": "EfficientNetImageProcessor", "include_top": True, "resample": 0, "rescale_factor": 0.00392156862745098,
        "rescale_offset": False, "size": {"height": 90, "width": 80},
    },
    "efficientnet-offset": {
        "crop_size": {"height": 50, "width": 50}, "do_center_crop": True, "do_normalize": False, "do_rescale": True,
        "do_resize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
        "image_processor_type": "EfficientNetImageProcessor", "include_top": False, "resample": 4,
        "rescale_factor": 0.00784313725490196, "rescale_offset": True, "size": {"height": 90, "width": 80},
    },
    "mobilevit": {
        "crop_size": {"height": 64, "width": 64}, "do_center_crop": True, "do_flip_channel_order": True, "do_rescale": True,
        "do_resize": True, "image_processor_type": "MobileViTImageProcessor", "resample": 2, "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 72},
    },
    "grey": {
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5], "image_std": [0.5],
        "image_processor_type": "ViTImageProcessor", "resample": 2, "rescale_factor": 0.00392156862745098,
        "size": {"height": 28, "width": 28},
    },
    "siglip": {
        "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True, **HALF,
        "image_processor_type": "SiglipImageProcessor", "processor_class": "SiglipProcessor", "resample": 3,
        "rescale_factor": 0.00392156862745098, "size": {"height": 64, "width": 64},
    },
    "bytes": {
        "do_normalize": False, "do_rescale": False, "do_resize": True, "image_processor_type": "ViTImageProcessor", "resample": 5,
        "size": {"height": 64, "width": 80},
    },
    "unscaled": {
        "do_normalize": True, "do_rescale": False, "do_resize": True, "image_mean": [123.675, 116.28, 103.53],
        "image_std": [58.395, 57.12, 57.375], "image_processor_type": "BeitImageProcessor", "resample": 2,
        "size": {"height": 64, "width": 80}, "do_reduce_labels": True,
    },
    # zeros stand where the values are normalised already
    "pad": {
        "do_normalize": True, "do_pad": True, "do_rescale": True, "do_resize": True, **HALF, "image_processor_type": "ViTImageProcessor",
        "pad_size": {"height": 70, "width": 80}, "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"height": 64, "width": 64},
    },
    "pad-after-crop": {
        "crop_size": {"height": 60, "width": 60}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_pad": True,
        "do_rescale": True, "do_resize": True, **CLIP, "image_processor_type": "CLIPImageProcessor", "pad_size": {"height": 60, "width": 64},
        "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 50},
    },
    "pad-without-size": {
        "do_normalize": False, "do_pad": True, "do_rescale": False, "do_resize": True, "image_processor_type": "ViTImageProcessor",
        "resample": 2, "size": {"height": 30, "width": 40},
    },
    "levit": {
        "crop_size": {"height": 56, "width": 56}, "do_center_crop": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        **IMAGENET, "image_processor_type": "LevitImageProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 57},
    },
    "poolformer": {
        "crop_pct": 0.95, "crop_size": {"height": 64, "width": 64}, "do_center_crop": True, "do_normalize": True, "do_rescale": True,
        "do_resize": True, **IMAGENET, "image_processor_type": "PoolFormerImageProcessor", "resample": 3,
        "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 64},
    },
    "poolformer-legacy": {
        "crop_size": 64, "do_normalize": True, "do_resize": True, **IMAGENET, "feature_extractor_type": "PoolFormerFeatureExtractor",
        "resample": 3, "size": {"height": 64, "width": 64},
    },
    "poolformer-plain": {
        "crop_pct": None, "crop_size": {"height": 56, "width": 64}, "do_center_crop": True, "do_normalize": True, "do_rescale": True,
        "do_resize": True, **IMAGENET, "image_processor_type": "PoolFormerImageProcessor", "resample": 2,
        "rescale_factor": 0.00392156862745098, "size": {"height": 60, "width": 70},
    },
    "pvt": {
        "do_normalize": True, "do_rescale": True, "do_resize": True, **IMAGENET, "image_processor_type": "PvtImageProcessor",
        "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"height": 64, "width": 64},
    },
    "segformer": {
        "do_normalize": True, "do_resize": True, **IMAGENET, "feature_extractor_type": "SegformerFeatureExtractor",
        "reduce_labels": False, "resample": 2, "size": 64,
    },
}  # fmt: skip


def rules(files):
    import transformers

    cases = []
    for name, config in CONFIGS.items():
        kind = config.get("image_processor_type", config.get("feature_extractor_type"))
        stem = kind.removesuffix("Fast").removesuffix("FeatureExtractor").removesuffix("ImageProcessor")
        module = {
            "ViT": "vit", "DeiT": "deit", "CLIP": "clip", "ConvNext": "convnext", "MobileNetV1": "mobilenet_v1", "Beit": "beit",
            "MobileNetV2": "mobilenet_v2", "EfficientNet": "efficientnet", "MobileViT": "mobilevit", "Siglip": "siglip",
            "Levit": "levit", "PoolFormer": "poolformer", "Pvt": "pvt", "Segformer": "segformer",
        }[stem]  # fmt: skip
        __import__(f"transformers.models.{module}.image_processing_pil_{module}")
        source = sys.modules[f"transformers.models.{module}.image_processing_pil_{module}"]
        processor = getattr(source, f"{stem}ImageProcessorPil").from_dict(dict(config))
        for file in ("jpeg-cup", "jpeg-cat-420", "png-cat", "jpeg-small-17x15-444"):
            image = Image.open(io.BytesIO(files[file])).convert("L" if name == "grey" else "RGB")
            tensor = processor(image, return_tensors="np")["pixel_values"]
            assert tensor.dtype == (np.uint8 if name in ("bytes", "pad-without-size") else np.float32), (name, tensor.dtype)
            tensor = np.ascontiguousarray(tensor)
            cases.append([name, file, list(tensor.shape), sha(tensor.astype(tensor.dtype.newbyteorder("<")).tobytes())[:16]])
    return cases


def main():
    os.makedirs(OUT, exist_ok=True)
    for old in [*OUT.glob("*.png"), *OUT.glob("*.jpg"), *OUT.glob("*.json")]:
        old.unlink()
    files = pngs() | jpegs()
    golden = {"pictures": [], "resized": resized(), "rules": rules(files)}
    for name, data in sorted(files.items()):
        path = name + (".png" if name.startswith("png") else ".jpg")
        (OUT / path).write_bytes(data)
        mode, array = pixels(data, name)
        golden["pictures"].append([path, array.shape[1], array.shape[0], mode, sha(array.tobytes())[:16]])
    # refused: four channels; a progressive file without its last scans, in which Pillow guesses what is missing
    cat = jpeg(photograph("chelsea", (100, 20, 388, 236), (96, 72)), quality=85, subsampling="4:2:0")
    script = "0,1,2: 0-0, 0, 1; 0: 1-9, 0, 2; 2: 1-63, 0, 1; 1: 1-63, 0, 1; 0: 1-9, 2, 1;"
    (OUT / "refused-incomplete.jpg").write_bytes(jpegtran(cat, script))
    (OUT / "refused-two-of-three.jpg").write_bytes(jpegtran(cat, "0; 1,2;"))
    (OUT / "refused-cmyk.jpg").write_bytes(jpeg(drawn(16, 16).convert("CMYK")))
    for name, config in CONFIGS.items():
        (OUT / f"{name}.json").write_text(json.dumps(config, indent=2) + "\n")
    lines = {key: "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]" for key, cases in golden.items()}
    text = "{\n" + ",\n".join(f'"{key}": {value}' for key, value in lines.items()) + "\n}\n"
    (OUT / "golden.json").write_text(text)


if __name__ == "__main__":
    main()
