import subprocess
import sys
from dataclasses import replace

import pytest

from ablations.config import ConfigError, DataConfig, Init, Model, Recipe, Run
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

DATASET = DataConfig(size=32, crop=28)


def run(network: Model = Model.alexnet_small, **changes) -> Run:
    base = Run(Techniques(), network, 0.25, Init.paper, DATASET, Recipe(), seed=0, replicate=0)
    return replace(base, **changes)


def test_checking_does_not_load_torch() -> None:
    code = "import sys, ablations.networks; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("network", [Model.cifar_conv, Model.cifar_local])
@pytest.mark.parametrize("variant", [Dropout.off, Towers.half, Depth.no_conv3, BiasInit.zero])
def test_a_technique_without_effect_is_refused(network: Model, variant) -> None:
    key = {Dropout: "dropout", Towers: "towers", Depth: "depth", BiasInit: "bias_init"}
    field = key[type(variant)]
    message = f"{field}={variant.value} has no effect on model={network.value}.*Leave {field}="
    with pytest.raises(ConfigError, match=message):
        check(run(network, techniques=replace(Techniques(), **{field: variant})))


def test_the_edition_acts_on_a_cifar_net_by_bias_rate_and_color_noise() -> None:
    released = Techniques(edition=Edition.released, augmentation=Augmentation.crop_flip)
    check(run(Model.cifar_conv, techniques=released))
    with pytest.raises(
        ConfigError, match=r"edition=released has no effect.*recipe\.bias_lr_mult=1"
    ):
        check(run(Model.cifar_conv, techniques=released, recipe=Recipe(bias_lr_mult=1.0)))


@pytest.mark.parametrize(
    "network", [Model.alexnet, Model.alexnet_small, Model.cifar_conv, Model.cifar_local]
)
def test_evaluation_applies_everywhere(network: Model) -> None:
    dataset = DataConfig(size=64, crop=56)
    check(run(network, data=dataset, techniques=Techniques(evaluation=Evaluation.center)))


@pytest.mark.parametrize(
    ("network", "smallest"),
    [
        (Model.alexnet, 36),
        (Model.alexnet_small, 8),
        (Model.cifar_conv, 8),
        (Model.cifar_local, 8),
    ],
)
def test_the_smallest_crop_leaves_something_to_see(network: Model, smallest: int) -> None:
    built = build(run(network, data=DataConfig(size=64, crop=smallest)), classes=3)
    last = next(layer for name, layer in built.named_children() if name in ("fc6", "fc10"))
    assert last.get_parameter("weight").shape[1] > 0


@pytest.mark.parametrize(
    ("network", "size", "crop", "message"),
    [
        (Model.alexnet, 64, 35, r"data\.crop=35: .* 36 to 448 .*model=alexnet_small"),
        (Model.alexnet_small, 128, 97, r"data\.crop=97: .* 8 to 96 .*or use model=alexnet$"),
        (Model.alexnet, 512, 449, r"data\.crop=449: .*Change data\.crop$"),
        (Model.cifar_local, 128, 112, r"data\.crop=112: model=cifar_local takes"),
    ],
)
def test_a_crop_that_does_not_fit_is_refused(
    network: Model, size: int, crop: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check(run(network, data=DataConfig(size=size, crop=crop)))


def test_a_width_without_kernels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"width=0\.05: .*Use width=0\.0833 to 4"):
        check(run(width=0.05))
    check(run(width=1 / 12))
