import numpy as np
import pytest

from ablations.data.statistics import PixelSums


def test_the_mean_image_is_the_mean_of_each_pixel():
    sums = PixelSums(8)
    first = np.zeros((1, 8, 8, 3), np.uint8)
    second = np.full((2, 8, 8, 3), 30, np.uint8)
    second[:, 0, 0, 0] = 255
    sums.add(first)
    sums.add(second)
    mean = sums.mean_image()
    assert mean.dtype == np.float32
    assert mean[0, 0].tolist() == [170, 20, 20]
    assert mean[1, 0].tolist() == [20, 20, 20]


def test_principal_colors_of_two_grays_by_hand():
    # Half the pixels 0, half (60, 60, 60): all variance, 3 * 30 ** 2, lies along gray.
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    pixels[1] = 60
    sums = PixelSums(8)
    sums.add(pixels)
    std, basis = sums.principal_colors()
    assert std == pytest.approx([30 * np.sqrt(3), 0, 0], abs=1e-5)
    assert basis[:, 0] == pytest.approx(np.sqrt([1 / 3] * 3))
    assert basis.T @ basis == pytest.approx(np.eye(3))


def test_principal_colors_along_the_axes_by_hand():
    # Red is 0 or 200, green 0 or 20, independently; blue is constant.
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    pixels[2:, ..., 0] = 200
    pixels[1::2, ..., 1] = 20
    pixels[..., 2] = 7
    sums = PixelSums(8)
    sums.add(pixels)
    std, basis = sums.principal_colors()
    assert std == pytest.approx([100, 10, 0], abs=1e-5)
    assert basis == pytest.approx(np.eye(3))


def test_statistics_do_not_depend_on_how_images_are_grouped():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), np.uint8)
    whole, parts = PixelSums(8), PixelSums(8)
    whole.add(pixels)
    for part in np.split(pixels, [1, 7, 30]):
        parts.add(part)
    assert (whole.products == parts.products).all()
    assert (whole.total == parts.total).all()
