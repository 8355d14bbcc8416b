"""Every variant of every technique on every network that it acts on; others: test_tutorials.py."""

from dataclasses import fields
from functools import cache

import pytest
import torch
from torch import Tensor

from ablations.config import DataConfig, Init, Model, Run
from ablations.models import MODELS, OUTSIDE, build
from ablations.techniques import Depth, Norm, Techniques, Towers
from ablations.techniques.dropout import PaperDropout

CROPS = {
    Model.alexnet: 64,
    Model.alexnet_small: 28,
    Model.cifar_conv: 32,
    Model.cifar_local: 24,
}
# The edition acts on AlexNet as well. tests/training/test_classifier.py has the others.
ELSEWHERE = OUTSIDE - {"edition"}
# Bias rate and color noise only, in the training step.
CIFAR_UNCHANGED = {"edition"}
# The number of parameters changes by design.
OTHER_PARAMETERS = {Norm.batchnorm, *Towers, *Depth} - {Towers.two, Depth.five}

CASES = [
    pytest.param(network, field.name, variant, id=f"{network.value}-{field.name}-{variant.value}")
    for network in CROPS
    for field in fields(Techniques)
    for variant in type(field.default)
    if field.name not in ELSEWHERE
    and variant is not field.default
    and field.name not in MODELS[network].ignores
]


def run(network: Model, **techniques) -> Run:
    dataset = DataConfig(size=64, crop=CROPS[network])
    width = 0.25 if network.value.startswith("cifar") else 1 / 12
    return Run(
        network,
        width,
        Init.fan_in,
        dataset,
        techniques=Techniques(**techniques),
    )


def images(network: Model) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, CROPS[network], CROPS[network], generator=generator) * 64
    return x.contiguous(memory_format=torch.channels_last)


def outputs(network: torch.nn.Module, x: Tensor) -> Tensor:
    for layer in network.modules():
        if isinstance(layer, PaperDropout):
            layer.seed(0, torch.arange(4))
    return network(x)


@cache
def default_outputs(network: Model) -> tuple[Tensor, int]:
    """Outputs and number of parameters of the paper's variant."""
    net = build(run(network), 3)
    return outputs(net, images(network)).detach(), parameters(net)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("network", "key", "variant"), CASES)
def test_a_variant_changes_the_outputs_has_gradients_and_evaluates_repeatably(
    network: Model, key: str, variant
) -> None:
    x, labels = images(network), torch.tensor([0, 1, 2, 0])
    net = build(run(network, **{key: variant}), 3)
    y = outputs(net, x)
    default, count = default_outputs(network)
    unchanged = network.value.startswith("cifar") and key in CIFAR_UNCHANGED
    assert torch.equal(y, default) is unchanged, (
        f"{key}={variant.value} on {network.value}: use it there, or name it in the `ignores` of "
        "the model or in OUTSIDE, in ablations/models/__init__.py"
    )
    assert (parameters(net) == count) is (variant not in OTHER_PARAMETERS)
    torch.nn.functional.cross_entropy(y, labels).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("network", list(CROPS))
def test_bfloat16_autocast_agrees_with_float32(network: Model) -> None:
    net, x = build(run(network), 3), images(network)
    exact = outputs(net, x)
    with torch.autocast("cpu", torch.bfloat16):
        loose = outputs(net, x)
    loose.float().sum().backward()
    assert (loose - exact).norm() < 0.05 * exact.norm()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize("network", list(CROPS))
def test_weights_to_decay_are_those_of_all_layers_but_normalization(network: Model) -> None:
    net = build(run(network, norm=Norm.batchnorm), 3)
    weights = {
        name.removesuffix(".weight") for name, _ in net.named_parameters() if "weight" in name
    }
    assert weights - {"norm1", "norm2"} == set(net.decay_scale)
    assert list(net.decay_scale) == list(net.initial_std) == list(net.initial_bias)
