"""Choose the images of each process at each step, and gather them into batches.

An epoch is a permutation of the images, split into global batches, each of which is split into one
share per process. The permutation depends only on seed and epoch, so any number of processes trains
on the same batches. Loaders need no worker processes: each batch is a single gather, and JPEG
images are decoded in threads.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ablations.config import ConfigError
from ablations.data.images import StoredImages
from ablations.rng import generator

COPIED = 4096  # images copied to a device at a time


class Batch(NamedTuple):
    """The part of a global batch for one process.

    Attributes:
        images: Shape (N, S, S, 3), uint8.
        labels: Class numbers, shape (N,), int64.
        positions: Positions within the epoch, on which the random draws for an image depend; shape
            (N,), int64.
        rows: Rows within the global batch, shape (N,), int64.
    """

    images: Tensor
    labels: Tensor
    positions: Tensor
    rows: Tensor


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """Return the order of ``n`` images in an epoch, shape (n,), int64.

    Examples:
        >>> order = epoch_order(4, seed=0, epoch=1)
        >>> sorted(order.tolist())
        [0, 1, 2, 3]
        >>> bool((order == epoch_order(4, seed=0, epoch=1)).all())
        True
    """
    return torch.randperm(n, generator=generator(seed, "order", epoch))


class PixelBatches:
    """Gathers whole batches from the images of a store.

    The images stay in the memory map, which all processes share, until :meth:`to` copies their
    pixels to a device.

    Args:
        images: The images of a split.
        labels: Class numbers of the split, shape (M,), int64.
        index: Rows that belong to this data set, shape (N,), int64; None takes all.
    """

    def __init__(
        self, images: StoredImages, labels: np.ndarray, index: np.ndarray | None = None
    ) -> None:
        self.images = images
        self.index = np.arange(len(images)) if index is None else index
        self.labels = torch.from_numpy(labels[self.index])
        self.resident: Tensor | None = None  # the images of `index` on a device

    def __len__(self) -> int:
        return len(self.index)

    @property
    def nbytes(self) -> int:
        """Memory that the images take on a device, in bytes."""
        return len(self) * math.prod(self.images.shape[1:])

    def to(self, device: torch.device) -> None:
        """Copy the images and labels to a device; batches are gathered there from now on.

        Raises:
            ConfigError: The checksum of an image differs.
        """
        if self.resident is None:
            shape = (len(self), *self.images.shape[1:])
            self.resident = torch.empty(shape, dtype=torch.uint8, device=device)
            # In parts, because all images at once may not fit into host memory.
            for start in range(0, len(self), COPIED):
                part = self.index[start : start + COPIED]
                self.resident[start : start + COPIED] = self._read(part)
        self.resident, self.labels = self.resident.to(device), self.labels.to(device)

    def gather(self, index: Tensor, positions: Tensor, rows: Tensor) -> Batch:
        """Gather the images and labels of a batch.

        Args:
            index: Positions of the images in this data set, shape (N,), int64.
            positions: See :class:`Batch`.
            rows: See :class:`Batch`.

        Raises:
            ConfigError: The checksum of an image differs.
        """
        if self.resident is None:
            images = self._read(self.index[index.numpy()])
        else:
            index = index.to(self.resident.device, non_blocking=True)
            images = self.resident.index_select(0, index)
        return Batch(images, self.labels[index], positions, rows)

    def _read(self, rows: np.ndarray) -> Tensor:
        # Page-locked memory, so that the copy to a GPU does not wait for the previous step.
        pixels = torch.empty(
            (len(rows), *self.images.shape[1:]),
            dtype=torch.uint8,
            pin_memory=torch.cuda.is_available(),
        )
        self.images.read(rows, pixels.numpy(), self._threads.map)
        return pixels

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        """Threads that decode or verify images, started at the first of them."""
        return ThreadPoolExecutor(torch.get_num_threads(), "read")


class TrainingLoader:
    """Iterates over the batches of one process in an epoch, and can be resumed within it.

    Lightning accepts any iterable with a length. Images that do not fill a last batch are dropped
    in that epoch.

    Args:
        images: Training images.
        batch_size: Images per step over all processes.
        seed: Seed of the order.
        rank: Rank of this process.
        world: Number of processes; their shares of a batch differ by at most one image.

    Raises:
        ConfigError: The batch size is larger than the number of images or smaller than ``world``.
    """

    def __init__(
        self, images: PixelBatches, batch_size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if not world <= batch_size <= len(images):
            raise ConfigError(
                f"recipe.batch_size={batch_size}: out of range; valid values: {world} (the number "
                f"of processes) to {len(images)} (the number of training images)"
            )
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.rows = torch.arange(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.epoch = 0
        self.first = 0  # batch at which the next iteration starts; later ones start at 0
        self.done = 0  # batches of the epoch that have been yielded

    @property
    def sampler(self) -> "TrainingLoader":
        """This object, because Lightning calls ``set_epoch`` on the sampler of a loader."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the batches of a whole epoch, including those that a resumed run skips."""
        return len(self.images) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        order = epoch_order(len(self.images), self.seed, self.epoch)
        first, self.first = self.first, 0
        for batch in range(first, len(self)):
            positions = batch * self.batch_size + self.rows
            self.done = (batch + 1) % len(self)
            yield self.images.gather(order[positions], positions, self.rows)

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of the epoch are done."""
        return {"batches": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next iteration, and only that one, after the batches that are done."""
        self.first = self.done = state["batches"]


class EvaluationLoader:
    """Iterates over images: each once over all processes, in order, unpadded.

    Args:
        images: Images to evaluate on.
        batch_size: Images per step of one process.
        rank: Rank of this process.
        world: Number of processes; each takes a contiguous range of the images.
    """

    def __init__(
        self, images: PixelBatches, batch_size: int, rank: int = 0, world: int = 1
    ) -> None:
        n = len(images)
        index = torch.arange(rank * n // world, (rank + 1) * n // world)
        self.images = images
        self.parts = index.split(batch_size) if len(index) else ()

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Batch]:
        for part in self.parts:
            yield self.images.gather(part, part, torch.arange(len(part)))


def channels_last(images: Tensor) -> Tensor:
    """Return a batch of pixels in the shape (N, S, S, 3).

    Args:
        images: Shape (N, S, S, 3) or (N, 3, S, S), uint8.

    Raises:
        ConfigError: Shape or dtype differ, for example because a transform returned floats.
    """
    pixels = images.dtype == torch.uint8 and images.ndim == 4
    if not pixels or 3 not in (images.shape[1], images.shape[3]):
        raise ConfigError(
            f"a batch of shape {tuple(images.shape)}, {images.dtype}, is not a batch of pixels; "
            "next step: provide uint8 of shape (N, S, S, 3) or (N, 3, S, S), without transforms, "
            "because the module crops, flips and subtracts the mean"
        )
    return images if images.shape[3] == 3 else images.permute(0, 2, 3, 1).contiguous()
