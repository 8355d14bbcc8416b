from ablations.techniques import BiasInit
from ablations.techniques.bias_init import initial_bias

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


def test_biases_of_convolutions_2_4_5_and_hidden_dense_layers_start_at_one() -> None:
    assert [initial_bias(layer, BiasInit.one) for layer in LAYERS] == [0, 1, 0, 1, 1, 1, 1, 0]


def test_zero_starts_all_biases_at_zero() -> None:
    assert not any(initial_bias(layer, BiasInit.zero) for layer in LAYERS)
