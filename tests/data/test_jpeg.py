import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ablations.config import DataConfig, Job, Source, Storage
from ablations.data import jpeg
from ablations.data.jpeg import JpegImages, encode
from ablations.data.loading import EpochBatches, PixelBatches, identity
from ablations.data.store import Store, prepare
from ablations.record import load
from ablations.techniques.evaluation import ten_views


@pytest.fixture
def images() -> JpegImages:
    """Thirty smooth images of 16 pixels."""
    axis = np.arange(16, dtype=np.uint8)
    pixels = (axis[:, None, None] * 5 + axis[None, :, None] * 3)[None].repeat(30, 0).repeat(3, 3)
    pixels = pixels + np.arange(30, dtype=np.uint8)[:, None, None, None] * 4
    parts = [encode(image) for image in pixels]
    offsets = np.cumsum([0, *map(len, parts)])
    return JpegImages(np.frombuffer(b"".join(parts), np.uint8), offsets, 16)


def test_rows_are_chosen_as_from_an_array(images: JpegImages):
    whole = images[:]
    assert whole.shape == images.shape == (30, 16, 16, 3)
    assert len(images) == 30
    assert (images[7] == whole[7]).all()
    assert (images[-1] == whole[29]).all()
    assert (images[[4, 4, 0]] == whole[[4, 4, 0]]).all()
    assert images[np.zeros((2, 3), int)].shape == (2, 3, 16, 16, 3)
    assert (whole[20].astype(int) - whole[10]).mean() == pytest.approx(40, abs=1)


def test_both_decoders_give_the_same_pixels(images: JpegImages, reference: Store, monkeypatch):
    pytest.importorskip("simplejpeg")
    fast = images[:], reference.train_images[:]
    monkeypatch.setattr(jpeg, "_simplejpeg", None)
    assert (images[:] == fast[0]).all()
    assert (reference.train_images[:] == fast[1]).all()


def test_any_number_of_threads_gives_the_same_batches(images: JpegImages):
    labels, batches = np.arange(30), EpochBatches(20, 6, 0)
    found = []
    before = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        pixels = PixelBatches(images, labels, np.arange(5, 25))
        found.append(list(DataLoader(pixels, batch_sampler=batches, collate_fn=identity)))
    torch.set_num_threads(before)
    assert len(found[0]) == len(found[1]) == 3
    for one, two in zip(*found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        assert (one.images.numpy() == images[one.labels.numpy()]).all()


def test_images_on_a_device_are_the_decoded_ones(images: JpegImages, monkeypatch):
    monkeypatch.setattr("ablations.data.loading.COPIED", 7)
    pixels = PixelBatches(images, np.arange(30), np.arange(5, 25))
    pixels.to(torch.device("cpu"))
    share = next(iter(EpochBatches(20, 20, 0)))
    batch = pixels.__getitems__(share)
    assert pixels.nbytes == 20 * 16 * 16 * 3
    assert (batch.images.numpy() == images[batch.labels.numpy()]).all()


def test_a_store_of_jpegs_pickles_as_its_path(reference: Store):
    assert (
        reference.train_images[1] == pickle.loads(pickle.dumps(reference)).train_images[1]
    ).all()


def test_ten_views_of_a_planted_image_by_hand():
    quarters = np.array([[[200, 0, 0], [0, 200, 0]], [[0, 0, 200], [90, 90, 90]]], np.uint8)
    content = encode(quarters.repeat(32, 0).repeat(32, 1))
    images = JpegImages(np.frombuffer(content, np.uint8), np.array([0, len(content)]), 64)
    (views,) = ten_views(torch.from_numpy(images[:]), 32).float()
    red, green, blue, gray = (torch.tensor(color).float() for color in quarters.reshape(4, 3))
    for view, color in zip(views[[0, 1, 2, 3]], (red, green, blue, gray), strict=True):
        assert (view[4:-4, 4:-4] - color).abs().max() <= 4
    # The center shows a quarter of each, and the mirrored views those of the same place.
    middle = views[4]
    for corner, color in (
        (middle[:12, :12], red),
        (middle[:12, -12:], green),
        (middle[-12:, :12], blue),
        (middle[-12:, -12:], gray),
    ):
        assert (corner - color).abs().max() <= 4
    assert torch.equal(views[5:], views[:5].flip(2))


@pytest.mark.usefixtures("finished")  # imports that leave variables behind come before this test
def test_training_on_jpegs_equals_training_on_their_pixels(
    few_synthetic: None,
    tiny_job: Callable[..., Job],
    train_here: Callable[[Job], Path],
    encode,
    write_parquet,
    tmp_path: Path,
):
    packed = DataConfig(size=16, crop=12, val_size=11, storage=Storage.jpeg)
    store = prepare(packed, tmp_path / "cache")
    files = [
        write_parquet(f"{name}.parquet", [encode(i) for i in images], labels, store.classes)
        for name, images, labels in (
            ("train", store.train_images[:], store.train_labels),
            ("test", store.test_images[:], store.test_labels),
        )
    ]
    pixels = replace(
        packed, source=Source.huggingface, train=files[:1], test=files[1:], storage=Storage.raw
    )
    records = [load(train_here(tiny_job(data=dataset))) for dataset in (packed, pixels)]
    results = []
    for record in records:
        assert record is not None
        curve = [{**asdict(point), "seconds": 0} for point in record.curve]
        results.append((curve, record.train, record.val, record.test))
    assert results[0] == results[1]
    assert records[0].run_id != records[1].run_id
