import pytest
import torch
import torch.nn.functional as F

from ablations.config import DataConfig, Init, Model, Recipe, Run
from ablations.networks import build
from ablations.networks.lenet5 import TABLE, Gray, Squash, Subsampling, TableConvolution
from ablations.techniques import Techniques


def test_the_table_connects_60_pairs_of_maps() -> None:
    # LeCun et al. 1998, Table I, row by row: the maps of C3 that read each map of S2.
    readers = [[kernel for kernel, maps in enumerate(TABLE) if row in maps] for row in range(6)]
    assert readers == [
        [0, 4, 5, 6, 9, 10, 11, 12, 14, 15],
        [0, 1, 5, 6, 7, 10, 11, 12, 13, 15],
        [0, 1, 2, 6, 7, 8, 11, 13, 14, 15],
        [1, 2, 3, 6, 7, 8, 9, 12, 14, 15],
        [2, 3, 4, 7, 8, 9, 10, 12, 13, 15],
        [3, 4, 5, 8, 9, 10, 11, 13, 14, 15],
    ]


def test_the_convolution_reads_the_maps_of_the_table_only() -> None:
    layer, x = TableConvolution(), torch.randn(1, 6, 7, 7)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    first = 0
    for kernel, maps in enumerate(TABLE):
        weight = layer.weight[None, first : first + len(maps)]
        expected = F.conv2d(x[:, maps], weight, layer.bias[kernel : kernel + 1])
        torch.testing.assert_close(layer(x)[:, kernel : kernel + 1], expected)
        first += len(maps)


def test_subsampling_sums_four_pixels() -> None:
    layer = Subsampling(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 10.0]))
        layer.bias.copy_(torch.tensor([0.0, 5.0]))
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 2, 2, 2)
    assert layer(x).flatten().tolist() == [10.0, 105.0]


def test_squashing_takes_one_to_one() -> None:
    assert Squash()(torch.tensor([1.0, -1.0])).tolist() == pytest.approx([1, -1], abs=1e-4)


def test_gray_weighs_the_colors() -> None:
    x = torch.tensor([64.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert Gray()(x).item() == pytest.approx(0.299)


def test_initial_weights_have_the_variance_of_one_over_the_fan_in() -> None:
    dataset = DataConfig(size=32, crop=32)
    run = Run(Techniques(), Model.lenet5, 1.0, Init.paper, dataset, Recipe(), seed=0, replicate=0)
    net = build(run, 10)
    assert net.conv5.weight.std().item() == pytest.approx(1 / 20, rel=0.05)
    full = net.conv3.weight[-6:]  # the kernels that read all six maps
    assert full.abs().max().item() == pytest.approx((3 / 150) ** 0.5, rel=0.1)
    assert not net.conv3.bias.any()


def test_it_has_60_850_parameters(table, outline) -> None:
    rows = table(Model.lenet5, 32, 10)
    counts = [row.parameters for row in rows if row.parameters]
    assert counts == [156, 12, 1_516, 32, 48_120, 10_164, 850]
    assert sum(counts) == 60_850
    assert outline(rows) == (
        "gray conv1 activation1 pool2 activation2 conv3 activation3 pool4 activation4 conv5 "
        "activation5 flatten fc6 activation6 output",
        "1x32x32 6x28x28 6x14x14 16x10x10 16x5x5 120x1x1 120 84 10",
    )
