import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ablations.config import ConfigError
from ablations.data.loading import (
    EpochBatches,
    EvaluationBatches,
    GatherLoader,
    PixelBatches,
    ResumableLoader,
    Share,
    epoch_order,
    identity,
)


@pytest.fixture
def pixels() -> PixelBatches:
    """Every other image of 24; image n is filled with n, its label is n % 7."""
    images = np.arange(24, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    return PixelBatches(images.repeat(3, 3), np.arange(24) % 7, np.arange(0, 24, 2))


def _equal(left: Share, right: Share) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_the_order_depends_on_seed_and_epoch_only():
    order = epoch_order(100, 3, 5)
    torch.manual_seed(1)
    assert torch.equal(order, epoch_order(100, 3, 5))
    assert not torch.equal(order, epoch_order(100, 3, 6))
    assert not torch.equal(order, epoch_order(100, 4, 5))
    assert order.sort().values.tolist() == list(range(100))


def test_an_epoch_has_whole_batches_of_different_images():
    batches = EpochBatches(100, 32, seed=0)
    shares = list(batches)
    assert len(shares) == len(batches) == 3
    seen = torch.cat([share.index for share in shares])
    assert len(seen.unique()) == 96
    assert torch.cat([share.positions for share in shares]).tolist() == list(range(96))
    assert all(share.rows.tolist() == list(range(32)) for share in shares)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_processes_together_train_on_the_batches_of_one(world: int):
    ranks = [EpochBatches(50, 16, 7, rank, world) for rank in range(world)]
    for batches in ranks:
        batches.set_epoch(4)
    single = EpochBatches(50, 16, 7)
    single.set_epoch(4)
    for whole, *parts in zip(single, *ranks, strict=True):
        joined = Share(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
        assert _equal(whole, joined)
        assert max(len(p.rows) for p in parts) - min(len(p.rows) for p in parts) <= 1


def test_a_loader_goes_on_within_an_epoch_once():
    pixels = PixelBatches(np.zeros((100, 2, 2, 3), np.uint8), np.arange(100))
    first, second = (ResumableLoader(pixels, EpochBatches(100, 16, 0)) for _ in range(2))
    for loader in (first, second):
        loader.shares.set_epoch(2)
    whole, iterator = list(first), iter(first)
    assert first.state_dict() == {"batches": 0}  # an epoch that is done is no part of the next
    for _ in range(4):
        next(iterator)
    assert first.state_dict() == {"batches": 4}
    second.load_state_dict(first.state_dict())
    assert len(second) == len(whole) == 6
    rest = list(second)
    assert len(rest) == 2
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(rest, whole[4:], strict=True))
    assert len(list(second)) == 6


def test_epochs_differ():
    batches = EpochBatches(64, 64, 0)
    (first,) = batches
    batches.sampler.set_epoch(1)
    (second,) = batches
    assert not torch.equal(first.index, second.index)
    assert torch.equal(first.positions, second.positions)


@pytest.mark.parametrize(("n", "batch_size", "world"), [(10, 11, 1), (10, 2, 3)])
def test_batches_that_cannot_be_filled_are_refused(n: int, batch_size: int, world: int):
    with pytest.raises(ConfigError, match=f"recipe.batch_size={batch_size}: between"):
        EpochBatches(n, batch_size, 0, 0, world)


@pytest.mark.parametrize("n", [0, 1, 10, 37])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_evaluation_counts_every_image_once(n: int, world: int, batch_size: int):
    seen: list[int] = []
    for rank in range(world):
        batches = EvaluationBatches(n, batch_size, rank, world)
        shares = list(batches)
        assert len(shares) == len(batches)
        assert all(0 < len(share.index) <= batch_size for share in shares)
        seen += [index for share in shares for index in share.positions.tolist()]
    assert seen == list(range(n))


@pytest.mark.parametrize("resident", [False, True])
def test_batches_hold_the_images_that_were_asked_for(pixels: PixelBatches, resident: bool):
    if resident:
        pixels.to(torch.device("cpu"))
    share = Share(torch.tensor([3, 0, 11]), torch.tensor([8, 9, 10]), torch.tensor([0, 1, 2]))
    batch = pixels.__getitems__(share)
    assert batch.images.shape == (3, 8, 8, 3)
    assert batch.images.dtype == torch.uint8
    assert batch.images[:, 0, 0, 0].tolist() == [6, 0, 22]
    assert batch.labels.tolist() == [6, 0, 22 % 7]
    assert batch.positions is share.positions
    assert batch.rows is share.rows
    assert pixels.nbytes == 12 * 8 * 8 * 3


def test_a_loader_hands_over_whole_batches(pixels: PixelBatches):
    batches = EpochBatches(len(pixels), 5, 0)
    loader = DataLoader(pixels, batch_sampler=batches, collate_fn=identity)
    assert len(loader) == 2
    for batch, share in zip(loader, batches, strict=True):
        assert (batch.images[:, 0, 0, 0] == share.index * 2).all()


def test_a_memory_map_is_gathered_without_a_warning(tmp_path):
    np.save(tmp_path / "images.npy", np.ones((4, 8, 8, 3), np.uint8))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    pixels = PixelBatches(images, np.zeros(4, np.int64))
    for _ in range(2):
        batch = pixels.__getitems__(Share(*(torch.arange(4) for _ in range(3))))
        assert batch.images.sum() == 4 * 8 * 8 * 3
        pixels.to(torch.device("cpu"))


def test_the_loader_gives_what_torchs_gives():
    images = np.arange(6 * 2 * 2 * 3, dtype=np.uint8).reshape(6, 2, 2, 3)
    pixels = PixelBatches(images, np.arange(6))
    batches = EpochBatches(6, 2, seed=0)
    theirs = DataLoader(pixels, batch_sampler=batches, collate_fn=identity)
    ours = GatherLoader(pixels, batches)
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
