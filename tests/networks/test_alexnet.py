import pytest
import torch
from torch import nn

from ablations.networks.alexnet import AlexNet, Stem
from ablations.techniques import BiasInit, Depth, Edition, Norm, Pooling, Towers

# On 64 pixels the maps shrink 15, 7, 3, 1: enough for the order of the layers.
SMALL = {"crop": 64, "width": 1 / 12}


def parameters(**changes) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in AlexNet(**changes).parameters())


def test_the_printed_network_has_60_965_224_parameters() -> None:
    # 96*(363+1) + 256*(1200+1) + 384*(2304+1) + 384*(1728+1) + 256*(1728+1)
    # + 4096*(9216+1) + 4096*(4096+1) + 1000*(4096+1)
    assert parameters() == 60_965_224


def test_parameters_of_the_variants_by_hand() -> None:
    assert parameters(towers=Towers.half) == 59_798_312
    assert parameters(towers=Towers.merged) == 62_378_344
    assert parameters(norm=Norm.batchnorm) == 60_965_224 + 2 * (96 + 256)
    # Convolution 3 then takes the 96 maps of convolution 1 instead of 256.
    assert parameters(depth=Depth.no_conv2) == 60_965_224 - 307_456 - 384 * 9 * 160 == 60_104_808
    # Convolution 4 then takes 128 maps of each tower instead of 192.
    assert parameters(depth=Depth.no_conv3) == 60_965_224 - 885_120 - 384 * 9 * 64
    assert parameters(depth=Depth.no_conv4) == 60_965_224 - 663_936
    # The first dense layer then takes the 384 maps of convolution 4, of 6x6 pixels, instead of 256.
    assert parameters(depth=Depth.no_conv5) == 60_965_224 - 442_624 + 4096 * 36 * 128 == 79_396_968
    # Convolution 5 then takes 128 maps of each tower instead of 192.
    assert parameters(depth=Depth.no_conv3_conv4) == 60_965_224 - 885_120 - 663_936 - 256 * 9 * 64
    # Both towers once more: 256 kernels that see 128 maps each.
    assert parameters(depth=Depth.six) == 60_965_224 + 256 * (9 * 128 + 1)
    assert parameters(edition=Edition.released, pooling=Pooling.nonoverlap) == 60_965_224


def test_maps_shrink_as_in_figure_2() -> None:
    with torch.device("meta"):
        network, x = AlexNet(), torch.zeros(1, 3, 224, 224)
        shapes = {
            name: tuple((x := layer(x)).shape[1:]) for name, layer in network.named_children()
        }
    assert shapes["conv1"] == (96, 55, 55)
    assert shapes["conv2"] == (256, 27, 27)
    assert shapes["conv3"] == shapes["conv4"] == (384, 13, 13)
    assert shapes["conv5"] == (256, 13, 13)
    assert shapes["flatten"] == (256 * 6 * 6,)
    assert shapes["fc8"] == (1000,)


def order(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_children()]


def test_layers_stand_in_the_order_of_section_3_5() -> None:
    assert order(AlexNet(**SMALL)) == [
        *("border", "conv1", "activation1", "norm1", "pool1"),
        *("conv2", "activation2", "norm2", "pool2"),
        *("conv3", "activation3", "conv4", "activation4", "conv5", "activation5", "pool5"),
        *("flatten", "fc6", "activation6", "dropout6", "fc7", "activation7", "dropout7", "fc8"),
    ]


@pytest.mark.parametrize("edition", list(Edition))
@pytest.mark.parametrize(
    ("depth", "removed"),
    [
        (Depth.no_conv2, {"conv2", "activation2", "norm2", "within_map_norm2"}),
        (Depth.no_conv3, {"conv3", "activation3"}),
        (Depth.no_conv4, {"conv4", "activation4"}),
        (Depth.no_conv5, {"conv5", "activation5"}),
        (Depth.no_conv3_conv4, {"conv3", "activation3", "conv4", "activation4"}),
    ],
)
def test_a_removed_convolution_takes_its_activation_and_norm_along(
    edition: Edition, depth: Depth, removed: set[str]
) -> None:
    whole = order(AlexNet(**SMALL, edition=edition))
    network = AlexNet(**SMALL, edition=edition, depth=depth)
    assert order(network) == [name for name in whole if name not in removed]
    assert not removed & network.initial_std.keys()
    assert network.initial_std.keys() == network.initial_bias.keys() == network.decay_scale.keys()


