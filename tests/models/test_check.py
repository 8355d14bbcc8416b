import subprocess
import sys
from dataclasses import fields

import pytest

from ablations.config import ConfigError, DataConfig, Init, Model
from ablations.models import MODELS, OUTSIDE, build, check
from ablations.techniques import (
    BiasInit,
    Depth,
    Dropout,
    Techniques,
    Towers,
)

FIXED = [model for model, spec in MODELS.items() if spec.fixed]
FREE = [model for model in Model if model not in FIXED]


def test_checking_does_not_load_torch() -> None:
    code = "import sys, ablations.models; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("model", [Model.cifar_conv, Model.cifar_local])
@pytest.mark.parametrize("variant", [Dropout.off, Towers.half, Depth.no_conv3, BiasInit.zero])
def test_a_technique_without_effect_is_refused(run_of, model: Model, variant) -> None:
    names = {Dropout: "dropout", Towers: "towers", Depth: "depth", BiasInit: "bias_init"}
    key = names[type(variant)]
    message = f"{key}={variant.value}: has no effect on model={model.value}.*next step: use {key}="
    with pytest.raises(ConfigError, match=message):
        check(run_of(model, **{key: variant}))


@pytest.mark.parametrize("model", FIXED)
@pytest.mark.parametrize("technique", fields(Techniques), ids=lambda technique: technique.name)
def test_what_a_source_fixes_cannot_be_toggled(run_of, model: Model, technique) -> None:
    for variant in list(type(technique.default))[1:]:
        changed = run_of(model, **{technique.name: variant})
        if technique.name in OUTSIDE:
            check(changed)
            continue
        key = f"{technique.name}={variant.value}"
        message = f"{key}: has no effect on .*, because its layers are fixed; next step"
        with pytest.raises(ConfigError, match=message) as error:
            check(changed)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("model", FREE)
def test_the_smallest_crop_leaves_something_to_see(run_of, model: Model) -> None:
    network = build(run_of(model, crop=MODELS[model].crops[0], width=0.25), classes=3)
    last = next(layer for name, layer in network.named_children() if name in ("fc6", "fc10"))
    assert last.get_parameter("weight").shape[1] > 0


@pytest.mark.parametrize(
    ("model", "crop", "message"),
    [
        (Model.alexnet, 35, r"data\.crop=35: .* 36 to 448 .*model=alexnet_small"),
        (Model.alexnet_small, 97, r"data\.crop=97: .* 8 to 96 .*or use model=alexnet$"),
        (Model.alexnet, 449, r"data\.crop=449: .*change data\.crop$"),
        (Model.cifar_local, 112, r"data\.crop=112: model=cifar_local "),
    ],
)
def test_a_crop_that_does_not_fit_is_refused(run_of, model: Model, crop: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(run_of(model, crop=crop))


def test_a_width_without_kernels_is_refused(run_of) -> None:
    with pytest.raises(ConfigError, match=r"width=0\.05: .*use width=0\.0833 to 4"):
        check(run_of(Model.alexnet_small, width=0.05))
    check(run_of(Model.alexnet_small, width=1 / 12))
    with pytest.raises(ConfigError, match=r"use width=0\.167 to 4"):
        check(run_of(Model.half_tower_v1, width=0.1))


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (
            Model.keras_batchnorm,
            {"data": DataConfig(size=32, crop=28), "init": Init.fan_in},
            "data.crop=28 init=fan_in: model=keras_batchnorm .* "
            "set data.size=227 data.crop=227 init=paper, or use experiment=keras_batchnorm$",
        ),
        (
            Model.torch_style,
            {"data": DataConfig(size=256, crop=227)},
            "set data.crop=224, or use ",
        ),
        (Model.keras_resized, {"data": DataConfig()}, "set data.crop=32, or use "),
        (Model.lenet5, {"width": 0.5}, "width=0.5: model=lenet5 .* set width=1, or use "),
    ],
)
def test_images_and_initial_weights_of_another_kind_are_refused(
    run_of, model: Model, changes: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check(run_of(model, **changes))
