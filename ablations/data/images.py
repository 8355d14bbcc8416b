"""Images of a store that are read one by one: decoded, or compared with their checksums."""

import zlib
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from ablations.config import ConfigError


class Checksums(NamedTuple):
    """The CRC-32 of each image as it is stored.

    Attributes:
        values: Shape (N,), uint32.
        store: Folder of the store, for messages.
        split: ``train`` or ``test``, for messages.
    """

    values: np.ndarray
    store: str
    split: str

    def check(self, row: int, content: np.ndarray) -> None:
        """Compare the stored bytes of an image with its checksum.

        Raises:
            ConfigError: They differ.
        """
        if zlib.crc32(content.data) != self.values[row]:
            raise ConfigError(
                f"the data store {self.store} is damaged (image {row} of {self.split}_images: "
                "checksum differs); next step: remove that folder and start the same command, "
                "which prepares the data again, or copy the store again"
            )


class StoredImages(ABC):
    """Images that are read one by one; looks like an array of them otherwise.

    Attributes:
        shape: (N, S, S, 3).
    """

    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Images of a row, several rows or a slice, shape (..., S, S, 3), uint8."""
        index = np.arange(len(self))[rows]
        pixels = np.empty((index.size, *self.shape[1:]), np.uint8)
        for row, target in zip(index.flat, pixels, strict=True):
            self.read(int(row), target)
        return pixels.reshape(*index.shape, *self.shape[1:])

    @abstractmethod
    def read(self, row: int, target: np.ndarray) -> None:
        """Write the pixels of an image into an array of shape (S, S, 3), uint8.

        Raises:
            ConfigError: Its checksum differs.
        """


class CheckedPixels(StoredImages):
    """Pixels that are compared with their checksums when they are read.

    Args:
        pixels: Shape (N, S, S, 3), uint8.
        checksums: One for each image.
    """

    def __init__(self, pixels: np.ndarray, checksums: Checksums) -> None:
        # A plain array: a memory map of numpy walks through Python for each view.
        self.pixels, self.checksums = pixels.view(np.ndarray), checksums
        self.shape = pixels.shape

    def read(self, row: int, target: np.ndarray) -> None:
        """Copy the pixels of an image; see :class:`StoredImages`."""
        target[...] = self.pixels[row]
        self.checksums.check(row, target)
