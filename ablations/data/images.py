"""Read stored images: pixels from a memory map, or JPEG files, which are decoded."""

import io
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ablations.config import ConfigError

# Optional: decodes straight into a batch; Pillow copies the bytes and the pixels.
_simplejpeg = import_module("simplejpeg") if find_spec("simplejpeg") else None

JPEG_QUALITY = 92


def encode(pixels: np.ndarray) -> bytes:
    """Encode an image, shape (S, S, 3), uint8, as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


class StoredImages:
    """The images of a split, with the indexing of an array.

    Args:
        file: File of the images, for messages.
        content: Pixels, shape (N, S, S, 3), or concatenated JPEG files, shape (B,), uint8.
        size: Height and width, in pixels.
        offsets: Start of each JPEG file, and end of the last, shape (N + 1,), int64; None if
            ``content`` has pixels.
        checksums: CRC-32 to verify each image against when it is read, shape (N,), uint32; None
            verifies nothing.
    """

    def __init__(
        self,
        file: Path,
        content: np.ndarray,
        size: int,
        offsets: np.ndarray | None = None,
        checksums: np.ndarray | None = None,
    ) -> None:
        # A plain array, because each view of a numpy.memmap runs Python code.
        self.file, self.content = file, content.view(np.ndarray)
        self.offsets, self.checksums = offsets, checksums
        self.shape = (len(content) if offsets is None else len(offsets) - 1, size, size, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the images at an index, indices or a slice, shape (..., S, S, 3), uint8."""
        index = np.arange(len(self))[rows]
        pixels = np.empty((index.size, *self.shape[1:]), np.uint8)
        self.read(index.reshape(-1), pixels)
        return pixels.reshape(*index.shape, *self.shape[1:])

    def read(self, rows: np.ndarray, target: np.ndarray, each: Callable = map) -> None:
        """Write images into an array.

        Args:
            rows: Rows of the images, shape (N,), int64.
            target: Shape (N, S, S, 3), uint8.
            each: ``map``, or the same method of a thread pool.

        Raises:
            ConfigError: The checksum of an image differs.
        """
        if self.offsets is None and self.checksums is None:
            # With the default mode, `take` would fill a temporary array first.
            self.content.take(rows, axis=0, out=target, mode="clip")
        else:
            list(each(self._read_one, rows, target))

    def _read_one(self, row: int, target: np.ndarray) -> None:
        """Write the pixels of an image into an array of shape (S, S, 3), uint8."""
        if self.offsets is None:
            content = self.content[row]
        else:
            content = self.content[self.offsets[row] : self.offsets[row + 1]]
        if self.checksums is not None and zlib.crc32(content.data) != self.checksums[row]:
            raise ConfigError(
                f"the data store {self.file.parent} is damaged (image {row} of {self.file.stem}: "
                "checksum differs); next step: delete that folder and repeat the command, which "
                "prepares the data again, or copy the store again"
            )
        if self.offsets is None:
            target[...] = content
        elif _simplejpeg:
            _simplejpeg.decode_jpeg(content, "RGB", buffer=target)
        else:
            with Image.open(io.BytesIO(content.tobytes()), formats=("JPEG",)) as image:
                target[...] = np.asarray(image)
