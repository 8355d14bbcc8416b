import subprocess
import sys
from dataclasses import replace

import pytest

from ablations.config import ConfigError, Dataset, Init, Network, Recipe, Run
from ablations.networks import build, check
from ablations.techniques import (
    Augmentation,
    BiasInit,
    Depth,
    Dropout,
    Edition,
    Evaluation,
    Techniques,
    Towers,
)

DATASET = Dataset(size=32, crop=28)


def run(network: Network = Network.alexnet_small, **changes) -> Run:
    base = Run(Techniques(), network, 0.25, Init.paper, DATASET, Recipe(), seed=0, stream=0)
    return replace(base, **changes)


def test_checking_does_not_load_torch() -> None:
    code = "import sys, ablations.networks; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("network", [Network.cifar_conv, Network.cifar_local])
@pytest.mark.parametrize("variant", [Dropout.off, Towers.half, Depth.no_conv3, BiasInit.zero])
def test_a_technique_without_effect_is_refused(network: Network, variant) -> None:
    key = {Dropout: "dropout", Towers: "towers", Depth: "depth", BiasInit: "bias_init"}
    field = key[type(variant)]
    message = f"{field}={variant.value} has no effect on network={network.value}.*Leave {field}="
    with pytest.raises(ConfigError, match=message):
        check(run(network, techniques=replace(Techniques(), **{field: variant})))


def test_the_edition_acts_on_a_cifar_net_by_bias_rate_and_colour_noise() -> None:
    released = Techniques(edition=Edition.released, augmentation=Augmentation.crop_flip)
    check(run(Network.cifar_conv, techniques=released))
    with pytest.raises(ConfigError, match=r"edition=released has no effect.*recipe\.bias_rate=1"):
        check(run(Network.cifar_conv, techniques=released, recipe=Recipe(bias_rate=1.0)))


@pytest.mark.parametrize(
    "network", [Network.alexnet, Network.alexnet_small, Network.cifar_conv, Network.cifar_local]
)
def test_evaluation_applies_everywhere(network: Network) -> None:
    dataset = Dataset(size=64, crop=56)
    check(run(network, dataset=dataset, techniques=Techniques(evaluation=Evaluation.center)))


@pytest.mark.parametrize(
    ("network", "smallest"),
    [
        (Network.alexnet, 36),
        (Network.alexnet_small, 8),
        (Network.cifar_conv, 8),
        (Network.cifar_local, 8),
    ],
)
def test_the_smallest_crop_leaves_something_to_see(network: Network, smallest: int) -> None:
    built = build(run(network, dataset=Dataset(size=64, crop=smallest)), classes=3)
    last = next(layer for name, layer in built.named_children() if name in ("fc6", "fc10"))
    assert last.get_parameter("weight").shape[1] > 0


@pytest.mark.parametrize(
    ("network", "size", "crop", "message"),
    [
        (Network.alexnet, 64, 35, r"dataset\.crop=35: .* 36 to 448 .*network=alexnet_small"),
        (Network.alexnet_small, 128, 97, r"dataset\.crop=97: .* 8 to 96 .*or use network=alexnet$"),
        (Network.alexnet, 512, 449, r"dataset\.crop=449: .*Change dataset\.crop$"),
        (Network.cifar_local, 128, 112, r"dataset\.crop=112: network=cifar_local takes"),
    ],
)
def test_a_crop_that_does_not_fit_is_refused(
    network: Network, size: int, crop: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check(run(network, dataset=Dataset(size=size, crop=crop)))


def test_a_width_without_kernels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"width=0\.05: .*Use width=0\.0833 to 4"):
        check(run(width=0.05))
    check(run(width=1 / 12))
