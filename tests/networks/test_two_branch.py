from ablations.config import Model


def count(rows) -> tuple[int, int]:
    return sum(row.parameters for row in rows), sum(row.statistics for row in rows)


def test_it_has_the_parameters_of_the_paper(table) -> None:
    assert count(table(Model.two_branch, 224, 1000)) == (60_965_224, 0)


def test_normalization_follows_pooling(table, outline) -> None:
    assert outline(table(Model.two_branch, 224, 1000)) == (
        "border conv1 activation1 pool1 norm1 conv2 activation2 pool2 norm2 conv3 activation3 "
        "conv4 activation4 conv5 activation5 pool5 flatten "
        "fc6 activation6 dropout6 fc7 activation7 dropout7 fc8",
        "3x227x227 96x55x55 96x27x27 256x27x27 256x13x13 384x13x13 256x13x13 256x6x6 "
        "9216 4096 1000",
    )


def test_the_branches_meet_in_convolution_3_only(on_meta) -> None:
    network = on_meta(Model.two_branch, 224)
    assert [network.get_submodule(f"conv{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    assert network.norm1.constants["towers"] == network.norm2.constants["towers"] == 2
    assert network.border.padding == (1, 2, 1, 2)
