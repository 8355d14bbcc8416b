"""What all networks have in common that their source fixes; the tables of each have own files."""

import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ablations.config import ConfigError, DataConfig, Init, Model, Recipe, Run
from ablations.networks import build, check
from ablations.networks.fixed import InvertedDropout
from ablations.networks.initialization import construct
from ablations.optimizer import build_optimizer
from ablations.techniques import Augmentation, Evaluation, Techniques

CROPS = {
    Model.keras_batchnorm: 227,
    Model.keras_functional: 224,
    Model.keras_resized: 32,
    Model.torch_style: 224,
    Model.two_branch: 224,
    Model.half_tower_v1: 224,
    Model.half_tower_v2: 224,
    Model.lenet5: 32,
}
TUTORIALS = [network for network in CROPS if network is not Model.lenet5]
KERAS = [network for network in TUTORIALS if network is not Model.torch_style]


def run(network: Model, width: float = 1.0, **changes) -> Run:
    dataset = DataConfig(size=CROPS[network], crop=CROPS[network])
    base = Run(Techniques(), network, width, Init.paper, dataset, Recipe(), seed=0, replicate=0)
    return replace(base, **changes)


def narrow(network: Model) -> Run:
    return run(network, 1.0 if network is Model.lenet5 else 1 / 4)


def built(network: Model, classes: int = 10) -> nn.Sequential:
    with torch.device("meta"):
        return construct(run(network), classes)


def test_dropout_rates() -> None:
    for network in TUTORIALS:
        rates = [layer.rate for layer in built(network) if isinstance(layer, InvertedDropout)]
        half = network in (Model.half_tower_v1, Model.half_tower_v2)
        assert rates == ([0.2, 0.2] if half else [0.5, 0.5]), network


def test_batch_normalization_has_the_constants_of_keras() -> None:
    norm = built(Model.keras_batchnorm).norm3
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)


@pytest.mark.parametrize(
    ("network", "coefficient", "decay", "decayed"),
    [
        (Model.keras_batchnorm, 5e-4, 1e-3, ["conv1", "conv2", "conv3", "conv4", "conv5"]),
        (Model.keras_functional, 1e-4, 2e-4, ["conv2", "conv3", "conv4", "conv5"]),
        *((network, 5e-4, 0.0, []) for network in list(CROPS)[2:]),
    ],
)
def test_l2_of_keras_is_twice_as_much_weight_decay(
    network: Model, coefficient: float, decay: float, decayed: list[str]
) -> None:
    net = construct(narrow(network), 3)
    optimizer = build_optimizer(net, Recipe(weight_decay=coefficient), bias_lr_mult=1.0)
    names = {parameter: name for name, parameter in net.named_parameters()}
    found = {
        names[parameter]: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
        if group["weight_decay"]
    }
    assert found == {f"{name}.weight": decay for name in decayed}


@pytest.mark.parametrize("network", KERAS)
def test_keras_networks_start_evenly_up_to_the_bound_of_glorot(network: Model) -> None:
    net = build(narrow(network), 10)
    for name in ("conv1", "conv3", "fc6", "fc7"):
        layer = net.get_submodule(name)
        # Kernels of Keras have the shape (height, width, inputs, outputs).
        receptive = layer.weight[0, 0].numel()
        fans = (layer.weight.shape[0] + layer.weight.shape[1]) * receptive
        bound = math.sqrt(6 / fans)
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not layer.bias.any()


def test_the_torch_network_starts_as_torch() -> None:
    layer = build(narrow(Model.torch_style), 10).conv2
    bound = 1 / math.sqrt(layer.weight[0].numel())
    for values in (layer.weight, layer.bias):
        assert 0.9 * bound < values.abs().max() <= bound


