from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ablations.config import DataConfig, Job, Source, Storage
from ablations.data import jpeg
from ablations.data.jpeg import JpegImages, encode
from ablations.data.loading import EpochBatches, Loader, PixelBatches
from ablations.data.store import Store, prepare
from ablations.record import load


@pytest.fixture
def images() -> JpegImages:
    """Thirty smooth images of 16 pixels, each 4 brighter than the one before."""
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
    for rows in (7, -1, [4, 4, 0], np.zeros((2, 3), int), slice(3, 20, 5)):
        assert np.array_equal(images[rows], whole[rows])
    assert (whole[20].astype(int) - whole[10]).mean() == pytest.approx(40, abs=1)


def test_both_decoders_give_the_same_pixels(images: JpegImages, reference: Store, monkeypatch):
    pytest.importorskip("simplejpeg")
    fast = images[:], reference.train_images[:]
    monkeypatch.setattr(jpeg, "_simplejpeg", None)
    assert (images[:] == fast[0]).all()
    assert (reference.train_images[:] == fast[1]).all()


def test_any_number_of_threads_and_a_device_give_the_same_batches(images, monkeypatch):
    monkeypatch.setattr("ablations.data.loading.COPIED", 7)
    found, before = [], torch.get_num_threads()
    for count, resident in ((1, False), (2, False), (1, True)):
        torch.set_num_threads(count)
        pixels = PixelBatches(images, np.arange(30), np.arange(5, 25))
        if resident:
            pixels.to(torch.device("cpu"))
        found.append(list(Loader(pixels, EpochBatches(20, 6, 0))))
    torch.set_num_threads(before)
    for batches in zip(*found, strict=True):
        for batch in batches:
            assert (batch.images.numpy() == images[batch.labels.numpy()]).all()
            assert torch.equal(batch.labels, batches[0].labels)


@pytest.mark.usefixtures("finished")  # so that imports have set their variables before
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
        packed,
        source=Source.huggingface,
        train=tuple(files[:1]),
        test=tuple(files[1:]),
        storage=Storage.raw,
    )
    records = [load(train_here(tiny_job(data=dataset))) for dataset in (packed, pixels)]
    results = []
    for record in records:
        assert record is not None
        curve = [{**asdict(point), "seconds": 0} for point in record.curve]
        results.append((curve, record.train, record.val, record.test))
    assert results[0] == results[1]
    assert records[0].run_id != records[1].run_id
