"""Batches: which images each process reads at each step, and how they are gathered.

An epoch is one order of the images, cut into global batches, each cut into one share per process.
The order depends on seed and epoch only, so that any number of processes trains on the same
batches. :class:`Loader` consumes them in the main process: one gather per batch leaves worker
processes nothing to do, and threads decode JPEG.
"""

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


class Share(NamedTuple):
    """The part of one global batch that one process handles; each of shape (N,), int64.

    Attributes:
        index: Which images, as positions in the data set of the loader.
        positions: Their positions within the epoch; random draws for an image hang on this.
        rows: Their rows within the global batch.
    """

    index: Tensor
    positions: Tensor
    rows: Tensor


class Batch(NamedTuple):
    """A share with its images.

    Attributes:
        images: Shape (N, S, S, 3), uint8.
        labels: Class numbers, shape (N,), int64.
        positions: See :class:`Share`.
        rows: See :class:`Share`.
    """

    images: Tensor
    labels: Tensor
    positions: Tensor
    rows: Tensor


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """Order of ``n`` images in an epoch, shape (n,), int64.

    Examples:
        >>> order = epoch_order(4, seed=0, epoch=1)
        >>> sorted(order.tolist())
        [0, 1, 2, 3]
        >>> bool((order == epoch_order(4, seed=0, epoch=1)).all())
        True
    """
    return torch.randperm(n, generator=generator(seed, "order", epoch))


