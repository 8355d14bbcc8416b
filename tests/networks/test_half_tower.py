import pytest

from ablations.config import Model


def count(rows) -> tuple[int, int]:
    return sum(row.parameters for row in rows), sum(row.statistics for row in rows)


@pytest.mark.parametrize(
    ("network", "classes", "parameters"),
    [
        (Model.half_tower_v1, 1000, 16_630_440),
        (Model.half_tower_v1, 10, 14_601_930),
        (Model.half_tower_v1, 5, 14_591_685),
        (Model.half_tower_v2, 1000, 5_925_672),
        (Model.half_tower_v2, 10, 5_797_962),
        (Model.half_tower_v2, 5, 5_797_317),
    ],
)
def test_parameters(table, network: Model, classes: int, parameters: int) -> None:
    assert count(table(network, 224, classes)) == (parameters, 0)


@pytest.mark.parametrize(
    ("network", "units"),
    [(Model.half_tower_v1, "2048"), (Model.half_tower_v2, "1024 128")],
)
def test_layers_and_shapes(table, outline, network: Model, units: str) -> None:
    assert outline(table(network, 224, 5)) == (
        "border conv1 activation1 pool1 conv2 activation2 pool2 conv3 activation3 conv4 "
        "activation4 conv5 activation5 pool5 flatten dropout5 fc6 activation6 dropout6 fc7 "
        "activation7 fc8",
        "3x227x227 48x55x55 48x27x27 128x27x27 128x13x13 192x13x13 128x13x13 128x6x6 "
        f"4608 {units} 5",
    )


def test_the_border_is_wider_on_the_right_and_at_the_bottom(on_meta) -> None:
    assert on_meta(Model.half_tower_v1, 224).border.padding == (1, 2, 1, 2)
