import numpy as np
import pytest

from ablations.techniques import Towers
from ablations.techniques.towers import colorfulness, layout, tower_colors


def test_two_towers_are_the_printed_network() -> None:
    sizes = layout(Towers.two)
    assert (sizes.groups, sizes.kernels, sizes.units) == (2, (96, 256, 384, 384, 256), 4096)


def test_half_keeps_the_last_convolution_and_the_dense_layers() -> None:
    sizes = layout(Towers.half)
    assert (sizes.groups, sizes.kernels, sizes.units) == (1, (48, 128, 192, 192, 256), 4096)


def test_merged_connects_all_kernels() -> None:
    assert layout(Towers.merged).kernels == layout(Towers.two).kernels
    assert layout(Towers.merged).groups == 1


@pytest.mark.parametrize("width", [0.09, 0.125, 0.3, 0.777, 1.5])
def test_towers_divide_every_width(width: float) -> None:
    two, half = layout(Towers.two, width), layout(Towers.half, width)
    assert all(n % 2 == 0 for n in (*two.kernels, two.units))
    assert [2 * n for n in half.kernels[:4]] == list(two.kernels[:4])


def test_gray_kernels_have_no_color() -> None:
    kernels = np.random.default_rng(0).normal(size=(4, 1, 3, 3)).repeat(3, axis=1)
    np.testing.assert_allclose(colorfulness(kernels), 0, atol=1e-12)


def test_noise_has_two_thirds_of_its_energy_in_color() -> None:
    kernels = np.random.default_rng(0).normal(size=(500, 3, 5, 5))
    assert colorfulness(kernels).mean() == pytest.approx(2 / 3, abs=0.01)


def test_the_first_half_of_the_kernels_is_the_first_tower() -> None:
    kernels = np.random.default_rng(0).normal(size=(6, 3, 5, 5))
    kernels[:3] = kernels[:3, :1]
    first, second = tower_colors(kernels)
    assert first == pytest.approx(0, abs=1e-12)
    assert second == pytest.approx(colorfulness(kernels[3:]).mean())
