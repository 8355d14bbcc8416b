"""Stored images that are read one at a time, to decode or verify them."""

import zlib
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from ablations.config import ConfigError


class Checksums(NamedTuple):
    """CRC-32 checksums of the stored bytes of images.

    Attributes:
        values: Shape (N,), uint32.
        store: Folder of the store, for messages.
        split: ``train`` or ``test``, for messages.
    """

    values: np.ndarray
    store: str
    split: str

    def check(self, row: int, content: np.ndarray) -> None:
        """Verify the stored bytes of an image against its checksum.

        Raises:
            ConfigError: The checksum differs.
        """
        if zlib.crc32(content.data) != self.values[row]:
            raise ConfigError(
                f"the data store {self.store} is damaged (image {row} of {self.split}_images: "
                "checksum differs); next step: delete that folder and repeat the command, which "
                "prepares the data again, or copy the store again"
            )


class StoredImages(ABC):
    """Images that are read one at a time, with the indexing of an array.

    Attributes:
        shape: (N, S, S, 3).
    """

    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the images at an index, indices or a slice, shape (..., S, S, 3), uint8."""
        index = np.arange(len(self))[rows]
        pixels = np.empty((index.size, *self.shape[1:]), np.uint8)
        for row, target in zip(index.flat, pixels, strict=True):
            self.read(int(row), target)
        return pixels.reshape(*index.shape, *self.shape[1:])

    @abstractmethod
    def read(self, row: int, target: np.ndarray) -> None:
        """Write the pixels of an image into an array of shape (S, S, 3), uint8.

        Raises:
            ConfigError: The checksum of the image differs.
        """


class CheckedPixels(StoredImages):
    """Uncompressed images that are verified when they are read.

    Args:
        pixels: Shape (N, S, S, 3), uint8.
        checksums: One for each image.
    """

    def __init__(self, pixels: np.ndarray, checksums: Checksums) -> None:
        # A plain array, because each view of a numpy.memmap runs Python code.
        self.pixels, self.checksums = pixels.view(np.ndarray), checksums
        self.shape = pixels.shape

    def read(self, row: int, target: np.ndarray) -> None:
        """Copy the pixels of an image; see :class:`StoredImages`."""
        target[...] = self.pixels[row]
        self.checksums.check(row, target)
