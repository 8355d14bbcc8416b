from ablations.config import Model


def count(rows) -> tuple[int, int]:
    return sum(row.parameters for row in rows), sum(row.statistics for row in rows)


def test_parameters_are_the_printed_ones_row_by_row(table) -> None:
    rows = table(Model.keras_batchnorm, 227, 1000)
    assert count(rows) == (62_381_096, 2_752)
    assert [row.parameters + row.statistics for row in rows if row.parameters] == [
        *(34_944, 384, 614_656, 1_024, 885_120, 1_536, 1_327_488, 1_536, 884_992, 1_024),
        *(37_752_832, 16_781_312, 4_097_000),
    ]


def test_layers_and_shapes_are_the_printed_ones(table, outline) -> None:
    assert outline(table(Model.keras_batchnorm, 227, 1000)) == (
        "conv1 activation1 pool1 norm1 conv2 activation2 pool2 norm2 conv3 activation3 norm3 "
        "conv4 activation4 norm4 conv5 activation5 norm5 pool5 flatten "
        "fc6 activation6 dropout6 fc7 activation7 dropout7 fc8",
        "96x55x55 96x27x27 256x27x27 256x13x13 384x13x13 256x13x13 256x6x6 9216 4096 1000",
    )
