"""From what a source holds to square uint8 pixels."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ablations.data.sources import Sample


@dataclass(frozen=True)
class Decoded:
    """Images of one chunk.

    Attributes:
        pixels: The images that could be decoded, shape (K, S, S, 3), uint8.
        kept: Their positions in the chunk.
        broken: Place and reason of each of the others.
    """

    pixels: np.ndarray
    kept: list[int]
    broken: list[tuple[str, str]]


def decode_chunk(samples: list[Sample], size: int) -> Decoded:
    """Decode several images; one that cannot be decoded is reported, not raised."""
    pixels = np.empty((len(samples), size, size, 3), np.uint8)
    kept: list[int] = []
    broken: list[tuple[str, str]] = []
    for n, sample in enumerate(samples):
        try:
            pixels[len(kept)] = decode(sample.content, size)
        except MemoryError:
            raise  # says nothing about the image
        except UnidentifiedImageError:
            broken.append((sample.where, "no known image format"))
        except Exception as error:  # decoders raise errors of many types on broken bytes
            broken.append((sample.where, str(error)))
        else:
            kept.append(n)
    return Decoded(pixels[: len(kept)], kept, broken)


def decode(content: bytes | Path | np.ndarray, size: int) -> np.ndarray:
    """Scale the short side to ``size`` and cut out the centre (§2).

    Args:
        content: Encoded image, path of one, or pixels of shape (H, W, 3), uint8.
        size: Height and width of the result, in pixels.

    Returns:
        Shape (size, size, 3), uint8, RGB.
    """
    if isinstance(content, np.ndarray):
        return content if content.shape == (size, size, 3) else _fit(Image.fromarray(content), size)
    with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
        return _fit(_to_rgb(ImageOps.exif_transpose(image)), size)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip the 16 bits of a greyscale PNG or TIFF at 255.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    elif image.mode in ("P", "PA"):
        # Pillow warns where a palette with transparency goes straight to RGB.
        image = image.convert("RGBA")
    return image.convert("RGB")


def _fit(image: Image.Image, size: int) -> np.ndarray:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side == size:
        return np.asarray(image.crop(box))
    # Scaling only the square inside gives the pixels of "scale, then crop", in less time.
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box))
