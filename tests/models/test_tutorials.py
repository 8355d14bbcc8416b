"""The networks that their source fixes: their tables, what they share, LeNet-5's own layers."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ablations.config import Model, Recipe
from ablations.models import MODELS, build, construct
from ablations.models.lenet5 import TABLE, Gray, Squash, Subsampling, TableConvolution
from ablations.techniques.dropout import InvertedDropout
from ablations.training.optimizer import build_optimizer

FIXED = [model for model, spec in MODELS.items() if spec.fixed]
TUTORIALS = [model for model in FIXED if model is not Model.lenet5]
HALVES = (Model.half_tower_v1, Model.half_tower_v2)
each = pytest.mark.parametrize("model", FIXED, ids=lambda model: model.value)

HEAD = "flatten fc6 activation6 dropout6 fc7 activation7 dropout7 fc8"
EARLY = "flatten dropout5 fc6 activation6 dropout6 fc7 activation7 fc8"
CONVS = "conv3 activation3 conv4 activation4 conv5 activation5"
NORMED = "conv3 activation3 norm3 conv4 activation4 norm4 conv5 activation5 norm5"
HALF = (
    f"border conv1 activation1 pool1 conv2 activation2 pool2 {CONVS} pool5 {EARLY}",
    "3x227x227 48x55x55 48x27x27 128x27x27 128x13x13 192x13x13 128x13x13 128x6x6",
)
# Names of all layers, shapes wherever they change, parameters of the layers that have some, running
# statistics included, and all running statistics.
TABLES = {
    (Model.keras_batchnorm, 1000): (
        f"conv1 activation1 pool1 norm1 conv2 activation2 pool2 norm2 {NORMED} pool5 {HEAD}",
        "96x55x55 96x27x27 256x27x27 256x13x13 384x13x13 256x13x13 256x6x6 9216 4096 1000",
        # All as the source prints them.
        "34944 384 614656 1024 885120 1536 1327488 1536 884992 1024 37752832 16781312 4097000",
        (62_383_848, 2_752),
    ),
    (Model.keras_functional, 10): (
        f"conv1 activation1 norm1 pool1 conv2 activation2 norm2 pool2 {NORMED} pool5 {HEAD}",
        "96x54x54 96x26x26 256x26x26 256x12x12 384x12x12 256x12x12 256x5x5 6400 4096 10",
        "34944 384 614656",  # the rows that the source prints
        (46_793_482, 2_752),
    ),
    (Model.keras_resized, 10): (
        f"resize conv1 activation1 pool1 norm1 conv2 activation2 pool2 norm2 {CONVS} pool5 norm5 "
        + HEAD,
        "3x227x227 96x57x57 96x28x28 256x28x28 256x14x14 384x14x14 256x14x14 256x6x6 9216 4096 10",
        "",
        (58_324_746, 1_216),
    ),
    (Model.torch_style, 1000): (
        f"conv1 activation1 pool1 conv2 activation2 pool2 {CONVS} pool5 {EARLY}",
        "96x55x55 96x27x27 256x27x27 256x13x13 384x13x13 256x13x13 256x6x6 9216 4096 1000",
        "",
        (60_965_224, 0),
    ),
    (Model.two_branch, 1000): (
        f"border conv1 activation1 pool1 norm1 conv2 activation2 pool2 norm2 {CONVS} pool5 {HEAD}",
        "3x227x227 96x55x55 96x27x27 256x27x27 256x13x13 384x13x13 256x13x13 256x6x6 9216 4096 "
        "1000",
        "",
        (60_965_224, 0),
    ),
    (Model.half_tower_v1, 5): (HALF[0], f"{HALF[1]} 4608 2048 5", "", (14_591_685, 0)),
    (Model.half_tower_v2, 5): (HALF[0], f"{HALF[1]} 4608 1024 128 5", "", (5_797_317, 0)),
    (Model.lenet5, 10): (
        "gray conv1 activation1 pool2 activation2 conv3 activation3 pool4 activation4 conv5 "
        "activation5 flatten fc6 activation6 output",
        "1x32x32 6x28x28 6x14x14 16x10x10 16x5x5 120x1x1 120 84 10",
        "156 12 1516 32 48120 10164 850",
        (60_850, 0),
    ),
}


@pytest.mark.parametrize(
    ("case", "expected"), TABLES.items(), ids=lambda x: getattr(x[0], "value", "")
)
def test_layers_shapes_and_parameters_are_those_of_the_source(table, case, expected) -> None:
    names, shapes, counts, (total, statistics) = expected
    rows = list(table(*case).values())
    assert " ".join(row.name for row in rows) == names
    found = ["x".join(str(n) for n in row.shape) for row in rows]
    changes = [new for old, new in zip(["", *found], found, strict=False) if new != old]
    assert " ".join(changes) == shapes
    sizes = [row.parameters + row.statistics for row in rows if row.parameters]
    assert " ".join(map(str, sizes)).startswith(counts)
    assert (sum(sizes), sum(row.statistics for row in rows)) == (total, statistics)


def test_branches_meet_in_convolution_3_and_the_border_is_wider_at_the_end(on_meta) -> None:
    network = on_meta(Model.two_branch)
    assert [network.get_submodule(f"conv{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    assert (network.norm1.towers, network.norm2.towers) == (2, 2)
    assert network.border.padding == (1, 2, 1, 2)


def test_batch_normalization_has_the_constants_of_keras(on_meta) -> None:
    norm = on_meta(Model.keras_batchnorm).norm3
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)


@each
def test_l2_of_keras_is_twice_as_much_weight_decay(run_of, model: Model) -> None:
    decayed = {Model.keras_batchnorm: "12345", Model.keras_functional: "2345"}.get(model, "")
    network = construct(narrow(run_of, model), 3)
    optimizer = build_optimizer(network, Recipe(weight_decay=1e-4), bias_lr_mult=1.0)
    names = {parameter: name for name, parameter in network.named_parameters()}
    found = {
        names[parameter]: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
        if group["weight_decay"]
    }
    assert found == {f"conv{number}.weight": 2e-4 for number in decayed}


# Initial weights


def narrow(run_of, model: Model, **changes):
    return run_of(model, width=MODELS[model].fixed.get("width", 0.25), **changes)


@pytest.mark.parametrize("model", [m for m in TUTORIALS if m is not Model.torch_style])
def test_keras_networks_start_evenly_up_to_the_bound_of_glorot(run_of, model: Model) -> None:
    network = build(narrow(run_of, model), 10)
    for name in ("conv1", "conv3", "fc6", "fc7"):
        layer = network.get_submodule(name)
        # Kernels of Keras have the shape (height, width, inputs, outputs).
        receptive = layer.weight[0, 0].numel()
        fans = (layer.weight.shape[0] + layer.weight.shape[1]) * receptive
        bound = math.sqrt(6 / fans)
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not layer.bias.any()


def test_the_torch_network_starts_as_torch(run_of) -> None:
    layer = build(narrow(run_of, Model.torch_style), 10).conv2
    bound = 1 / math.sqrt(layer.weight[0].numel())
    for values in (layer.weight, layer.bias):
        assert 0.9 * bound < values.abs().max() <= bound


def test_lenet5_starts_with_the_variance_of_one_over_the_fan_in(run_of) -> None:
    network = build(run_of(Model.lenet5), 10)
    assert network.conv5.weight.std().item() == pytest.approx(1 / 20, rel=0.05)
    full = network.conv3.weight[-6:]  # the kernels that read all six maps
    assert full.abs().max().item() == pytest.approx((3 / 150) ** 0.5, rel=0.1)
    assert not network.conv3.bias.any()


@each
def test_it_trains_one_step_and_evaluates_repeatably(run_of, model: Model) -> None:
    run = narrow(run_of, model)
    network, crop = build(run, 3), run.data.crop
    x = torch.randn(2, 3, crop, crop, generator=torch.Generator().manual_seed(0)) * 64
    for index, layer in enumerate(network):
        if isinstance(layer, InvertedDropout):
            layer.seed(index, torch.arange(2))
    F.cross_entropy(network(x), torch.tensor([0, 1])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
    network.eval()
    assert torch.equal(network(x), network(x))


# Layers of LeNet-5


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
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    first = 0
    for kernel, maps in enumerate(TABLE):
        weight = layer.weight[None, first : first + len(maps)]
        expected = F.conv2d(x[:, maps], weight, layer.bias[kernel : kernel + 1])
        torch.testing.assert_close(layer(x)[:, kernel : kernel + 1], expected)
        first += len(maps)


def test_subsampling_squashing_and_gray_by_hand() -> None:
    layer = Subsampling(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 10.0]))
        layer.bias.copy_(torch.tensor([0.0, 5.0]))
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 2, 2, 2)
    assert layer(x).flatten().tolist() == [10.0, 105.0]
    assert Squash()(torch.tensor([1.0, -1.0])).tolist() == pytest.approx([1, -1], abs=1e-4)
    assert Gray()(torch.tensor([64.0, 0.0, 0.0]).view(1, 3, 1, 1)).item() == pytest.approx(0.299)
