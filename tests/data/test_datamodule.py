from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ablations.config import Run
from ablations.data.datamodule import Images
from ablations.data.store import Store


@pytest.fixture
def store(cache, tiny_config) -> Store:
    from ablations.data.store import prepare

    return prepare(tiny_config.data, cache)


def images_of(loader) -> list[bytes]:
    return [image.numpy().tobytes() for batch in loader for image in batch.images]


def test_the_ranks_share_each_training_batch(tiny_run: Run, store: Store):
    whole = Images(tiny_run, store, 0, 1)
    shares = [Images(tiny_run, store, rank, 3) for rank in range(3)]
    batches = list(whole.train_dataloader())
    assert [len(batch.images) for batch in batches] == [16, 16, 16]
    for batch, *parts in zip(batches, *(s.train_dataloader() for s in shares), strict=True):
        for name in ("images", "labels", "positions", "rows"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(joined, getattr(batch, name)), name


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_test_image_is_seen_once_whatever_the_number_of_ranks(
    world: int, tiny_run: Run, store: Store
):
    positions, pixels = [], []
    for rank in range(world):
        loader = Images(tiny_run, store, rank, world).test_dataloader()[2]
        positions += [batch.positions for batch in loader]
        pixels += images_of(loader)
    assert sorted(torch.cat(positions).tolist()) == list(range(23))
    assert sorted(pixels) == sorted(image.tobytes() for image in store.test_images)


def test_training_validation_and_test_images_do_not_overlap(tiny_run: Run, store: Store):
    images = Images(tiny_run, store, 0, 1)
    train, val, test = (set(images_of(loader)) for loader in images.test_dataloader())
    assert (len(train), len(val), len(test)) == (49, 11, 23)
    assert len(train | val | test) == 49 + 11 + 23
    assert set(images_of(images.val_dataloader())) == val
    assert set(images_of(images.train_dataloader())) <= train


def test_the_order_depends_on_seed_stream_and_epoch(tiny_run: Run, store: Store):
    from dataclasses import replace

    def order(run: Run, epoch: int) -> list[bytes]:
        images = Images(run, store, 0, 1)
        images.batches.set_epoch(epoch)
        return images_of(images.train_dataloader())

    orders = [
        order(tiny_run, 0),
        order(tiny_run, 1),
        order(replace(tiny_run, seed=1), 0),
        order(replace(tiny_run, replicate=1), 0),
    ]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])
    assert order(tiny_run, 0) == orders[0]


def test_on_a_cpu_the_pixels_stay_in_the_memory_map(tiny_run: Run, store: Store):
    images = Images(tiny_run, store, 0, 1)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    images.trainer = SimpleNamespace(strategy=strategy, world_size=1)  # type: ignore[assignment]
    images.setup("fit")
    assert isinstance(images.train_images.images, np.ndarray)


def test_a_sampler_for_another_number_of_processes_is_refused(tiny_run: Run, store: Store):
    # Otherwise a part of the data would never be seen, without a word.
    images = Images(tiny_run, store, 0, 2)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    images.trainer = SimpleNamespace(strategy=strategy, world_size=1)  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match=r"1 processes in the group, 1 .* trainer, 2 .* sampler"):
        images.setup("fit")
