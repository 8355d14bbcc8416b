"""Stored images that are read one at a time, because they are JPEG files or are verified."""

import io
import zlib
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
        content: Concatenated bytes of the images, shape (B,), uint8.
        offsets: Start of each image, and end of the last, shape (N + 1,), int64.
        size: Height and width, in pixels.
        jpeg: Whether the images are JPEG files instead of pixels.
        checksums: CRC-32 to verify each image against when it is read, shape (N,), uint32; None
            verifies nothing.
    """

    def __init__(
        self,
        file: Path,
        content: np.ndarray,
        offsets: np.ndarray,
        size: int,
        jpeg: bool,
        checksums: np.ndarray | None = None,
    ) -> None:
        # A plain array, because each view of a numpy.memmap runs Python code.
        self.file, self.content, self.offsets = file, content.view(np.ndarray), offsets
        self.jpeg, self.checksums = jpeg, checksums
        self.shape = (len(offsets) - 1, size, size, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the images at an index, indices or a slice, shape (..., S, S, 3), uint8."""
        index = np.arange(len(self))[rows]
        pixels = np.empty((index.size, *self.shape[1:]), np.uint8)
        for row, target in zip(index.flat, pixels, strict=True):
            self.read(int(row), target)
        return pixels.reshape(*index.shape, *self.shape[1:])

    def read(self, row: int, target: np.ndarray) -> None:
        """Write the pixels of an image into an array of shape (S, S, 3), uint8.

        Raises:
            ConfigError: The checksum of the image differs.
        """
        content = self.content[self.offsets[row] : self.offsets[row + 1]]
        if self.checksums is not None and zlib.crc32(content.data) != self.checksums[row]:
            raise ConfigError(
                f"the data store {self.file.parent} is damaged (image {row} of {self.file.stem}: "
                "checksum differs); next step: delete that folder and repeat the command, which "
                "prepares the data again, or copy the store again"
            )
        if not self.jpeg:
            target[...] = content.reshape(target.shape)
        elif _simplejpeg:
            _simplejpeg.decode_jpeg(content, "RGB", buffer=target)
        else:
            with Image.open(io.BytesIO(content.tobytes()), formats=("JPEG",)) as image:
                target[...] = np.asarray(image)
