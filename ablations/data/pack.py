"""From several images of a source to the bytes that a store keeps of them."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ablations.config import Storage
from ablations.data.decode import decode, decode_chunk
from ablations.data.moments import Moments
from ablations.data.sources import Sample

# At 256 pixels: 25 kB an image, 38 dB from the scaled original.
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Packed:
    """One chunk as its store keeps it.

    Attributes:
        samples: Number of images that went in.
        content: Bytes of the images that could be decoded, one after the other.
        lengths: Number of bytes of each of them.
        kept: Their positions in the chunk.
        broken: Place and reason of each of the others.
        converted: See :class:`~ablations.data.decode.Decoded`.
        moments: Sums over the pixels that a reader of the store gets.
    """

    samples: int
    content: bytes
    lengths: list[int]
    kept: list[int]
    broken: list[tuple[str, str]]
    converted: list[tuple[str, str]]
    moments: Moments


def pack_chunk(samples: list[Sample], size: int, storage: Storage) -> Packed:
    """Decode, scale and encode images; see :func:`~ablations.data.decode.decode_chunk`."""
    chunk = decode_chunk(samples, size)
    moments = Moments(size)
    if storage is Storage.jpeg:
        parts = [encode(pixels) for pixels in chunk.pixels]
        content, lengths = b"".join(parts), [len(part) for part in parts]
        for part in parts:
            moments.add(decode(part, size)[None])
    else:
        content = chunk.pixels.tobytes()
        lengths = [size * size * 3] * len(chunk.kept)
        moments.add(chunk.pixels)
    return Packed(
        len(samples), content, lengths, chunk.kept, chunk.broken, chunk.converted, moments
    )


def encode(pixels: np.ndarray) -> bytes:
    """Encode an image, shape (S, S, 3), uint8, as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
