import hashlib
from pathlib import Path

import numpy as np

from ablations.config import DataConfig
from ablations.data import synthetic
from ablations.data.store import prepare


def test_pixels_are_the_same_on_every_machine():
    # If the pixels change without a new VERSION, old stores stay in use.
    assert synthetic.VERSION == 1
    pixels = synthetic.draw(np.arange(20) % 10, 32, np.random.Generator(np.random.PCG64(0)))
    assert hashlib.sha256(pixels.data).hexdigest()[:16] == "e26560160e8b6837"


def test_splits_are_balanced_and_share_no_image(few_synthetic, tmp_path: Path):
    store = prepare(DataConfig(size=17, crop=17), tmp_path)
    assert np.bincount(store.train_labels).tolist() == [6] * 10
    assert np.bincount(store.test_labels).tolist() == [2] * 10
    images = {image.tobytes() for image in (*store.train_images, *store.test_images)}
    assert len(images) == 60 + 20
