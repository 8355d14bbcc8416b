from pathlib import Path

import numpy as np
import pytest

from ablations.config import Storage
from ablations.data.pack import pack_chunk
from ablations.data.progress import EXAMPLES, Progress
from ablations.data.sources import Sample


@pytest.fixture
def samples(encode) -> list[Sample]:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    samples = [Sample(encode(image, "PNG", "L"), f"{n}.png") for n, image in enumerate(pixels)]
    samples[3] = Sample(b"", "3.png")
    return samples


def test_what_is_saved_is_loaded(samples: list[Sample], tmp_path: Path):
    progress = Progress.load(tmp_path / "none", 8)
    progress.add(pack_chunk(samples[:4], 8, Storage.jpeg))
    progress.save(tmp_path / "progress.npz")
    loaded = Progress.load(tmp_path / "progress.npz", 8)
    assert loaded.done == 4
    assert loaded.kept == [0, 1, 2]
    assert loaded.lengths == progress.lengths
    assert loaded.bytes == sum(progress.lengths) > 0
    assert loaded.skipped == {"3.png": "empty file"}
    assert loaded.converted == {"grayscale": 3}
    assert (loaded.moments.total == progress.moments.total).all()
    assert (loaded.moments.products == progress.moments.products).all()
    for each in (progress, loaded):
        each.add(pack_chunk(samples[4:], 8, Storage.jpeg))
    assert loaded.kept == progress.kept == [0, 1, 2, *range(4, 30)]
    assert (loaded.moments.mean_image() == progress.moments.mean_image()).all()
    assert len(loaded.examples["grayscale"]) == EXAMPLES


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_notes_that_cannot_be_read_are_a_beginning(content: bytes, tmp_path: Path):
    (tmp_path / "progress.npz").write_bytes(content)
    assert Progress.load(tmp_path / "progress.npz", 8).done == 0
