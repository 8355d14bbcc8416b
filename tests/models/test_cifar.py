import pytest
import torch
from torch import nn

from ablations.models.cifar_conv import CifarConv
from ablations.models.cifar_local import CifarLocal, LocallyConnected
from ablations.techniques import Norm, Techniques


@pytest.mark.parametrize(
    ("network", "parameters"),
    # 32*(75+1) + 32*(800+1) + 64*(800+1) + 10*(1024+1); the 13 % network.
    [(CifarConv, 89_578), (CifarLocal, 1_116_490)],
)
def test_both_arms_have_the_authors_parameters(network, parameters: int) -> None:
    for norm in (Norm.lrn, Norm.none):
        built = network(techniques=Techniques(norm=norm))
        assert sum(p.numel() for p in built.parameters()) == parameters


def test_with_equal_kernels_everywhere_it_is_a_convolution() -> None:
    local, convolution = LocallyConnected(3, 4, 5), nn.Conv2d(3, 4, 3, padding=1)
    with torch.no_grad():
        local.weight.copy_(convolution.weight.flatten(1).T.expand_as(local.weight))
        local.bias.copy_(convolution.bias.expand_as(local.bias))
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(local(x), convolution(x))


def test_each_position_has_its_own_kernels_and_biases() -> None:
    local, x = LocallyConnected(2, 3, 4), torch.randn(1, 2, 4, 4)
    before = local(x)
    with torch.no_grad():
        local.weight[6] += 1  # row 1, column 2
        local.bias[6] += 1
    changed = (local(x) != before).any(1).nonzero().tolist()
    assert changed == [[0, 1, 2]]
