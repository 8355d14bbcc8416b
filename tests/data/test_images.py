from pathlib import Path

import numpy as np
import pytest

from ablations.data import images as images_module
from ablations.data.images import StoredImages, encode
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
    return StoredImages(Path("train_images.npy"), content, 16, offsets)


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
