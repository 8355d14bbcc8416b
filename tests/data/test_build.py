import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ablations.config import ConfigError, Dataset
from ablations.data import build, decode
from ablations.data.build import Moments
from ablations.data.sources import Images, Sample, Split


def _images(pixels: np.ndarray) -> Images:
    def split() -> Split:
        samples = (Sample(image, str(n)) for n, image in enumerate(pixels))
        return Split(np.arange(len(pixels)) % 2, samples)

    return Images(["a", "b"], split(), split())


def test_the_mean_image_is_the_mean_of_each_pixel():
    moments = Moments(8)
    first = np.zeros((1, 8, 8, 3), np.uint8)
    second = np.full((2, 8, 8, 3), 30, np.uint8)
    second[:, 0, 0, 0] = 255
    moments.add(first)
    moments.add(second)
    mean = moments.mean_image()
    assert mean.dtype == np.float32
    assert mean[0, 0].tolist() == [170, 20, 20]
    assert mean[1, 0].tolist() == [20, 20, 20]


def test_principal_colours_of_two_greys_by_hand():
    # Half the pixels 0, half (60, 60, 60): all variance, 3 * 30 ** 2, lies along grey.
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    pixels[1] = 60
    moments = Moments(8)
    moments.add(pixels)
    std, basis = moments.principal_colors()
    assert std == pytest.approx([30 * np.sqrt(3), 0, 0], abs=1e-5)
    assert basis[:, 0] == pytest.approx(np.sqrt([1 / 3] * 3))
    assert basis.T @ basis == pytest.approx(np.eye(3))


def test_principal_colours_along_the_axes_by_hand():
    # Red is 0 or 200, green 0 or 20, independently; blue is constant.
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    pixels[2:, ..., 0] = 200
    pixels[1::2, ..., 1] = 20
    pixels[..., 2] = 7
    moments = Moments(8)
    moments.add(pixels)
    std, basis = moments.principal_colors()
    assert std == pytest.approx([100, 10, 0], abs=1e-5)
    assert basis == pytest.approx(np.eye(3))


def test_statistics_do_not_depend_on_how_images_are_grouped():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), np.uint8)
    whole, parts = Moments(8), Moments(8)
    whole.add(pixels)
    for part in np.split(pixels, [1, 7, 30]):
        parts.add(part)
    assert (whole.products == parts.products).all()
    assert (whole.total == parts.total).all()


@pytest.mark.parametrize("chunk_bytes", [1, 600, 2**22])
def test_the_store_is_the_same_for_every_chunk_length(chunk_bytes, tmp_path: Path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (25, 8, 8, 3), np.uint8)
    monkeypatch.setattr(build, "CHUNK_BYTES", chunk_bytes)
    build.build(_images(pixels), tmp_path, Dataset(size=8, crop=8), lambda line: None)
    assert (np.load(tmp_path / "train_images.npy") == pixels).all()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["fingerprint"].startswith("36b597dff20b13e1")


def test_the_fingerprint_depends_on_pixels_labels_and_splits(tmp_path: Path):
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    changed = pixels.copy()
    changed[3, 7, 7, 2] = 1
    plain, other = _images(pixels), _images(changed)
    relabelled = Split(np.array([0, 1, 0, 0]), _images(pixels).test.samples)
    variants = [
        plain,
        Images(["a", "b"], other.train, _images(pixels).test),
        Images(["a", "b"], _images(pixels).train, other.test),
        Images(["a", "b"], _images(pixels).train, relabelled),
        _images(pixels[:3]),
    ]
    found = set()
    for n, images in enumerate(variants):
        (tmp_path / str(n)).mkdir()
        build.build(images, tmp_path / str(n), Dataset(size=8, crop=8), lambda line: None)
        found.add(json.loads((tmp_path / str(n) / "manifest.json").read_text())["fingerprint"])
    assert len(found) == len(variants)


def test_a_disk_that_is_too_small_is_told_before_the_work(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(ConfigError, match="ABLATIONS_CACHE=FOLDER to a larger disk"):
        build.build(
            _images(np.zeros((9, 8, 8, 3), np.uint8)), tmp_path, Dataset(size=8, crop=8), print
        )


def test_progress_is_reported_about_once_a_second(tmp_path: Path, monkeypatch):
    clock = iter(np.arange(0, 1000, 0.4))
    monkeypatch.setattr(build.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(build, "CHUNK_BYTES", 1)
    lines: list[str] = []
    pixels = np.zeros((10, 8, 8, 3), np.uint8)
    build.build(_images(pixels), tmp_path, Dataset(size=8, crop=8), lines.append)
    assert lines[0] == "decoding train images: 3 of 10"
    assert len(lines) == 7
    assert lines[-1] == "decoded 10 training and 10 test images"


def test_few_chunks_are_decoded_ahead(monkeypatch):
    monkeypatch.setattr(build, "CHUNK_BYTES", 1)
    taken: list[int] = []

    def samples():
        for n in range(1000):
            taken.append(n)
            yield Sample(np.zeros((8, 8, 3), np.uint8), str(n))

    decoded = build._decoded(samples(), 8)
    start, chunk = next(decoded)
    assert start == 0
    assert isinstance(chunk, decode.Decoded)
    assert len(taken) < 200
    decoded.close()
