from ablations.config import Model


def count(rows) -> tuple[int, int]:
    return sum(row.parameters for row in rows), sum(row.statistics for row in rows)


def test_parameters_for_ten_and_for_a_thousand_classes(table) -> None:
    ten, thousand = (table(Model.keras_functional, 224, n) for n in (10, 1000))
    assert (sum(count(ten)), sum(count(thousand))) == (46_793_482, 50_849_512)
    assert count(ten) == (46_790_730, 2_752)
    counts = [row.parameters + row.statistics for row in ten if row.parameters]
    assert counts[:3] == [34_944, 384, 614_656]  # the rows that are printed


def test_no_border_leaves_54_pixels_and_normalization_precedes_pooling(table, outline) -> None:
    assert outline(table(Model.keras_functional, 224, 10)) == (
        "conv1 activation1 norm1 pool1 conv2 activation2 norm2 pool2 conv3 activation3 norm3 "
        "conv4 activation4 norm4 conv5 activation5 norm5 pool5 flatten "
        "fc6 activation6 dropout6 fc7 activation7 dropout7 fc8",
        "96x54x54 96x26x26 256x26x26 256x12x12 384x12x12 256x12x12 256x5x5 6400 4096 10",
    )
