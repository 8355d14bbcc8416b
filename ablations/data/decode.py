"""From what a source holds to square uint8 pixels."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ablations.config import ConfigError
from ablations.data.sources import Sample, Slice

JPEG_NAMES = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Decoded:
    """Images of one chunk.

    Attributes:
        pixels: The images that could be decoded, shape (K, S, S, 3), uint8.
        kept: Their positions in the chunk.
        broken: Place and reason of each of the others.
        converted: Place and kind of images that took more than scaling, such as grayscale ones.
    """

    pixels: np.ndarray
    kept: list[int]
    broken: list[tuple[str, str]]
    converted: list[tuple[str, str]]


def decode_chunk(samples: list[Sample], size: int) -> Decoded:
    """Decode several images; one that cannot be decoded is reported, not raised.

    Raises:
        ConfigError: A file cannot be read, which says nothing about its image.
    """
    pixels = np.empty((len(samples), size, size, 3), np.uint8)
    kept: list[int] = []
    broken: list[tuple[str, str]] = []
    converted: list[tuple[str, str]] = []
    for n, sample in enumerate(samples):
        content = _read(sample)
        try:
            if isinstance(content, np.ndarray):
                pixels[len(kept)] = decode(content, size)
            else:
                with Image.open(io.BytesIO(content)) as image:
                    kinds = _kinds(image, sample.where)
                    pixels[len(kept)] = _upright(image, size)
                converted += [(sample.where, kind) for kind in kinds]
        except MemoryError:
            raise  # says nothing about the image
        except UnidentifiedImageError:
            broken.append((sample.where, "no known image format" if content else "empty file"))
        except Exception as error:  # decoders raise errors of many types on broken bytes
            broken.append((sample.where, str(error)))
        else:
            kept.append(n)
    return Decoded(pixels[: len(kept)], kept, broken, converted)


def decode(content: bytes | np.ndarray, size: int) -> np.ndarray:
    """Scale the short side to ``size`` and cut out the center (§2).

    Args:
        content: Encoded image, or pixels of shape (H, W, 3), uint8.
        size: Height and width of the result, in pixels.

    Returns:
        Shape (size, size, 3), uint8, RGB.
    """
    if isinstance(content, np.ndarray):
        return content if content.shape == (size, size, 3) else _fit(Image.fromarray(content), size)
    with Image.open(io.BytesIO(content)) as image:
        return _upright(image, size)


def _read(sample: Sample) -> bytes | np.ndarray:
    content = sample.content
    try:
        if isinstance(content, Slice):
            with open(content.path, "rb") as file:
                file.seek(content.offset)
                return file.read(content.size)
        return content.read_bytes() if isinstance(content, Path) else content
    except OSError as error:
        raise ConfigError(
            f"{sample.where}: cannot be read ({error.strerror}); next step: give access to it, and "
            "start the same command again"
        ) from None


def _kinds(image: Image.Image, where: str) -> list[str]:
    """What sets an image apart from an RGB photograph in the format of its name."""
    found = []
    if image.mode == "CMYK":
        found.append("CMYK")
    elif image.mode[0] in "L1I":
        found.append("grayscale")
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        found.append("turned by EXIF")
    # MPO is a JPEG with more than one picture, as some cameras write them.
    if where.lower().endswith(JPEG_NAMES) and image.format not in ("JPEG", "MPO"):
        found.append(f"{image.format} named .JPEG")
    return found


def _upright(image: Image.Image, size: int) -> np.ndarray:
    return _fit(_to_rgb(ImageOps.exif_transpose(image)), size)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip the 16 bits of a grayscale PNG or TIFF at 255.
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
