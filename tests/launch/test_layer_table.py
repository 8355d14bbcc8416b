import io

from rich.console import Console

from ablations.composition import compose
from ablations.launch.layer_table import show_layers


def shown(*overrides: str) -> str:
    text = io.StringIO()
    show_layers(Console(file=text, width=120), compose(overrides))
    return text.getvalue()


def test_it_lists_layers_and_their_cost_and_needs_no_data() -> None:
    lines = shown("model=keras_functional", "width=1", "init=paper", *size(224)).splitlines()
    assert "keras_functional, width 1, 224x224 pixels, 10 classes" in lines[0]
    conv1 = next(line for line in lines if "conv1" in line)
    assert [word for word in conv1.split() if word != "│"] == [
        *("conv1", "Conv2d", "96x54x54", "34,944", "101,616,768")
    ]
    assert any("total" in line and "46,793,482" in line for line in lines)
    assert lines[-2:] == [
        "46,790,730 parameters are trained, 2,752 are running statistics.",
        "With 1,000 classes it has 50,849,512 parameters.",
    ]


def size(pixels: int) -> tuple[str, str]:
    return f"data.size={pixels}", f"data.crop={pixels}"


def test_classes_of_cifar10_are_counted_without_a_download(tmp_path) -> None:
    text = shown("experiment=cifar10", f"data.root={tmp_path}")
    assert "10 classes" in text
    assert not list(tmp_path.iterdir())
