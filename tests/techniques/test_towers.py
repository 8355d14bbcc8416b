import pytest

from ablations.techniques import Towers
from ablations.techniques.towers import layout


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
