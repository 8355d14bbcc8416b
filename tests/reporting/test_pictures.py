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
from ablations.reporting.pictures import data_uri, draw, firsts, mosaic
from ablations.techniques.augmentation import to_input


def decode(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


@pytest.fixture
def found(finished, record):
    return draw(finished.parent, [record])


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
    found = draw(finished.parent, [record])
    assert found.pool == record.data.train_images
    for row in found.neighbors:
        assert len(row.nearest) == pictures.NEIGHBORS
        crops = [np.asarray(decode(p.source), float)[2:-2, 2:-2] for p in (row.image, *row.nearest)]
        distances = [((crop - crops[0]) ** 2).sum() for crop in crops]
        assert distances == sorted(distances)


@pytest.mark.parametrize("raw", [False, True])
def test_networks_of_raw_pixels_get_raw_pixels(raw, finished, record, monkeypatch):
    means = []
    monkeypatch.setattr(
        pictures, "to_input", lambda images, mean: means.append(mean) or to_input(images, mean)
    )
    model = Job.load(finished).run.model
    entry = replace(models.MODELS[model], raw_pixels=raw)
    monkeypatch.setitem(models.MODELS, model, entry)
    draw(finished.parent, [record])
    assert [bool(mean.any()) for mean in means] == [not raw]


def test_what_is_missing_is_reported(finished, record, tmp_path):
    folder = tmp_path / record.run_id
    shutil.copytree(finished, folder)
    (folder / "predictions.npz").unlink()
    assert any("no predictions" in note for note in draw(tmp_path, [record]).missing)
    replace(Job.load(folder), store="nowhere").save(folder)
    found = draw(tmp_path, [record])
    assert found.kernels
    assert not found.neighbors
    assert any("not here" in note for note in found.missing)
    (folder / "last.ckpt").unlink()
    assert draw(tmp_path, [record]) is None


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
