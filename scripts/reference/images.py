"""Reference numbers of images: test/golden/images/. Needs numpy, Pillow, torch, ImageMagick. Run from the repository's root.

Written from the definitions with other tools than ours: Pillow for files, JPEG, resizing; colorsys for hues; numpy and
torch convolutions for windows and kernels. Pictures are [C, H, W], 0 to 1.
"""
import colorsys
import io
import os
import subprocess

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from store import write_safetensors

folder = "test/golden/images"
os.makedirs(folder, exist_ok=True)
rng = np.random.default_rng(7)


def picture(height, width, channels=3):
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    planes = [0.5 + 0.4 * np.sin(6 * x * (c + 1) + 4 * y + c) + 0.06 * rng.standard_normal((height, width)) for c in range(channels)]
    return (np.clip(np.stack(planes), 0, 1) * 255).round() / 255


def bytes_of(p):
    a = (p * 255).round().astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(a if a.shape[2] == 3 else a[:, :, 0])


def planes(image):
    a = np.asarray(image).astype(np.float64) / 255
    return a[None] if a.ndim == 2 else a.transpose(2, 0, 1)


def blur(p, sigma, radius, mode):
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return correlate(p, np.outer(taps, taps) / taps.sum() ** 2, mode)


def correlate(p, kernel, mode):
    k = torch.tensor(kernel)[None, None]
    pad = kernel.shape[0] // 2
    t = torch.tensor(p)[:, None]
    t = F.pad(t, [pad] * 4, mode=mode) if mode else t
    return F.conv2d(t, k)[:, 0].numpy()


def ssim(a, b):
    mean = lambda p: blur(p, 1.5, 5, None)
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    return (((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean()


def defocus(p, radius, soft):
    grid = np.arange(-8, 9)
    disk = ((grid[:, None] ** 2 + grid[None] ** 2) <= radius**2).astype(np.float64)
    disk /= disk.sum()
    return correlate(p, blur(disk[None], soft, 1, "reflect")[0], "reflect")


def zoom(p, factor):
    h = p.shape[1]
    part = int(np.ceil(h / factor))
    top = (h - part) // 2
    inner = torch.tensor(p[:, top : top + part, top : top + part])[None]
    out = int(round(part * factor))
    big = F.interpolate(inner, size=(out, out), mode="bilinear", align_corners=True)[0].numpy()
    trim = (out - h) // 2
    return big[:, trim : trim + h, trim : trim + h]


def colors(p, change):
    flat = p.reshape(3, -1).T
    return np.array([colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in flat]).T.reshape(p.shape)


cut = lambda p: np.floor(np.clip(p, 0, 1) * 255 + 1e-6) / 255

tensors = {}
a = picture(24, 20)
b = np.clip(a + 0.08 * rng.standard_normal(a.shape), 0, 1)
tensors["metrics.a"], tensors["metrics.b"] = a, b
a, b = a.astype(np.float32).astype(np.float64), b.astype(np.float32).astype(np.float64)
tensors["metrics.values"] = np.array([np.abs(a - b).mean(), ((a - b) ** 2).mean(), -10 * np.log10(((a - b) ** 2).mean()), ssim(a, b)])

x = picture(32, 32)
grey = picture(32, 32, 1)
tensors["x"], tensors["grey"] = x, grey
for i, (radius, soft) in enumerate([(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)]):
    tensors[f"defocus_blur.{i + 1}"] = cut(defocus(x, radius, soft))
for i, end in enumerate([1.06, 1.11, 1.16, 1.21, 1.26]):
    factors = np.arange(1, end, 0.01)
    tensors[f"zoom_blur.{i + 1}"] = cut((x + sum(zoom(x, f) for f in factors)) / (len(factors) + 1))
for i, amount in enumerate([0.05, 0.1, 0.15, 0.2, 0.3]):
    tensors[f"brightness.{i + 1}"] = cut(colors(x, lambda h, s, v: (h, s, min(1, v + amount))))
for i, factor in enumerate([0.75, 0.5, 0.4, 0.3, 0.15]):
    mean = x.mean(axis=(1, 2), keepdims=True)
    tensors[f"contrast.{i + 1}"] = cut((x - mean) * factor + mean)
for i, share in enumerate([0.95, 0.9, 0.85, 0.75, 0.65]):
    side = int(32 * share)
    tensors[f"pixelate.{i + 1}"] = planes(bytes_of(x).resize((side, side), Image.BOX).resize((32, 32), Image.BOX))
for i, quality in enumerate([80, 65, 58, 50, 40]):
    for name, p in [("jpeg_compression", x), ("jpeg_grey", grey)]:
        file = io.BytesIO()
        bytes_of(p).save(file, "JPEG", quality=quality)
        tensors[f"{name}.{i + 1}"] = planes(Image.open(file))

# ImageMagick itself, as the published data were made: -motion-blur radius x sigma + angle.
for radius, sigma, angle in [(6, 1, 0), (6, 1, 30), (6, 2, -40), (9, 2.5, 17), (14, 12, -100)]:
    source, target = f"{folder}/source.png", f"{folder}/target.png"
    bytes_of(x).save(source)
    subprocess.run(["convert", source, "-motion-blur", f"{radius}x{sigma}{angle:+d}", f"PNG24:{target}"], check=True)
    tensors[f"motion.{radius}.{sigma}.{angle}"] = planes(Image.open(target))
    os.remove(source)
    os.remove(target)

tensors["hue"] = colors(x, lambda h, s, v: ((h + 0.3) % 1, s, v))
for name, size in [("shrunk", (13, 9)), ("enlarged", (40, 50))]:
    channels = [np.asarray(Image.fromarray(c.astype(np.float32)).resize(size, Image.BILINEAR)) for c in x]
    tensors[f"resize.{name}"] = np.stack(channels)

# Files: every kind of PNG, and a JPEG.
small = bytes_of(x).crop((0, 0, 11, 7))
files = {
    "rgb.png": small,
    "grey.png": small.convert("L"),
    "alpha.png": small.convert("RGBA"),
    "palette.png": small.quantize(16),
    "bits.png": small.convert("1"),
    "deep.png": Image.fromarray((np.asarray(small.convert("L")).astype(np.uint16) * 257)),
}
for name, image in files.items():
    image.save(f"{folder}/{name}")
    shown = image.convert("RGB") if name != "deep.png" else small.convert("L").convert("RGB")
    tensors[f"file.{name}"] = planes(shown)
bytes_of(x).save(f"{folder}/photo.jpg", quality=90, subsampling=0)
tensors["file.photo.jpg"] = planes(Image.open(f"{folder}/photo.jpg"))

write_safetensors(f"{folder}/images.safetensors", {k: v.astype(np.float32) for k, v in tensors.items()}, {})
