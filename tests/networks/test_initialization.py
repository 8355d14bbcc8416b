import math
from dataclasses import replace

import pytest
import torch

from ablations.config import DataConfig, Init, Model, Recipe, Run
from ablations.networks import build
from ablations.networks.initialization import fan_in
from ablations.techniques import Activation, Dropout, Edition, Norm, Techniques

SMALL = Run(
    techniques=Techniques(),
    model=Model.alexnet_small,
    width=0.25,
    init=Init.paper,
    data=DataConfig(size=32, crop=28),
    recipe=Recipe(),
    seed=0,
    replicate=0,
)
CROPS = {Model.cifar_conv: 32, Model.cifar_local: 24}


def std(network: torch.nn.Module, layer: str) -> float:
    return network.get_submodule(layer).get_parameter("weight").std().item()


def test_arms_of_one_seed_share_their_weights() -> None:
    one = build(SMALL, 10)
    other = build(replace(SMALL, techniques=Techniques(norm=Norm.none, dropout=Dropout.off)), 10)
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_editions_share_their_weights_up_to_the_scale() -> None:
    one = build(SMALL, 10)
    other = build(replace(SMALL, techniques=Techniques(edition=Edition.released)), 10)
    torch.testing.assert_close(3 * one.conv4.weight, other.conv4.weight)
    assert torch.equal(one.conv2.weight, other.conv2.weight)


@pytest.mark.parametrize("change", [{"seed": 1}, {"replicate": 1}])
def test_seeds_and_streams_have_weights_of_their_own(change: dict[str, int]) -> None:
    one, other = build(SMALL, 10), build(replace(SMALL, **change), 10)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
    assert not torch.equal(one.fc8.weight, other.fc8.weight)


def test_a_smaller_network_keeps_the_gain_of_the_printed_one() -> None:
    network = build(SMALL, 10)
    printed_fan_in = {"conv1": 363, "conv2": 1200, "conv3": 2304, "fc6": 9216, "fc7": 4096}
    for name, printed in printed_fan_in.items():
        gain = std(network, name) * math.sqrt(fan_in(network.get_submodule(name)))
        assert gain == pytest.approx(0.01 * math.sqrt(printed), rel=0.05), name
    assert network.conv2.bias.eq(1).all()
    assert network.conv3.bias.eq(0).all()


@pytest.mark.parametrize(
    ("network", "stds"),
    [
        (Model.cifar_conv, {"conv1": 0.0001, "conv2": 0.01, "conv3": 0.01, "fc10": 0.01}),
        (Model.cifar_local, {"conv1": 0.0001, "conv2": 0.01, "local3": 0.04, "local4": 0.04}),
    ],
)
def test_the_cifar_networks_start_as_the_authors(network: Model, stds: dict[str, float]) -> None:
    dataset = DataConfig(size=32, crop=CROPS[network])
    built = build(replace(SMALL, model=network, width=1.0, data=dataset), 10)
    for name, expected in stds.items():
        assert std(built, name) == pytest.approx(expected, rel=0.05), name
    for name, parameter in built.named_parameters():
        assert not (name.endswith("bias") and parameter.any()), name


@pytest.mark.parametrize("network", [Model.alexnet_small, Model.cifar_conv])
def test_fan_in_gives_hidden_outputs_of_order_one(network: Model) -> None:
    run = replace(SMALL, model=network, init=Init.fan_in, width=0.5)
    x = torch.randn(16, 3, 28, 28, generator=torch.Generator().manual_seed(0)) * 64
    *hidden, last = [
        (name, x := layer(x.clone()))[1].std().item()
        for name, layer in build(run, 10).named_children()
    ]
    assert last < 1.0
    assert all(0.1 < scale < 10 for scale in hidden[2:]), hidden


def test_fan_in_depends_on_the_activation() -> None:
    run = replace(SMALL, init=Init.fan_in)
    relu = build(run, 10)
    tanh = build(replace(run, techniques=Techniques(activation=Activation.tanh)), 10)
    torch.testing.assert_close(relu.conv3.weight, math.sqrt(2) * tanh.conv3.weight)


def test_the_printed_network_starts_with_standard_deviation_0_01() -> None:
    # One forward pass of the real thing is left to the studies: 60 million parameters.
    run = replace(SMALL, model=Model.alexnet, width=0.125, data=DataConfig(size=256, crop=224))
    network = build(run, 10)
    assert std(network, "conv1") == pytest.approx(0.01, rel=0.05)
    assert std(network, "fc7") == pytest.approx(0.01 * math.sqrt(8), rel=0.05)
