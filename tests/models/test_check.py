import subprocess
import sys
from dataclasses import fields

import pytest

from ablations.config import ConfigError, DataConfig, Init, Model
from ablations.models import OUTSIDE, check
from ablations.techniques import Depth, Techniques


def test_checking_does_not_load_torch() -> None:
    code = "import sys, ablations.models; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_technique_without_effect_is_refused(run_of) -> None:
    message = "depth=no_conv3: has no effect on model=cifar_conv.*next step: use depth=five"
    with pytest.raises(ConfigError, match=message):
        check(run_of(Model.cifar_conv, depth=Depth.no_conv3))


@pytest.mark.parametrize("technique", fields(Techniques), ids=lambda technique: technique.name)
def test_what_a_source_fixes_cannot_be_toggled(run_of, technique) -> None:
    variant = list(type(technique.default))[1]
    changed = run_of(Model.lenet5, **{technique.name: variant})
    if technique.name in OUTSIDE:
        check(changed)
    else:
        with pytest.raises(ConfigError, match="because its layers are fixed"):
            check(changed)


@pytest.mark.parametrize(
    ("model", "crop", "message"),
    [
        (Model.alexnet, 35, r"data\.crop=35: .* 36 to 448 .*model=alexnet_small"),
        (Model.alexnet_small, 97, r"data\.crop=97: .* 8 to 96 .*model=alexnet for large"),
    ],
)
def test_a_crop_that_does_not_fit_is_refused(run_of, model: Model, crop: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(run_of(model, crop=crop))


def test_a_width_without_kernels_is_refused(run_of) -> None:
    with pytest.raises(ConfigError, match=r"width=0\.05: .*use width=0\.0833 to 4"):
        check(run_of(Model.alexnet_small, width=0.05))
    check(run_of(Model.alexnet_small, width=1 / 12))


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (
            Model.keras_batchnorm,
            {"data": DataConfig(size=32, crop=28)},
            "data.crop=28: model=keras_batchnorm needs data.crop=227; .*experiment=keras_batchnorm",
        ),
        (Model.torch_style, {"init": Init.fan_in}, "init=fan_in: .* needs init=paper"),
        (Model.lenet5, {"width": 0.5}, "width=0.5: .* needs width=1"),
    ],
)
def test_a_fixed_network_has_one_input_size_and_one_kind_of_initial_weights(
    run_of, model: Model, changes: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check(run_of(model, **changes))
