"""The pictures of a trained network."""

import base64
import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ablations import models
from ablations.config import Job
from ablations.reporting import pictures
from ablations.reporting.evidence import gather
from ablations.reporting.pictures import data_uri, draw, firsts, mosaic


def decode(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


def drawn(output):
    (section,) = gather(output).sections
    return draw(section)


@pytest.fixture
def found(finished):
    return drawn(finished.parent)


def test_there_are_kernels_of_both_towers(found, record):
    assert len(found.kernels) == 2
    for image, color in zip(found.kernels, record.colors, strict=True):
        assert decode(image.source).mode == "RGBA"
        assert f"kernels of 5 × 5 pixels, mean color {100 * color:.0f} %" in image.text


def test_predictions_are_the_five_most_probable_classes(found):
    assert found.predictions
    for prediction in found.predictions:
        shares = [share for _, share, _ in prediction.classes]
        assert len(shares) == 5
        assert shares == sorted(shares, reverse=True)
        marked = [name for name, _, correct in prediction.classes if correct]
        assert marked in ([], [prediction.image.text])


def test_examples_are_the_first_of_each_class():
    labels = np.array([4, 4, 6, 5, 3, 2])
    assert firsts(np.arange(6), labels, 4).tolist() == [0, 2, 3, 4]
    assert firsts(np.array([1, 2]), labels, 4).tolist() == [1, 2]
    assert firsts(np.array([], int), labels, 4).tolist() == []


def test_each_row_of_neighbors_has_the_nearest_training_images(finished, record, monkeypatch):
    monkeypatch.setattr(models, "features", lambda network, inputs: inputs)
    found = drawn(finished.parent)
    assert found.pool == record.data.train_images
    for row in found.neighbors:
        assert len(row) == 1 + pictures.NEIGHBORS
        crops = [np.asarray(decode(image.source), float)[2:-2, 2:-2] for image in row]
        distances = [((crop - crops[0]) ** 2).sum() for crop in crops]
        assert distances == sorted(distances)


def test_without_prepared_data_or_a_checkpoint_there_is_less_to_see(finished, record, tmp_path):
    folder = tmp_path / record.run_id
    shutil.copytree(finished, folder)
    replace(Job.load(folder), store="nowhere").save(folder)
    found = drawn(tmp_path)
    assert found.kernels
    assert not found.predictions + found.neighbors
    (folder / "last.ckpt").unlink()
    assert drawn(tmp_path).run is None


def test_a_mosaic_keeps_every_kernel_between_transparent_gaps():
    kernels = torch.tensor([-1.0, 1.0]).repeat(13, 3, 2, 1)
    sheet = mosaic(kernels)
    assert sheet.shape == (2 * 3 - 1, 8 * 3 - 1, 4)
    assert (sheet[..., 3] == 255).sum() == 13 * 4
    assert sheet[0, :2, 0].tolist() == [0, 255]


def test_only_large_photographs_lose_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(decode(data_uri(pixels[:32, :32]))), pixels[:32, :32])
    assert decode(data_uri(pixels)).size == (128, 128)
