from ablations.techniques import Depth
from ablations.techniques.depth import convolutions


def test_names_say_which_convolutions_are_missing() -> None:
    five = set(convolutions(Depth.five))
    for kind in Depth:
        missing = set(kind.value.removeprefix("no_").split("_")) - {"five"}
        assert five - set(convolutions(kind)) == missing
