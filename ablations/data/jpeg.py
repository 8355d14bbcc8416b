"""Encode stored images as JPEG, and decode them when they are read."""

import io
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from PIL import Image

from ablations.data.images import Checksums, StoredImages

# Optional: decodes straight into a batch; Pillow copies the bytes and the pixels.
_simplejpeg = import_module("simplejpeg") if find_spec("simplejpeg") else None

JPEG_QUALITY = 92


def encode(pixels: np.ndarray) -> bytes:
    """Encode an image, shape (S, S, 3), uint8, as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


class JpegImages(StoredImages):
    """JPEG images that are decoded when they are read.

    Args:
        content: Concatenated JPEG files, shape (B,), uint8.
        offsets: Start of each file, and end of the last, shape (N + 1,), int64.
        size: Height and width, in pixels.
        checksums: Checksums to verify images against when they are read; None verifies nothing.
    """

    def __init__(
        self,
        content: np.ndarray,
        offsets: np.ndarray,
        size: int,
        checksums: Checksums | None = None,
    ) -> None:
        self.content, self.offsets, self.checksums = np.asarray(content), offsets, checksums
        self.shape = (len(offsets) - 1, size, size, 3)

    def read(self, row: int, target: np.ndarray) -> None:
        """Decode an image; see :class:`StoredImages`."""
        content = self.content[self.offsets[row] : self.offsets[row + 1]]
        if self.checksums:
            self.checksums.check(row, content)
        if _simplejpeg:
            _simplejpeg.decode_jpeg(content, "RGB", buffer=target)
            return
        with Image.open(io.BytesIO(content.tobytes()), formats=("JPEG",)) as image:
            target[...] = np.asarray(image)
