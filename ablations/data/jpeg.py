"""Images of a store that keeps them as JPEG: encoding, and decoding when they are read."""

import io
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

# Optional: two thirds of Pillow's time, and none of it holds Python's lock, so that threads of one
# process keep all cores busy. The pixels are the same.
_simplejpeg = import_module("simplejpeg") if find_spec("simplejpeg") else None


# At 256 pixels: 25 kB an image, 38 dB from the scaled original.
JPEG_QUALITY = 92


def encode(pixels: np.ndarray) -> bytes:
    """Encode an image, shape (S, S, 3), uint8, as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


class JpegImages:
    """Decodes the images that are asked for; looks like an array of them otherwise.

    Args:
        content: All images one after the other, shape (B,), uint8.
        offsets: Where each begins, and the end of the last, shape (N + 1,), int64.
        size: Height and width, in pixels.
    """

    def __init__(self, content: np.ndarray, offsets: np.ndarray, size: int) -> None:
        self.content, self.offsets = np.asarray(content), offsets
        self.shape = (len(offsets) - 1, size, size, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Images of a row, several rows or a slice, shape (..., S, S, 3), uint8."""
        index = np.arange(len(self))[rows]
        pixels = np.empty((index.size, *self.shape[1:]), np.uint8)
        for row, target in zip(index.flat, pixels, strict=True):
            self.decode(int(row), target)
        return pixels.reshape(*index.shape, *self.shape[1:])

    def decode(self, row: int, target: np.ndarray) -> None:
        """Write the pixels of an image into an array of shape (S, S, 3), uint8."""
        content = self.content[self.offsets[row] : self.offsets[row + 1]]
        if _simplejpeg:
            _simplejpeg.decode_jpeg(content, "RGB", buffer=target)
            return
        with Image.open(io.BytesIO(content.tobytes()), formats=("JPEG",)) as image:
            target[...] = np.asarray(image)
