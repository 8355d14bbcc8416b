import pytest
import torch

from ablations.techniques import Activation
from ablations.techniques.activation import activation_layer

X = torch.tensor([-1.0, 0.0, 2.0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Activation.relu, [0.0, 0.0, 2.0]),
        (Activation.tanh, [-0.76159416, 0.0, 0.96402758]),
        (Activation.sigmoid, [0.26894142, 0.5, 0.88079708]),
    ],
)
def test_values_by_hand(kind: Activation, expected: list[float]) -> None:
    torch.testing.assert_close(activation_layer(kind)(X.clone()), torch.tensor(expected))
