import math

import pytest
import torch

from ablations.config import Init, Model
from ablations.models import build
from ablations.models.initialization import fan_in
from ablations.techniques import Activation, Dropout, Edition, Norm


@pytest.fixture
def small(run_of):
    """Build a narrow network for images of 28 pixels."""
    return lambda **changes: build(run_of(Model.alexnet_small, **{"width": 0.25, **changes}), 10)


def std(network: torch.nn.Module, layer: str) -> float:
    return network.get_submodule(layer).get_parameter("weight").std().item()


def test_arms_of_one_seed_share_their_weights(small) -> None:
    one, other = small(), small(norm=Norm.none, dropout=Dropout.off, activation=Activation.tanh)
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_editions_share_their_weights_up_to_the_scale(small) -> None:
    one, other = small(), small(edition=Edition.released)
    torch.testing.assert_close(3 * one.conv4.weight, other.conv4.weight)
    assert torch.equal(one.conv2.weight, other.conv2.weight)


def test_a_smaller_network_keeps_the_gain_of_the_printed_one(small) -> None:
    network = small()
    printed_fan_in = {"conv1": 363, "conv2": 1200, "conv3": 2304, "fc6": 9216, "fc7": 4096}
    for name, printed in printed_fan_in.items():
        gain = std(network, name) * math.sqrt(fan_in(network.get_submodule(name)))
        assert gain == pytest.approx(0.01 * math.sqrt(printed), rel=0.05), name
    assert network.conv2.bias.eq(1).all()
    assert network.conv3.bias.eq(0).all()


@pytest.mark.parametrize("network", [Model.alexnet_small, Model.cifar_conv])
def test_fan_in_gives_hidden_outputs_of_order_one(run_of, network: Model) -> None:
    run = run_of(network, crop=28, init=Init.fan_in, width=0.5)
    x = torch.randn(16, 3, 28, 28, generator=torch.Generator().manual_seed(0)) * 64
    *hidden, last = [
        (name, x := layer(x.clone()))[1].std().item()
        for name, layer in build(run, 10).named_children()
    ]
    assert last < 1.0
    assert all(0.1 < scale < 10 for scale in hidden[2:]), hidden
