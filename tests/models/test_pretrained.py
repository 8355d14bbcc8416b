from dataclasses import replace

import pytest
import torch

from ablations.config import ConfigError, DataConfig, Init, Model, Run
from ablations.models import build
from ablations.models.pretrained import check_fit, network_state, read_checkpoint, transfer
from ablations.techniques import Depth, Norm, Techniques

RUN = Run(
    Model.alexnet_small,
    width=1 / 12,
    init=Init.fan_in,
    techniques=Techniques(depth=Depth.six, norm=Norm.batchnorm),
)


@pytest.fixture
def checkpoint(tmp_path):
    """The checkpoint of a network for five classes."""
    state = {f"network.{name}": value for name, value in build(RUN, 5).state_dict().items()}
    torch.save({"state_dict": {**state, "other": torch.zeros(1)}}, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.mark.parametrize(("classes", "kept"), [(5, True), (7, False)])
def test_the_last_layer_starts_anew_for_another_number_of_classes(checkpoint, classes, kept):
    run = replace(RUN, seed=1)
    check_fit(run, classes, checkpoint)
    network, fresh = build(run, classes), build(run, classes)
    transfer(network, checkpoint)
    given = network_state(read_checkpoint(checkpoint))
    for name, value in network.state_dict().items():
        from_where = given if kept or not name.startswith("fc8") else fresh.state_dict()
        assert torch.equal(value, from_where[name]), name


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"width": 1 / 6}, r"size mismatch for conv1\.weight"),
        ({"techniques": replace(RUN.techniques, depth=Depth.five)}, r"Unexpected .*conv6\.weight"),
    ],
    ids=["width", "depth"],
)
def test_the_first_difference_is_named(checkpoint, changes, difference):
    message = f"pretrained=0123456789ab: {difference}.* same network.*; next step: "
    with pytest.raises(ConfigError, match=message):
        check_fit(replace(RUN, pretrained="0123456789ab", **changes), 5, checkpoint)


def test_the_last_layer_needs_as_many_inputs_also_for_other_classes(tmp_path):
    run = Run(Model.cifar_conv, width=0.25, data=DataConfig(size=32, crop=32))
    state = {f"network.{name}": value for name, value in build(run, 5).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    smaller = replace(run, data=DataConfig(size=32, crop=24))
    with pytest.raises(ConfigError, match=r"size mismatch for fc10\.weight"):
        check_fit(smaller, 7, tmp_path / "last.ckpt")
