from pathlib import Path

import numpy as np
import pytest
import torch

from ablations.data import images as images_module
from ablations.data.images import StoredImages, encode
from ablations.data.loading import EpochBatches, Loader, PixelBatches
from ablations.data.store import Store


@pytest.fixture
def images() -> StoredImages:
    """Thirty smooth images of 16 pixels, each 4 brighter than the one before."""
    axis = np.arange(16, dtype=np.uint8)
    pixels = (axis[:, None, None] * 5 + axis[None, :, None] * 3)[None].repeat(30, 0).repeat(3, 3)
    pixels = pixels + np.arange(30, dtype=np.uint8)[:, None, None, None] * 4
    parts = [encode(image) for image in pixels]
    offsets = np.cumsum([0, *map(len, parts)])
    content = np.frombuffer(b"".join(parts), np.uint8)
    return StoredImages(Path("train_images.npy"), content, offsets, 16, jpeg=True)


def test_rows_are_chosen_as_from_an_array(images: StoredImages):
    whole = images[:]
    assert whole.shape == images.shape == (30, 16, 16, 3)
    assert len(images) == 30
    for rows in (7, -1, [4, 4, 0], np.zeros((2, 3), int), slice(3, 20, 5)):
        assert np.array_equal(images[rows], whole[rows])
    assert (whole[20].astype(int) - whole[10]).mean() == pytest.approx(40, abs=1)


def test_both_decoders_give_the_same_pixels(images: StoredImages, reference: Store, monkeypatch):
    pytest.importorskip("simplejpeg")
    fast = images[:], reference.train_images[:]
    monkeypatch.setattr(images_module, "_simplejpeg", None)
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
