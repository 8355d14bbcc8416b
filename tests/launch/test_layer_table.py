import io
from pathlib import Path

from PIL import Image
from rich.console import Console

from ablations.composition import compose
from ablations.data.store import prepare
from ablations.launch.layer_table import show_layers

FUNCTIONAL = ("model=keras_functional", "width=1", "init=paper", "data.size=224", "data.crop=224")


def shown(*overrides: str) -> str:
    text = io.StringIO()
    show_layers(Console(file=text, width=120), compose(overrides))
    return text.getvalue()


def test_it_lists_layers_and_their_cost() -> None:
    lines = shown(*FUNCTIONAL).splitlines()
    assert "keras_functional, width 1, 224x224 pixels, 10 classes" in lines[0]
    conv1 = next(line for line in lines if "conv1" in line)
    assert [word for word in conv1.split() if word != "│"] == [
        *("conv1", "Conv2d", "96x54x54", "34,944", "101,616,768")
    ]
    assert any("total" in line and "46,793,482" in line for line in lines)
    assert lines[-1] == "46,790,730 parameters are trained, 2,752 are running statistics."
    assert not any("1,000 classes" in line for line in lines)


def test_a_narrow_terminal_cuts_no_name_or_number() -> None:
    text = io.StringIO()
    show_layers(Console(file=text, width=60), compose(FUNCTIONAL))
    assert max(map(len, text.getvalue().splitlines()[:-1])) <= 60
    assert "…" not in text.getvalue()
    assert "46,793,482" in text.getvalue()


def test_classes_that_the_source_tells_need_no_data() -> None:
    text = shown("experiment=imagenet")
    assert "1,000 classes" in text
    assert "unknown" not in text
    assert not list(Path.cwd().iterdir())


def test_the_store_of_another_cache_is_read(tmp_path: Path) -> None:
    for path in ("train/cat", "train/dog", "test/cat", "test/dog"):
        folder = tmp_path / "images" / path
        folder.mkdir(parents=True)
        for number in range(2):
            image = Image.new("RGB", (16, 16), (number, 0, 0))
            image.save(folder / f"{number}.png")
    given = ("data.source=huggingface", f"data.path={tmp_path / 'images'}")
    elsewhere = (*given, "data.size=16", "data.crop=12", f"cache={tmp_path / 'elsewhere'}")
    assert "unknown, so the last layer has 1,000 outputs; next step: run" in shown(*elsewhere)
    prepare(compose(elsewhere).data, tmp_path / "elsewhere")
    assert "2 classes" in shown(*elsewhere)
    assert "unknown" in shown(*given, "data.size=16", "data.crop=12")