class EpochBatches:
    """Batch sampler for training: the share of one process in each global batch.

    The images that do not fill a last batch are left out of that epoch.

    Args:
        n: Number of training images.
        batch_size: Images per step over all processes.
        seed: Seed of the order.
        rank: Which process this is.
        world: Number of processes; shares differ by one image where it does not divide.

    Raises:
        ConfigError: There are fewer images than a batch needs, or fewer than processes.
    """

    def __init__(self, n: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        if not world <= batch_size <= n:
            raise ConfigError(
                f"recipe.batch_size={batch_size}: between {world}, the number of processes, and "
                f"{n}, the number of training images"
            )
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self.rows = torch.arange(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.epoch = 0
        self.first = 0  # where the next iteration begins, and only that
        self.done = 0  # batches of the epoch that an iteration has come to

    @property
    def sampler(self) -> "EpochBatches":
        """Itself: Lightning calls ``set_epoch`` on the ``sampler`` of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches in a whole epoch, whatever is skipped: a resumed run counts on from there."""
        return self.n // self.batch_size

    def __iter__(self) -> Iterator[Share]:
        order = epoch_order(self.n, self.seed, self.epoch)
        first, self.first = self.first, 0
        for batch in range(first, len(self)):
            positions = batch * self.batch_size + self.rows
            self.done = (batch + 1) % len(self)
            yield Share(order[positions], positions, self.rows)


class EvaluationBatches:
    """Batch sampler for evaluation: each image once over all processes, in order, unpadded.

    Args:
        n: Number of images.
        batch_size: Images per step of one process.
        rank: Which process this is.
        world: Number of processes; each takes one stretch of the images.
    """

    def __init__(self, n: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.index = torch.arange(rank * n // world, (rank + 1) * n // world)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.index) // self.batch_size)

    def __iter__(self) -> Iterator[Share]:
        for start in range(0, len(self.index), self.batch_size):
            index = self.index[start : start + self.batch_size]
            yield Share(index, index, torch.arange(len(index)))


class PixelBatches:
    """Gathers whole batches from the pixels of a store.

    The pixels stay in the memory map, which the system keeps in memory once for all processes,
    until :meth:`to` copies them to a device.

    Args:
        images: Shape (M, S, S, 3), uint8.
        labels: Class numbers, shape (M,), int64.
        index: Rows that belong to this data set, shape (N,), int64; none takes all.
    """

    def __init__(
        self,
        images: np.ndarray | StoredImages,
        labels: np.ndarray,
        index: np.ndarray | None = None,
    ) -> None:
        self.index = np.arange(len(images)) if index is None else index
        self.images: np.ndarray | StoredImages | Tensor = images
        self.labels = torch.from_numpy(labels[self.index])

    @property
    def nbytes(self) -> int:
        """Memory that the images take on a device, in bytes."""
        return len(self.index) * int(np.prod(self.images.shape[1:]))

    def to(self, device: torch.device) -> None:
        """Copy the images and labels to a device; batches are gathered there from now on.

        Raises:
            ConfigError: The checksum of an image differs.
        """
        self.labels = self.labels.to(device)
        if isinstance(self.images, Tensor):
            self.images = self.images.to(device)
            return
        shape = (len(self.index), *self.images.shape[1:])
        resident = torch.empty(shape, dtype=torch.uint8, device=device)
        # In parts: all of them at once might not fit into the memory of the host.
        for start in range(0, len(self.index), COPIED):
            resident[start : start + COPIED] = self._gather(self.index[start : start + COPIED])
        self.images = resident

    def __len__(self) -> int:
        return len(self.index)

    def gather(self, share: Share) -> Batch:
        """Gather the images and labels of a share.

        Raises:
            ConfigError: The checksum of an image differs.
        """
        index = share.index
        if isinstance(self.images, Tensor):
            index = index.to(self.images.device, non_blocking=True)
            images = self.images.index_select(0, index)
        else:
            images = self._gather(self.index[index.numpy()])
        return Batch(images, self.labels[index], share.positions, share.rows)

    def _gather(self, rows: np.ndarray) -> Tensor:
        assert not isinstance(self.images, Tensor)
        # Page-locked memory: the copy to a GPU does not wait for the step before.
        pixels = torch.empty(
            (len(rows), *self.images.shape[1:]),
            dtype=torch.uint8,
            pin_memory=torch.cuda.is_available(),
        )
        if isinstance(self.images, np.ndarray):
            # Of a plain array: a memory map of numpy walks through Python for each view. Every
            # mode but `clip` and `wrap` fills another array first.
            self.images.view(np.ndarray).take(rows, axis=0, out=pixels.numpy(), mode="clip")
        else:
            list(self._threads.map(self.images.read, rows, pixels.numpy()))
        return pixels

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        """Threads that read; they need no copy of a batch and no start for every loader."""
        return ThreadPoolExecutor(torch.get_num_threads(), "read")


class Loader:
    """Iterates over the batches of one process; Lightning takes any iterable with a length.

    torch's ``DataLoader`` adds 0.2 ms to each batch, 1 % of a step of `cifar_conv`.

    Args:
        images: Where to gather from.
        shares: What to gather.
    """

    def __init__(self, images: PixelBatches, shares: EpochBatches | EvaluationBatches) -> None:
        self.images = images
        self.batch_sampler = shares

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.images.gather, self.batch_sampler)


class ResumableLoader(Loader):
    """A loader of training batches that continues within an epoch, as Lightning asks of it."""

    batch_sampler: EpochBatches

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of the epoch are done."""
        return {"batches": self.batch_sampler.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next iteration, and only that, begin after the batches that are done."""
        self.batch_sampler.first = self.batch_sampler.done = state["batches"]


def channels_last(images: Tensor) -> Tensor:
    """Bring a batch of pixels to the shape (N, S, S, 3).

    Args:
        images: Shape (N, S, S, 3) or (N, 3, S, S), uint8.

    Raises:
        ConfigError: It is something else, such as a batch that a transform has made floats of.
    """
    pixels = images.dtype == torch.uint8 and images.ndim == 4
    if not pixels or 3 not in (images.shape[1], images.shape[3]):
        raise ConfigError(
            f"a batch of images of shape {tuple(images.shape)} and type {images.dtype}; give "
            "pixels as uint8, shape (N, S, S, 3) or (N, 3, S, S), and leave crops, flips and the "
            "mean to the module"
        )
    return images if images.shape[3] == 3 else images.permute(0, 2, 3, 1).contiguous()
