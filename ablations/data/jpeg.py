"""Images of a store that keeps them as JPEG: encoding, and decoding when they are read."""

import io
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from PIL import Image

from ablations.data.images import Checksums, StoredImages

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


class JpegImages(StoredImages):
    """Decodes the images that are asked for.

    Args:
        content: All images one after the other, shape (B,), uint8.
        offsets: Where each begins, and the end of the last, shape (N + 1,), int64.
        size: Height and width, in pixels.
        checksums: What each image is compared with when it is read; None compares nothing.
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
