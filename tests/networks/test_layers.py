from ablations.config import DataConfig, Init, Model, Recipe, Run
from ablations.networks.layers import layers
from ablations.techniques import Depth, Techniques


def table(network: Model, crop: int, classes: int = 1000, depth: Depth = Depth.five) -> dict:
    dataset = DataConfig(size=crop, crop=crop)
    chosen = Techniques(depth=depth)
    run = Run(chosen, network, 1.0, Init.paper, dataset, Recipe(), seed=0, replicate=0)
    return {row.name: row for row in layers(run, classes)}


def test_multiply_adds_by_hand() -> None:
    rows = table(Model.alexnet, 224)
    assert rows["conv1"].multiply_adds == 55 * 55 * 96 * 11 * 11 * 3
    assert rows["conv2"].multiply_adds == 27 * 27 * 256 * 5 * 5 * 48  # two groups
    assert rows["fc8"].multiply_adds == 4096 * 1000
    assert rows["norm1"].multiply_adds == rows["pool1"].multiply_adds == 0
    assert rows["conv5"].shape == (256, 13, 13)
    assert sum(row.parameters for row in rows.values()) == 60_965_224


def test_a_removed_convolution_has_no_row_and_the_next_one_counts_its_own_inputs() -> None:
    rows = table(Model.alexnet, 224, depth=Depth.no_conv2)
    assert rows.keys() & {"conv2", "activation2", "norm2"} == set()
    assert rows["conv3"].multiply_adds == 13 * 13 * 384 * 3 * 3 * 96
    assert sum(row.parameters for row in rows.values()) == 60_104_808
    rows = table(Model.alexnet, 224, depth=Depth.no_conv5)
    assert rows["pool5"].shape == (384, 6, 6)
    assert rows["fc6"].multiply_adds == 384 * 6 * 6 * 4096
    assert sum(row.parameters for row in rows.values()) == 79_396_968


def test_locally_connected_weights_are_used_once() -> None:
    local = table(Model.cifar_local, 24, classes=10)["local3"]
    assert local.multiply_adds == local.parameters - 32 * 6 * 6  # its biases


def test_running_statistics_are_counted_apart() -> None:
    norm = table(Model.keras_batchnorm, 227)["norm1"]
    assert (norm.parameters, norm.statistics, norm.multiply_adds) == (192, 192, 96 * 27 * 27)
    assert norm.kind == "BatchNorm2d"
