import numpy as np
import pytest

from ablations.data.statistics import PixelSums


def _sums(pixels: np.ndarray) -> PixelSums:
    sums = PixelSums(8)
    for image in pixels:
        sums.add(image)
    return sums


def test_the_mean_image_is_the_mean_of_each_pixel():
    pixels = np.zeros((3, 8, 8, 3), np.uint8)
    pixels[1:] = 30
    pixels[1:, 0, 0, 0] = 255
    mean = _sums(pixels).mean_image()
    assert mean.dtype == np.float32
    assert mean[0, 0].tolist() == [170, 20, 20]
    assert mean[1, 0].tolist() == [20, 20, 20]


def test_principal_colors_by_hand():
    # Red is 0 or 200, green 0 or 20, independently; blue is constant.
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    pixels[2:, ..., 0] = 200
    pixels[1::2, ..., 1] = 20
    pixels[..., 2] = 7
    std, basis = _sums(pixels).principal_colors()
    assert std == pytest.approx([100, 10, 0], abs=1e-5)
    assert basis == pytest.approx(np.eye(3))
