from dataclasses import replace

import pytest
import torch

from ablations.config import ConfigError, DataConfig, Init, Model, Run
from ablations.models import build
from ablations.models.pretrained import check_fit, transfer, weights
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
    given = weights(checkpoint)
    for name, value in network.state_dict().items():
        from_where = given if kept or not name.startswith("fc8") else fresh.state_dict()
        assert torch.equal(value, from_where[name]), name


def test_a_check_reads_no_weights(checkpoint):
    assert {value.device.type for value in weights(checkpoint, "meta").values()} == {"meta"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 1 / 6}, r": conv1\.weight is 8x3x5x5 .* 16x3x5x5 in"),
        ({"data": DataConfig(crop=20)}, r": fc6\.weight is 342x198 .* 342x88 in"),
        ({"techniques": replace(RUN.techniques, depth=Depth.five)}, r"conv6\.\w+ .* missing"),
        ({"techniques": replace(RUN.techniques, depth=Depth.no_conv2)}, r": conv3\.weight is "),
        ({"techniques": replace(RUN.techniques, depth=Depth.no_conv5)}, r": fc6\.weight is 34"),
        ({"techniques": replace(RUN.techniques, norm=Norm.lrn)}, r": norm1\.weight is 8 in"),
    ],
    ids=["width", "crop", "depth", "no_conv2", "no_conv5", "norm"],
)
def test_the_first_layer_that_does_not_fit_is_named(checkpoint, changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        check_fit(replace(RUN, pretrained="0123456789ab", **changes), 5, checkpoint)
    assert str(error.value).startswith("pretrained=0123456789ab: ")


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"last\.ckpt: .*; next step: delete its folder"):
        weights(tmp_path / "last.ckpt")
