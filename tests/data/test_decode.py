import io

import numpy as np
import pytest
from PIL import Image

from ablations.data.decode import decode

RAMP = np.repeat(np.arange(0, 240, 20, dtype=np.uint8)[None, :, None], 8, 0).repeat(3, 2)  # 8 x 12


def test_an_image_of_the_right_size_is_untouched(encode):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert (decode(encode(pixels), 8) == pixels).all()
    assert (decode(pixels, 8) == pixels).all()


def test_the_center_is_cropped(encode):
    # 12 pixels wide: 2 are cut off on each side.
    assert (decode(encode(RAMP), 8) == RAMP[:, 2:10]).all()
    assert (decode(encode(RAMP.transpose(1, 0, 2)), 8) == RAMP[:, 2:10].transpose(1, 0, 2)).all()


def test_the_short_side_is_scaled_and_smoothed(encode):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    scaled = np.asarray(Image.fromarray(pixels).resize((16, 8), Image.Resampling.BICUBIC))
    assert (decode(encode(pixels), 8) == scaled[:, 4:12]).all()
    board = np.dstack([(np.indices((32, 64)).sum(0) % 2 * 255).astype(np.uint8)] * 3)
    # Each pixel of the result averages a checkerboard; without smoothing it would be 0 or 255.
    assert np.abs(decode(encode(board), 8).astype(int) - 127).max() <= 2
    assert (decode(encode(np.full((4, 6, 3), 77, np.uint8)), 8) == 77).all()  # enlarged


@pytest.mark.parametrize(
    ("mode", "value", "options"),
    [
        ("L", 102, {}),
        ("P", 102, {}),  # a color of Pillow's default palette
        ("P", 102, {"transparency": b"\x00\x80\xff"}),
        ("RGBA", 102, {}),
        ("1", 255, {}),
    ],
)
def test_other_modes_become_rgb(encode, mode: str, value: int, options: dict):
    pixels = np.full((8, 8, 3), value, np.uint8)
    assert (decode(encode(pixels, "PNG", mode, **options), 8) == value).all()


def test_cmyk_jpegs_keep_their_colors(encode):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    pixels = decode(encode(red, "JPEG", "CMYK", quality=95), 8)
    assert np.abs(pixels.astype(int) - red).max() <= 8


def test_sixteen_bits_are_scaled_to_eight():
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 0x4000, np.uint16)).save(file, "PNG")
    assert (decode(file.getvalue(), 8) == 0x40).all()


def test_a_rotated_image_with_exif_is_turned_upright(encode):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: to be turned 90 degrees clockwise
    upright = np.zeros((8, 8, 3), np.uint8)
    upright[:4] = 255
    stored = np.rot90(upright)
    assert (decode(encode(stored, "PNG", exif=exif.tobytes()), 8) == upright).all()
