"""Batches of one process and of several, from the store to the LightningDataModule."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ablations.config import ConfigError, DataConfig, Run, Storage
from ablations.data import store as store_module
from ablations.data.datamodule import Images
from ablations.data.images import StoredImages
from ablations.data.loading import Batch, EvaluationLoader, PixelBatches, TrainingLoader
from ablations.data.store import Store, prepare


@pytest.fixture
def store(cache, tiny_config) -> Store:
    return prepare(tiny_config.data, cache)


def _pixels(loader: Iterable) -> list[bytes]:
    return [image.numpy().tobytes() for batch in loader for image in batch.images]


# Which images


def _numbered(n: int) -> PixelBatches:
    """Images whose labels are their numbers."""
    return PixelBatches(StoredImages(Path(), np.zeros((n, 2, 2, 3), np.uint8), 2), np.arange(n))


def _joined(batches: Iterable[Batch], name: str) -> list[int]:
    return [value for batch in batches for value in getattr(batch, name).tolist()]


def test_an_epoch_has_whole_batches_of_different_images():
    loader = TrainingLoader(_numbered(100), 32, seed=0)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert len(set(_joined(batches, "labels"))) == 96
    assert _joined(batches, "positions") == list(range(96))
    assert all(batch.rows.tolist() == list(range(32)) for batch in batches)


def test_the_order_depends_on_seed_stream_and_epoch_only(tiny_run: Run, store: Store):
    def order(run: Run, epoch: int) -> list[bytes]:
        loader = Images(run, store).train_dataloader()
        loader.set_epoch(epoch)
        return _pixels(loader)

    runs = [(tiny_run, 0), (tiny_run, 1)]
    runs += [(replace(tiny_run, seed=1), 0), (replace(tiny_run, replicate=1), 0)]
    orders = [order(*run) for run in runs]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])
    torch.manual_seed(1)
    assert order(tiny_run, 0) == orders[0]


@pytest.mark.parametrize("world", [2, 3, 8])
def test_processes_together_train_on_the_batches_of_one(world: int):
    single, *ranks = (
        TrainingLoader(_numbered(50), 16, 7, *of)
        for of in [(), *((r, world) for r in range(world))]
    )
    for loader in (single, *ranks):
        loader.set_epoch(4)
    for whole, *parts in zip(single, *ranks, strict=True):
        for name in ("labels", "positions", "rows"):
            assert _joined(parts, name) == _joined([whole], name)
        assert max(len(p.rows) for p in parts) - min(len(p.rows) for p in parts) <= 1


@pytest.mark.parametrize(("n", "batch_size", "world"), [(10, 11, 1), (10, 2, 3)])
def test_batches_that_cannot_be_filled_are_refused(n: int, batch_size: int, world: int):
    with pytest.raises(ConfigError, match=f"recipe.batch_size={batch_size}: .* {world} .* {n} "):
        TrainingLoader(_numbered(n), batch_size, 0, 0, world)


@pytest.mark.parametrize(("n", "world"), [(0, 1), (1, 2), (37, 1), (37, 3)])
@pytest.mark.parametrize("batch_size", [4, 100])
def test_evaluation_counts_every_image_once(n: int, world: int, batch_size: int):
    seen: list[int] = []
    for rank in range(world):
        loader = EvaluationLoader(_numbered(n), batch_size, rank, world)
        batches = list(loader)
        assert len(batches) == len(loader)
        assert all(0 < len(batch.labels) <= batch_size for batch in batches)
        assert _joined(batches, "labels") == _joined(batches, "positions")
        seen += _joined(batches, "labels")
    assert seen == list(range(n))


def test_a_loader_goes_on_within_an_epoch_once():
    first, second = (TrainingLoader(_numbered(100), 16, 0) for _ in range(2))
    for loader in (first, second):
        loader.set_epoch(2)
    whole, iterator = list(first), iter(first)
    assert first.state_dict() == {"batches": 0}  # the epoch is complete
    for _ in range(4):
        next(iterator)
    assert first.state_dict() == {"batches": 4}
    second.load_state_dict(first.state_dict())
    assert len(second) == len(whole) == 6
    assert _joined(second, "labels") == _joined(whole[4:], "labels")
    assert len(list(second)) == 6


# Their pixels


@pytest.mark.parametrize("resident", [False, True])
def test_batches_hold_the_images_that_were_asked_for(tmp_path, resident: bool):
    # Image n has the value n and the label n % 7; the data set has every second image.
    images = np.arange(24, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    np.save(tmp_path / "images.npy", images.repeat(3, 3))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    images = StoredImages(tmp_path, mapped, 8)
    pixels = PixelBatches(images, np.arange(24) % 7, np.arange(0, 24, 2))
    assert pixels.nbytes == 12 * 8 * 8 * 3
    if resident:
        pixels.to(torch.device("cpu"))
    positions, rows = torch.tensor([8, 9, 10]), torch.tensor([0, 1, 2])
    batch = pixels.gather(torch.tensor([3, 0, 11]), positions, rows)
    assert batch.images.shape == (3, 8, 8, 3)
    assert batch.images.dtype == torch.uint8
    assert batch.images[:, 0, 0, 0].tolist() == [6, 0, 22]
    assert batch.labels.tolist() == [6, 0, 22 % 7]
    assert batch.positions is positions
    assert batch.rows is rows


@pytest.mark.parametrize("storage", list(Storage))
def test_images_of_a_large_store_are_checked_on_their_way_into_a_batch(
    storage: Storage, few_synthetic, tmp_path, monkeypatch
):
    dataset = DataConfig(size=8, crop=8, storage=storage)
    plain = prepare(dataset, tmp_path)
    monkeypatch.setattr(store_module, "VERIFIED_BYTES", 0)
    share = torch.tensor([7, 59, 0]), torch.arange(3), torch.arange(3)

    def pixels(store: Store) -> PixelBatches:
        return PixelBatches(store.train_images, store.train_labels)

    sound = pixels(Store(plain.path)).gather(*share).images
    assert torch.equal(sound, torch.from_numpy(plain.train_images[[7, 59, 0]]))
    file = plain.path / "train_images.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    damaged = pixels(Store(plain.path))
    with pytest.raises(ConfigError, match="image 59 of train_images"):
        damaged.gather(*share)
    with pytest.raises(ConfigError, match="image 59 of train_images"):
        damaged.to(torch.device("cpu"))


def test_training_validation_and_test_images_do_not_overlap(tiny_run: Run, store: Store):
    images = Images(tiny_run, store)
    train, val, test = (set(_pixels(loader)) for loader in images.test_dataloader())
    assert (len(train), len(val), len(test)) == (49, 11, 23)
    assert len(train | val | test) == 49 + 11 + 23
    assert set(_pixels(images.val_dataloader())) == val
    assert set(_pixels(images.train_dataloader())) <= train


def test_each_process_takes_its_share_from_the_trainer(tiny_run: Run, store: Store):
    def pixels(rank: int, world: int) -> list[list[bytes]]:
        images = Images(tiny_run, store)
        images.trainer = SimpleNamespace(global_rank=rank, world_size=world)  # type: ignore
        return [_pixels(each) for each in (images.train_dataloader(), *images.test_dataloader())]

    for first, second, alone in zip(pixels(0, 2), pixels(1, 2), pixels(0, 1), strict=True):
        assert first
        assert sorted(first + second) == sorted(alone)
