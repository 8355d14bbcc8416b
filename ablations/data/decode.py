"""Decode images to square uint8 pixels."""

import io

import numpy as np
from PIL import Image, ImageOps


def decode(content: bytes | np.ndarray, size: int) -> np.ndarray:
    """Decode an image, scale its short side to ``size``, and crop the center (§2).

    Args:
        content: Encoded image, or pixels of shape (H, W, 3), uint8.
        size: Height and width of the result, in pixels.

    Returns:
        Shape (size, size, 3), uint8, RGB.

    Raises:
        Exception: The image is broken; decoders raise errors of many types.
    """
    if isinstance(content, np.ndarray):
        return content if content.shape == (size, size, 3) else _fit(Image.fromarray(content), size)
    with Image.open(io.BytesIO(content)) as image:
        return square(image, size)


def square(image: Image.Image, size: int) -> np.ndarray:
    """Return the square pixels of a Pillow image of any mode, see :func:`decode`."""
    return _fit(_to_rgb(ImageOps.exif_transpose(image)), size)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit grayscale values at 255.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    elif image.mode in ("P", "PA"):
        # Pillow warns if a palette with transparency is converted straight to RGB.
        image = image.convert("RGBA")
    return image.convert("RGB")


def _fit(image: Image.Image, size: int) -> np.ndarray:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side == size:
        return np.asarray(image.crop(box))
    # Scale only the central square; scaling the whole image first would round its width.
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box))
