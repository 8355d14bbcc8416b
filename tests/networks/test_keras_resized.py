import torch

from ablations.config import Model
from ablations.networks import RAW_PIXELS
from ablations.networks.keras_resized import Resize


def count(rows) -> tuple[int, int]:
    return sum(row.parameters for row in rows), sum(row.statistics for row in rows)


def test_parameters(table) -> None:
    rows = table(Model.keras_resized, 32, 10)
    assert count(rows) == (58_323_530, 1_216)
    assert sum(count(rows)) == 58_324_746


def test_layers_and_shapes(table, outline) -> None:
    assert outline(table(Model.keras_resized, 32, 10)) == (
        "resize conv1 activation1 pool1 norm1 conv2 activation2 pool2 norm2 conv3 activation3 "
        "conv4 activation4 conv5 activation5 pool5 norm5 flatten "
        "fc6 activation6 dropout6 fc7 activation7 dropout7 fc8",
        "3x227x227 96x57x57 96x28x28 256x28x28 256x14x14 384x14x14 256x14x14 256x6x6 9216 4096 10",
    )


def test_the_second_pooling_does_not_overlap(on_meta) -> None:
    network = on_meta(Model.keras_resized, 32)
    assert [network.get_submodule(f"pool{i}").kernel_size for i in (1, 2, 5)] == [3, 2, 3]


def test_resizing_is_bilinear_about_the_centres_of_the_pixels() -> None:
    x = torch.tensor([0.0, 4.0]).expand(1, 1, 2, 2)
    assert Resize(4)(x)[0, 0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]


def test_it_alone_reads_raw_pixels() -> None:
    assert {Model.keras_resized} == RAW_PIXELS
