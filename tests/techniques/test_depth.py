from ablations.techniques import Depth
from ablations.techniques.depth import convolutions


def test_names_say_which_convolutions_are_missing() -> None:
    five = set(convolutions(Depth.five))
    for kind in set(Depth) - {Depth.six}:
        missing = set(kind.value.removeprefix("no_").split("_")) - {"five"}
        assert five - set(convolutions(kind)) == missing


def test_the_sixth_comes_on_top() -> None:
    assert convolutions(Depth.six) == (*convolutions(Depth.five), "conv6")
