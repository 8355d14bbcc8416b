"""A trained network in the hands of a user: loaded, and asked about images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from finished import predictions
from PIL import Image

import ablations
from ablations.config import ConfigError, Job
from ablations.data.store import Store
from ablations.record import CHECKPOINT, RECORD, Record, checksum, unpack
from ablations.trained import TrainedNetwork


@pytest.fixture
def trained(finished: Path) -> TrainedNetwork:
    return ablations.load(finished)


@pytest.fixture
def runs(finished: Path, runs_dir: Path) -> Path:
    """A folder with a copy of the tiny run."""
    shutil.copytree(finished, runs_dir / finished.name)
    return runs_dir


@pytest.fixture
def store(finished: Path) -> Store:
    return Store(Path(Job.load(finished).store))


@pytest.mark.parametrize("views", ["center", "ten_view"])
def test_it_predicts_what_the_run_predicted(trained, store, finished, record: Record, views):
    found = trained.predict(torch.tensor(store.test_images[:]), views)
    assert (found.argmax(1).numpy() == unpack(record.predicted[views])).all()
    np.testing.assert_allclose(found, predictions(finished)[views], atol=0.01)
    wrong = found.argmax(1).numpy() != store.test_labels
    assert wrong.mean() == pytest.approx(record.test[views].top1)


def test_files_and_pictures_and_pixels_are_the_same_images(trained, store, tmp_path):
    pixels = store.test_images[:2]
    Image.fromarray(pixels[0]).save(tmp_path / "one.png")
    given = [tmp_path / "one.png", Image.fromarray(pixels[1])]
    assert (trained.preprocess(given).numpy() == pixels).all()
    assert torch.equal(trained.predict(given), trained.predict(torch.tensor(pixels)))
    assert torch.equal(trained(torch.tensor(pixels)).softmax(1), trained.predict(given, "center"))


def test_large_images_are_scaled_to_what_was_trained_on(trained):
    half = np.zeros((40, 64, 3), np.uint8)
    half[:, 32:] = 200
    (pixels,) = trained.preprocess([Image.fromarray(half)])
    assert pixels.shape == (16, 16, 3)
    assert pixels[:, 0].max() == 0
    assert pixels[:, -1].min() == 200


def test_more_images_than_pass_at_a_time_keep_their_order(trained, store):
    images = torch.tensor(store.train_images[:40])
    each = torch.cat([trained.predict(image[None]) for image in images])
    torch.testing.assert_close(trained.predict(images), each)
    assert trained.predict([]).shape == (0, 10)


def test_it_is_ready_and_knows_its_classes_and_its_record(trained, store, record):
    assert not any(module.training for module in trained.modules())
    assert trained.classes == list(store.classes)
    assert trained.record == record
    assert (trained.size, trained.crop) == (16, 12)
    best = trained.top(torch.tensor([0.1, 0.6, 0.3, *7 * [0.0]]), 2)
    assert best == [(store.classes[1], pytest.approx(0.6)), (store.classes[2], pytest.approx(0.3))]


def change_checkpoint(folder: Path, **changes) -> None:
    content = torch.load(folder / CHECKPOINT, weights_only=True)
    hyper = content["hyper_parameters"] | changes
    content["hyper_parameters"] = {k: v for k, v in hyper.items() if v is not None}
    torch.save(content, folder / CHECKPOINT)


def test_an_earlier_checkpoint_without_names_has_class_numbers(runs, finished):
    change_checkpoint(runs / finished.name, names=None)
    assert ablations.load(finished.name, runs).classes == [str(n) for n in range(10)]


def no_record(folder: Path) -> None:
    (folder / RECORD).unlink()


def diverged(folder: Path) -> None:
    values = json.loads((folder / RECORD).read_text()) | {"status": "diverged"}
    del values["checksum"]
    content = json.dumps(values | {"checksum": checksum(values)})
    (folder / RECORD).write_text(content)


def no_checkpoint(folder: Path) -> None:
    (folder / CHECKPOINT).unlink()


def flipped(folder: Path) -> None:
    content = bytearray((folder / CHECKPOINT).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / CHECKPOINT).write_bytes(content)


def of_another_run(folder: Path) -> None:
    change_checkpoint(folder, run=ablations.load(folder).run.to_dict() | {"seed": 9})


def twin(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name(folder.name[:6] + "000000"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_record, "has not finished; next step"),
        (diverged, "diverged, so there is no network; next step"),
        (no_checkpoint, "last.ckpt: No such file"),
        (flipped, "not a complete checkpoint; next step"),
        (of_another_run, "belongs to run [0-9a-f]{12}; next step"),
        (twin, r"matches 2 runs in .*; next step: list"),
        (shutil.rmtree, r"no such run in .*; next step"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_loaded_is_refused_in_one_line(runs, finished, change, message):
    change(runs / finished.name)
    with pytest.raises(ConfigError, match=message) as error:
        ablations.load(finished.name[:6], runs)
    assert "\n" not in str(error.value)


def test_no_image_and_no_such_views_are_refused(trained, tmp_path):
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(ConfigError, match=r"notes\.png: damaged, or not an image"):
        trained.predict([tmp_path / "notes.png"])
    with pytest.raises(ConfigError, match="views=two: must be center or ten_view"):
        trained.predict([], "two")