@pytest.mark.parametrize("towers", list(Towers))
@pytest.mark.parametrize("depth", list(Depth))
def test_each_depth_fits_each_layout_and_keeps_the_sizes_of_the_maps(
    depth: Depth, towers: Towers
) -> None:
    with torch.device("meta"):
        network, x = AlexNet(depth=depth, towers=towers), torch.zeros(2, 3, 224, 224)
        sizes = {name: (x := layer(x)).shape[-1] for name, layer in network.named_children()}
    assert (sizes["pool1"], sizes["pool2"], sizes["pool5"]) == (27, 13, 6)
    assert x.shape == (2, 1000)


def test_without_a_convolution_the_next_one_keeps_its_connections() -> None:
    with torch.device("meta"):
        two, five = AlexNet(depth=Depth.no_conv2), AlexNet(depth=Depth.no_conv5)
    # Convolution 3 sees both towers, whatever it takes its input from.
    assert (two.conv3.in_channels, two.conv3.groups) == (96, 1)
    assert (two.conv4.in_channels, two.conv4.groups) == (384, 2)
    assert five.fc6.in_features == 384 * 6 * 6
    released = AlexNet(**SMALL, depth=Depth.no_conv2, edition=Edition.released)
    assert [released.initial_std[f"conv{i}"] for i in (1, 3, 4, 5)] == [0.01, 0.03, 0.03, 0.03]


def test_the_sixth_convolution_lies_over_the_last_pooling_layer() -> None:
    network = AlexNet(**SMALL, depth=Depth.six)
    names = order(network)
    begin = names.index("pool5")
    assert names[begin : begin + 4] == ["pool5", "conv6", "conv6_activation", "flatten"]
    assert (network.conv6.groups, network.initial_bias["conv6"]) == (2, 0.0)
    released = AlexNet(**SMALL, depth=Depth.six, edition=Edition.released)
    assert released.initial_std["conv6"] == 0.03


def test_the_released_network_normalizes_before_it_pools_and_rectifies() -> None:
    released = order(AlexNet(**SMALL, edition=Edition.released))
    assert released[:5] == ["border", "conv1", "norm1", "pool1", "activation1"]
    assert released[5:10] == ["conv2", "activation2", "norm2", "within_map_norm2", "pool2"]


def test_the_arm_without_lrn_has_no_normalization_at_all() -> None:
    # The authors' run without LRN also left out the one within each map.
    assert "within_map_norm2" not in order(
        AlexNet(**SMALL, edition=Edition.released, norm=Norm.none)
    )


def test_a_tower_sees_the_other_in_convolution_3_only() -> None:
    network = AlexNet(**SMALL)
    assert [network.get_submodule(f"conv{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]


def test_initial_scales_follow_the_edition_and_biases_section_5() -> None:
    printed, released = AlexNet(**SMALL), AlexNet(**SMALL, edition=Edition.released)
    assert set(printed.initial_std.values()) == {0.01}
    assert [released.initial_std[f"conv{i}"] for i in range(1, 6)] == [0.01, 0.01, 0.03, 0.03, 0.03]
    assert [name for name, bias in printed.initial_bias.items() if bias] == [
        *("conv2", "conv4", "conv5", "fc6", "fc7")
    ]
    assert not any(AlexNet(**SMALL, bias_init=BiasInit.zero).initial_bias.values())


def test_a_stem_counts_its_positions() -> None:
    for border, kernel, stride, crop in [((0, 3, 0, 3), 11, 4, 224), ((2, 2, 2, 2), 5, 2, 57)]:
        network = AlexNet(crop=crop, width=1 / 12, stem=Stem(border, kernel, stride))
        maps = network.conv1(network.border(torch.zeros(1, 3, crop, crop)))
        assert maps.shape[-1] == Stem(border, kernel, stride).outputs(crop)
