import pytest
import torch

from ablations.models import construct
from benchmarks.loops import Turns, configure


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        (("cifar_conv", 32, 32, 128), 89_578),
        (("alexnet_small", 32, 28, 128, "width=0.25"), None),
        (("alexnet", 256, 224, 16), 60_965_224 - 990 * 4097),
        (("keras_batchnorm", 227, 227, 16, "init=paper"), 62_381_096 - 990 * 4097),
    ],
)
def test_networks_have_their_printed_width(arguments, parameters):
    config = configure(*arguments)
    assert config.width == (0.25 if parameters is None else 1)
    with torch.device("meta"):
        network = construct(config.run, 10)
    count = sum(p.numel() for p in network.parameters())
    assert parameters in (None, count)


def test_each_step_of_the_suite_is_followed_by_one_of_every_peer_in_rotation():
    calls: list[str] = []
    turns = Turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")})
    turns.on_train_start()
    for _ in range(3):
        calls.append("|")
        turns.on_train_batch_end()
    assert "".join(calls) == "|ba|ab|ba"
    assert {name: len(times) for name, times in turns.times.items()} == dict.fromkeys(
        ("suite", "a", "b"), 3
    )
