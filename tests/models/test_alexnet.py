import inspect
import re

import pytest
import torch
from torch import nn

from ablations.models.alexnet import AlexNet
from ablations.models.alexnet_small import alexnet_small
from ablations.techniques import BiasInit, Depth, Edition, Norm, Pooling, Techniques, Towers


def alexnet(**techniques) -> AlexNet:
    with torch.device("meta"):
        return AlexNet(techniques=Techniques(**techniques))


def order(**techniques) -> list[str]:
    return [name for name, _ in alexnet(**techniques).named_children()]


def shapes(network: nn.Sequential, crop: int = 224) -> dict[str, tuple[int, ...]]:
    x = torch.zeros(1, 3, crop, crop, device="meta")
    return {name: tuple((x := layer(x)).shape[1:]) for name, layer in network.named_children()}


@pytest.mark.parametrize(
    ("techniques", "parameters"),
    [
        # 96*(363+1) + 256*(1200+1) + 384*(2304+1) + 384*(1728+1) + 256*(1728+1)
        # + 4096*(9216+1) + 4096*(4096+1) + 1000*(4096+1)
        ({}, 60_965_224),
        ({"towers": Towers.half}, 59_798_312),
        ({"towers": Towers.merged}, 62_378_344),
        ({"norm": Norm.batchnorm}, 60_965_224 + 2 * (96 + 256)),
        # Convolution 3 then takes the 96 maps of convolution 1 instead of 256.
        ({"depth": Depth.no_conv2}, 60_965_224 - 307_456 - 384 * 9 * 160),
        # Convolution 4 then takes 128 maps of each tower instead of 192.
        ({"depth": Depth.no_conv3}, 60_965_224 - 885_120 - 384 * 9 * 64),
        ({"depth": Depth.no_conv4}, 60_965_224 - 663_936),
        # The first dense layer then takes the 384 maps of convolution 4 instead of 256.
        ({"depth": Depth.no_conv5}, 60_965_224 - 442_624 + 4096 * 36 * 128),
        # Convolution 5 then takes 128 maps of each tower instead of 192.
        ({"depth": Depth.no_conv3_conv4}, 60_965_224 - 885_120 - 663_936 - 256 * 9 * 64),
        # Both towers once more: 256 kernels that see 128 maps each.
        ({"depth": Depth.six}, 60_965_224 + 256 * (9 * 128 + 1)),
        ({"edition": Edition.released, "pooling": Pooling.nonoverlap}, 60_965_224),
    ],
)
def test_parameters_by_hand(techniques: dict, parameters: int) -> None:
    assert sum(p.numel() for p in alexnet(**techniques).parameters()) == parameters


@pytest.mark.parametrize("width", [0.09, 0.3, 1.5])
def test_towers_divide_every_width(width: float) -> None:
    with torch.device("meta"):
        two, half = (
            AlexNet(techniques=Techniques(towers=towers), width=width)
            for towers in (Towers.two, Towers.half)
        )
    for number in (1, 2, 3, 4):
        whole = two.get_submodule(f"conv{number}").get_parameter("weight").shape[0]
        assert whole == 2 * half.get_submodule(f"conv{number}").get_parameter("weight").shape[0]
    assert (two.conv5.out_channels, two.fc6.out_features) == (
        half.conv5.out_channels,
        half.fc6.out_features,
    )


def test_the_file_shows_the_maps_that_the_network_has() -> None:
    text = inspect.getsource(AlexNet.__init__)
    told = [tuple(map(int, found.split(" x "))) for found in re.findall(r"# +(\d+ x .*)", text)]
    seen = [(3, 224, 224), *(s for s in shapes(alexnet()).values() if len(s) == 3)]

    def changes(maps: list) -> list:
        return [new for old, new in zip([None, *maps], maps, strict=False) if new != old]

    assert changes(told) == changes(seen)
    assert (96, 55, 55) in told


def test_layers_stand_in_the_order_of_section_3_5() -> None:
    assert order() == [
        *("border", "conv1", "activation1", "norm1", "pool1"),
        *("conv2", "activation2", "norm2", "pool2"),
        *("conv3", "activation3", "conv4", "activation4", "conv5", "activation5", "pool5"),
        *("flatten", "fc6", "activation6", "dropout6", "fc7", "activation7", "dropout7", "fc8"),
    ]


def test_the_released_network_normalizes_before_it_pools_and_rectifies() -> None:
    released = order(edition=Edition.released)
    assert released[:5] == ["border", "conv1", "norm1", "pool1", "activation1"]
    assert released[5:10] == ["conv2", "activation2", "norm2", "within_map_norm2", "pool2"]
    # The authors' run without LRN also left out the one within each map.
    assert "within_map_norm2" not in order(edition=Edition.released, norm=Norm.none)


@pytest.mark.parametrize("edition", list(Edition))
@pytest.mark.parametrize("depth", list(Depth)[2:])
def test_a_removed_convolution_takes_its_activation_and_norm_along(
    edition: Edition, depth: Depth
) -> None:
    gone = [number for number in "2345" if f"conv{number}" in depth.value]
    removed = {kind + n for n in gone for kind in ("conv", "activation", "norm", "within_map_norm")}
    left = [name for name in order(edition=edition) if name not in removed]
    network = alexnet(edition=edition, depth=depth)
    assert [shapes(network)[name][-1] for name in ("pool1", "pool2", "pool5")] == [27, 13, 6]
    assert order(edition=edition, depth=depth) == left
    weighted = [name for name in left if name.startswith(("conv", "fc"))]
    assert list(network.initial_std) == list(network.initial_bias) == weighted
    assert list(network.decay_scale) == weighted


def test_a_tower_sees_the_other_in_convolution_3_only() -> None:
    network = alexnet()
    assert [network.get_submodule(f"conv{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    # Whatever it takes its input from, and so do those after it.
    network = alexnet(depth=Depth.no_conv2)
    assert (network.conv3.in_channels, network.conv3.groups) == (96, 1)
    assert (network.conv4.in_channels, network.conv4.groups) == (384, 2)


def test_the_sixth_convolution_lies_over_the_last_pooling_layer() -> None:
    names = order(depth=Depth.six)
    begin = names.index("pool5")
    assert names[begin : begin + 4] == ["pool5", "conv6", "activation_conv6", "flatten"]
    network = alexnet(depth=Depth.six, edition=Edition.released)
    assert (network.conv6.groups, network.initial_bias["conv6"]) == (2, 0.0)
    assert network.initial_std["conv6"] == 0.03


def test_initial_scales_follow_the_edition_and_biases_section_5() -> None:
    printed, released = alexnet(), alexnet(edition=Edition.released)
    assert set(printed.initial_std.values()) == {0.01}
    assert [released.initial_std[f"conv{i}"] for i in range(1, 6)] == [0.01, 0.01, 0.03, 0.03, 0.03]
    ones = [name for name, bias in printed.initial_bias.items() if bias == 1]
    assert ones == ["conv2", "conv4", "conv5", "fc6", "fc7"]
    assert not any(alexnet(bias_init=BiasInit.zero).initial_bias.values())


# Small images


@pytest.mark.parametrize(("crop", "maps"), [(24, 3), (47, 5), (48, 3), (96, 6)])
def test_the_dense_layers_see_2_to_6_pixels_of_small_images(crop: int, maps: int) -> None:
    with torch.device("meta"):
        network = alexnet_small(10, crop=crop, width=0.25)
    assert shapes(network, crop)["fc8"] == (10,)
    assert network.fc6.in_features == 64 * maps**2
