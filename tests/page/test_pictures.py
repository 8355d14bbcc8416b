import base64
import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ablations import networks
from ablations.config import Job
from ablations.page import pictures
from ablations.page.pictures import album, mosaic
from ablations.techniques.augmentation import to_input


@pytest.fixture
def found(finished, record):
    return album(finished.parent, [record])


def test_kernels_of_both_towers(found):
    assert len(found.towers) == 2
    for tower in found.towers:
        assert ((tower.colors >= 0) & (tower.colors <= 1)).all()
        head, _, data = tower.picture.source.partition(",")
        assert head == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).mode == "RGBA"
        assert "kernels of 5 × 5 pixels" in tower.picture.text


def test_the_kernels_are_those_of_the_record(found, record):
    means = [tower.colors.mean() for tower in found.towers]
    np.testing.assert_allclose(means, record.colors)


def test_guesses_are_the_five_most_probable(found):
    assert found.guesses
    for guess in found.guesses:
        shares = [share for _, share, _ in guess.classes]
        assert len(shares) == 5
        assert shares == sorted(shares, reverse=True)
        assert guess.right == guess.classes[0][2]


def test_neighbors_are_training_images_counted_by_class(found):
    assert found.likenesses
    for likeness in found.likenesses:
        alike = sum(near.text == likeness.image.text for near in likeness.nearest)
        assert likeness.same == alike


def test_neighbors_are_sought_among_all_images_where_there_are_few(found, record):
    assert found.pool == record.data.train_images


def test_networks_of_raw_pixels_are_shown_raw_pixels(finished, record, monkeypatch):
    means = []

    def watched(images, mean):
        means.append(mean)
        return to_input(images, mean)

    monkeypatch.setattr(pictures, "to_input", watched)
    album(finished.parent, [record])
    assert means
    assert all(mean.any() for mean in means)
    means.clear()
    model = Job.load(finished).run.model
    raw = replace(networks.MODELS[model], raw_pixels=True)
    monkeypatch.setitem(networks.MODELS, model, raw)
    album(finished.parent, [record])
    assert means
    assert not any(mean.any() for mean in means)


def test_without_a_checkpoint_there_is_no_album(finished, record, tmp_path):
    shutil.copytree(finished, tmp_path / record.run_id)
    (tmp_path / record.run_id / "last.ckpt").unlink()
    assert album(tmp_path, [record]) is None


def test_without_predictions_and_images_that_is_told(finished, record, tmp_path):
    folder = tmp_path / record.run_id
    shutil.copytree(finished, folder)
    (folder / "predictions.npz").unlink()
    assert any("no guesses" in note for note in album(tmp_path, [record]).missing)
    config = (folder / "config.yaml").read_text()
    lines = [
        "store: nowhere" if line.startswith("store:") else line for line in config.splitlines()
    ]
    (folder / "config.yaml").write_text("\n".join(lines))
    found = album(tmp_path, [record])
    assert found.towers
    assert not found.likenesses
    assert any("not here" in note for note in found.missing)


def test_a_mosaic_keeps_every_kernel():
    kernels = np.ones((13, 2, 2, 3))
    sheet = mosaic(kernels)
    assert sheet.shape == (2 * 3 - 1, 8 * 3 - 1, 4)
    assert (sheet[..., 3] == 255).sum() == 13 * 4