def test_seeds_have_weights_of_their_own() -> None:
    one, same, other = (
        build(replace(narrow(Model.half_tower_v2), seed=seed), 3).conv1.weight for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("network", list(CROPS))
def test_it_trains_one_step_and_evaluates_repeatably(network: Model) -> None:
    net, crop = build(narrow(network), 3), CROPS[network]
    x = torch.randn(2, 3, crop, crop, generator=torch.Generator().manual_seed(0)) * 64
    for index, layer in enumerate(net):
        if isinstance(layer, InvertedDropout):
            layer.draw(index, torch.arange(2))
    nn.functional.cross_entropy(net(x), torch.tensor([0, 1])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all(), name
    net.eval()
    assert torch.equal(net(x), net(x))


def test_dropout_scales_what_it_keeps_and_rests_in_evaluation() -> None:
    layer, x = InvertedDropout(1001, rate=0.2), torch.ones(40, 1001)
    layer.draw(3, torch.arange(40))
    kept = layer(x)
    assert set(kept.unique().tolist()) == {0.0, 1.25}
    assert (kept == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(layer.eval()(x), x)


def test_the_dropout_mask_of_an_image_does_not_depend_on_the_batch() -> None:
    layer, x = InvertedDropout(10, rate=0.5), torch.ones(4, 10)
    layer.draw(7, torch.arange(4))
    whole = layer(x)
    layer.draw(7, torch.tensor([2, 3]))
    assert torch.equal(layer(x[:2]), whole[2:])
    layer.draw(7, torch.arange(3))
    with pytest.raises(ValueError, match="dropout mask of shape"):
        layer(x)


@pytest.mark.parametrize("network", list(CROPS))
@pytest.mark.parametrize("field", fields(Techniques), ids=lambda field: field.name)
def test_what_a_source_fixes_cannot_be_toggled(network: Model, field) -> None:
    for variant in list(type(field.default))[1:]:
        changed = run(network, techniques=replace(Techniques(), **{field.name: variant}))
        if isinstance(variant, Augmentation | Evaluation) or field.name == "edition":
            check(changed)  # of the data, the measure and the bias rate
            continue
        message = f"{field.name}={variant.value} has no effect on .*: its source fixes it. Leave"
        with pytest.raises(ConfigError, match=message) as error:
            check(changed)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        (
            Model.keras_batchnorm,
            {"data": DataConfig(size=32, crop=28), "init": Init.fan_in},
            "data.crop=28 init=fan_in: model=keras_batchnorm .* "
            "Set data.size=227 data.crop=227 init=paper, or use experiment=keras_batchnorm$",
        ),
        (
            Model.torch_style,
            {"data": DataConfig(size=256, crop=227)},
            "Set data.crop=224, or use ",
        ),
        (
            Model.keras_resized,
            {"data": DataConfig(size=32, crop=28)},
            "Set data.crop=32, or use ",
        ),
        (Model.lenet5, {"width": 0.5}, "width=0.5: model=lenet5 .* Set width=1, or use "),
        (Model.half_tower_v1, {"width": 0.1}, "Use width=0.167 to 4"),
    ],
)
def test_images_and_initial_weights_of_another_kind_are_refused(
    network: Model, changes: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check(replace(run(network), **changes))


def test_the_page_of_the_tutorials_tells_what_is_built() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/networks.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in page.split("\n\n")[2].splitlines()]
    names = [Model(cell.strip("`")) for cell in lines[0]]
    assert set(names) == set(TUTORIALS)
    rows = {line[0].split(" (")[0]: line[1:] for line in lines[2:]}
    for column, network in enumerate(names):
        told = {name: cells[column] for name, cells in rows.items() if name != "tutorial"}
        assert told == described(network), network


def described(network: Model) -> dict[str, str]:
    """What the built network is, in the words of the page."""
    layers = dict(built(network).named_children())
    convolutions = [layers[f"conv{number}"] for number in range(1, 6)]
    x = torch.zeros(1, 3, CROPS[network], CROPS[network], device="meta")
    for name, layer in layers.items():
        x = layer(x)
        if name == "conv1":
            first = x.shape[-1]
    norms = {name: layer for name, layer in layers.items() if name.startswith("norm")}
    order = list(layers)
    late = [n for n in norms if f"pool{n[-1]}" in order[: order.index(n)]]
    kind = {"BatchNorm2d": "batch", "ResponseNorm": "response"}
    (normalization,) = {kind[type(layer).__name__] for layer in norms.values()} or {"none"}
    dropout = {n: layer for n, layer in layers.items() if isinstance(layer, InvertedDropout)}
    decayed = [n for n, scale in built(network).decay_scale.items() if scale]

    def numbers(names) -> str:
        return ", ".join(name[-1] for name in names) or "none"

    return {
        "images, pixels": f"{CROPS[network]}" + ", enlarged to 227" * ("resize" in layers),
        "first maps": str(first),
        "kernels": ", ".join(str(layer.out_channels) for layer in convolutions),
        "towers": {1: "one", 2: "two"}[convolutions[1].groups],
        "normalization": normalization + f" ({numbers(norms)})" * bool(norms),
        "normalized after pooling": numbers(late),
        "pooling windows": ", ".join(str(layers[f"pool{n}"].kernel_size) for n in (1, 2, 5)),
        "values into layer 6": str(layers["fc6"].in_features),
        "hidden units": ", ".join(str(layers[name].out_features) for name in ("fc6", "fc7")),
        "dropout on the outputs of layers": numbers(dropout),
        "its rate": str(next(iter(dropout.values())).rate),
        "layers with weight decay": numbers(decayed),
    }
