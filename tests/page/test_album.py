import base64
import io

import numpy as np
from PIL import Image

from ablations.page.album import Picture


def decode(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2])))


def test_small_pictures_are_kept_exactly():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    picture = Picture.of(pixels, "noise")
    assert picture.source.startswith("data:image/png;base64,")
    np.testing.assert_array_equal(np.asarray(decode(picture)), pixels)


def test_large_photographs_shrink():
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    picture = Picture.of(pixels, "noise")
    assert picture.source.startswith("data:image/jpeg;base64,")
    assert decode(picture).size == (128, 128)


def test_transparent_sheets_stay_transparent():
    assert decode(Picture.of(np.zeros((200, 100, 4), np.uint8), "sheet")).mode == "RGBA"
