import torch

from ablations.networks.cifar_conv import CifarConv
from ablations.techniques import Norm


def test_it_has_the_authors_89_578_parameters() -> None:
    # 32*(75+1) + 32*(800+1) + 64*(800+1) + 10*(1024+1)
    assert sum(parameter.numel() for parameter in CifarConv().parameters()) == 89_578
    assert sum(p.numel() for p in CifarConv(norm=Norm.none).parameters()) == 89_578


def test_maps_shrink_from_32_to_4() -> None:
    network, x = CifarConv(), torch.zeros(1, 3, 32, 32)
    sizes = [(x := layer(x)).shape[-1] for name, layer in network.named_children() if x.dim() == 4]
    assert sorted(set(sizes[:-1]), reverse=True) == [32, 16, 8, 4]


def test_the_last_layer_is_decayed_250_times_as_much() -> None:
    # 1 / 0.004, the same in both arms.
    assert CifarConv().decay_scale["fc10"] == CifarConv(norm=Norm.none).decay_scale["fc10"] == 250
