"""Draw the built-in data set: textured shapes in color.

Each image shows one large object, whose shape and texture define the class; color, position, scale,
rotation, mirroring, light and noise are independent of it. Smaller objects of any class surround it
and partly cover it. The data set is a positive control, not evidence about photographs.

Only +, -, ×, ÷, square roots and comparisons of float32 are used, one operation at a time. IEEE 754
defines their results exactly, so every machine draws the same pixels.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ablations.config import DataConfig
from ablations.data.sources import Report, Sample, SourceData, Split

VERSION = 1  # increase when the pixels change

SHAPES = ("ring", "cross", "triangle", "hook", "crescent")
TEXTURES = ("striped", "checked")
CLASSES = [f"{texture} {shape}" for texture in TEXTURES for shape in SHAPES]

TRAIN_IMAGES, TEST_IMAGES = 6000, 2000
BLOCK = 250  # images drawn at once; each block has its own random generator


def read(data: DataConfig, cache: Path, scratch: Path, report: Report) -> SourceData:
    """Draw both splits at ``data.size``; every class is equally frequent."""
    train, test = _split("train", TRAIN_IMAGES, data), _split("test", TEST_IMAGES, data)
    return SourceData("synthetic", list(CLASSES), train, test)


def _split(name: str, count: int, data: DataConfig) -> Split:
    labels = np.arange(count) % len(CLASSES)
    return Split(labels, _samples(name, labels, data.size))


def _samples(name: str, labels: np.ndarray, size: int) -> Iterator[Sample]:
    for start in range(0, len(labels), BLOCK):
        rng = np.random.Generator(np.random.PCG64([VERSION, name == "test", start]))
        for n, image in enumerate(draw(labels[start : start + BLOCK], size, rng)):
            yield Sample(image, f"synthetic {name} image {start + n}")


def draw(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one image per label.

    Args:
        labels: Positions in ``CLASSES``, shape (N,).
        size: Height and width in pixels.
        rng: Random generator for everything that the class does not determine.

    Returns:
        Images, shape (N, size, size, 3), uint8, RGB.
    """
    count = len(labels)
    canvas = _background(count, size, rng)
    for _ in range(2):
        _paint_others(canvas, rng)
    pose = np.hstack([_uniform(rng, (count, 2), -0.25, 0.25), _uniform(rng, (count, 1), 0.5, 0.8)])
    _paint(canvas, labels, pose, rng)
    _paint_others(canvas, rng)

    axis = _axis(size)
    gain = _uniform(rng, (count, 1, 1, 3), 0.75, 1.15)
    slope = _uniform(rng, (2, count, 1, 1, 1), -0.25, 0.25)
    light = slope[0] * axis[:, None, None] + slope[1] * axis[:, None] + np.float32(1)
    noise = _uniform(rng, canvas.shape, -0.06, 0.06)
    return ((canvas * gain * light + noise).clip(0, 1) * np.float32(255)).astype(np.uint8)


def _uniform(
    rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float
) -> np.ndarray:
    return rng.random(shape, np.float32) * np.float32(high - low) + np.float32(low)


def _colors(rng: np.random.Generator, shape: tuple[int, ...], contrast: float) -> np.ndarray:
    """Return random colors that vary more in brightness than in hue, like those of photographs."""
    gray = _uniform(rng, (*shape, 1), 0.5 - 0.35 * contrast, 0.5 + 0.35 * contrast)
    return gray + _uniform(rng, (*shape, 3), -0.2, 0.2)


def _axis(size: int) -> np.ndarray:
    """Return the pixel centers on a scale from -1 to 1."""
    return (np.arange(size, dtype=np.float32) * 2 + 1) / np.float32(size) - np.float32(1)


