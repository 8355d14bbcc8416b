from ablations.config import Model


def count(rows) -> tuple[int, int]:
    return sum(row.parameters for row in rows), sum(row.statistics for row in rows)


def test_grouping_gives_it_the_parameters_of_the_paper(table, on_meta) -> None:
    assert count(table(Model.torch_style, 224, 1000)) == (60_965_224, 0)
    network = on_meta(Model.torch_style, 224)
    assert [network.get_submodule(f"conv{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]


def test_layers_and_shapes(table, outline) -> None:
    assert outline(table(Model.torch_style, 224, 1000)) == (
        "conv1 activation1 pool1 conv2 activation2 pool2 conv3 activation3 conv4 activation4 "
        "conv5 activation5 pool5 flatten dropout5 fc6 activation6 dropout6 fc7 activation7 fc8",
        "96x55x55 96x27x27 256x27x27 256x13x13 384x13x13 256x13x13 256x6x6 9216 4096 1000",
    )
