from ablations.config import Model


def test_multiply_adds_by_hand(table) -> None:
    rows = table(Model.alexnet)
    assert rows["conv1"].multiply_adds == 55 * 55 * 96 * 11 * 11 * 3
    assert rows["conv2"].multiply_adds == 27 * 27 * 256 * 5 * 5 * 48  # two groups
    assert rows["fc8"].multiply_adds == 4096 * 1000
    assert rows["norm1"].multiply_adds == rows["pool1"].multiply_adds == 0
    assert rows["conv5"].shape == (256, 13, 13)
    assert sum(row.parameters for row in rows.values()) == 60_965_224


def test_locally_connected_weights_are_used_once(table) -> None:
    local = table(Model.cifar_local, 10)["local3"]
    assert local.multiply_adds == local.parameters - 32 * 6 * 6  # its biases