def _background(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return colors that are interpolated between the points of a 5 x 5 grid."""
    cells = 4
    grid = _colors(rng, (count, cells + 1, cells + 1), 0.25)
    place = (_axis(size) + np.float32(1)) * np.float32(cells / 2)
    cell = place.astype(int)
    step = (place - cell).astype(np.float32)
    down = step[:, None, None]
    rows = grid[:, cell] * (1 - down) + grid[:, cell + 1] * down
    across = step[:, None]
    return rows[:, :, cell] * (1 - across) + rows[:, :, cell + 1] * across


def _paint_others(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """Draw one small object of a random class at a random place into each image, in place."""
    count = len(canvas)
    labels = rng.integers(len(CLASSES), size=count)
    pose = np.hstack([_uniform(rng, (count, 2), -1, 1), _uniform(rng, (count, 1), 0.15, 0.3)])
    _paint(canvas, labels, pose, rng)


def _paint(
    canvas: np.ndarray, labels: np.ndarray, pose: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw one object into each image, in place.

    Args:
        canvas: Shape (N, S, S, 3).
        labels: Class of each object, shape (N,).
        pose: Center x, center y and half width, in units of half the image width, shape (N, 3).
        rng: Random generator for everything else.
    """
    count, size = canvas.shape[:2]
    x, y = _object_frame(pose, size, rng)
    depth = np.empty_like(x)
    for n, shape in enumerate((_ring, _cross, _triangle, _hook, _crescent)):
        rows = labels % len(SHAPES) == n
        depth[rows] = shape(x[rows], y[rows])
    # The edge is one pixel wide.
    cover = (depth * pose[:, 2, None, None] * np.float32(size / 2) + np.float32(0.5)).clip(0, 1)

    period = _uniform(rng, (count, 1, 1), 0.45, 0.75)
    phase = _uniform(rng, (2, count, 1, 1), 0, 1)
    stripes, crossing = _wave(x / period + phase[0]), _wave(y / period + phase[1])
    checked = (labels // len(SHAPES) == 1)[:, None, None]
    mix = np.where(checked, stripes * crossing, stripes) * np.float32(0.5) + np.float32(0.5)

    paint = _colors(rng, (count, 1, 1), 1)
    # The other color is half the range away in every channel, or a random part of that.
    other = np.where(paint < 0.5, paint + np.float32(0.5), paint - np.float32(0.5))
    other = paint + (other - paint) * _uniform(rng, (count, 1, 1, 1), 0.5, 1)
    color = paint + (other - paint) * mix[..., None]
    canvas += (color - canvas) * cover[..., None]


def _object_frame(
    pose: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of every pixel in the frame of its object, which spans -1 to 1."""
    count = len(pose)
    # Tangent of half the angle, up to 23 degrees, gives cosine and sine by arithmetic alone.
    t = _uniform(rng, (count, 1, 1), -0.2, 0.2)
    cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    mirror = np.where(rng.random((count, 1, 1), np.float32) < 0.5, 1, -1).astype(np.float32)
    axis = _axis(size)
    x, y = axis - pose[:, 0, None, None], axis[:, None] - pose[:, 1, None, None]
    scale = pose[:, 2, None, None]
    return (x * cos + y * sin) / scale * mirror, (y * cos - x * sin) / scale


def _wave(x: np.ndarray) -> np.ndarray:
    """Return a wave of period 1 between -1 and 1 that is steep where its sign changes."""
    return ((np.abs(x - np.floor(x) - np.float32(0.5)) - np.float32(0.25)) * 10).clip(-1, 1)


# Each shape returns approximately the distance to its edge, positive inside and negative outside.


def _radius(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)


def _box(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    return np.minimum(np.float32(width) - np.abs(x), np.float32(height) - np.abs(y))


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    radius = _radius(x, y)
    return np.minimum(1 - radius, radius - np.float32(0.45))


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_box(x, y, 1, 0.36), _box(x, y, 0.36, 1))


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    side = (y + np.float32(0.9)) * np.float32(0.55) - np.abs(x)
    return np.minimum(np.float32(0.85) - y, side)


def _hook(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    upright = _box(x + np.float32(0.5), y, 0.36, 1)
    return np.maximum(upright, _box(x, y - np.float32(0.64), 0.86, 0.36))


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    hole = _radius(x - np.float32(0.5), y) - np.float32(0.65)
    return np.minimum(1 - _radius(x, y), hole)
