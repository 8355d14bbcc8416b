from pathlib import Path

import pytest
from PIL import Image

import ablations
from ablations.config import Job
from ablations.data.store import Store
from ablations.predict import main


@pytest.fixture
def photos(finished: Path, tmp_path: Path) -> Path:
    """A folder with test images, one of them in a folder of its own, and a text."""
    store = Store(Path(Job.load(finished).store))
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name, pixels in zip(("b.png", "a.bmp", "more/c.PNG"), store.test_images, strict=False):
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def answers(out: str) -> dict[str, list[tuple[float, str]]]:
    """Percentages and classes by image."""
    found: dict[str, list[tuple[float, str]]] = {}
    for line in out.splitlines():
        if not line.startswith(" "):
            classes = found[line] = []
            continue
        percent, name = line.split(" %  ")
        classes.append((float(percent), name))
    return found


@pytest.mark.parametrize("views", ["center", "ten_view"])
def test_all_images_below_a_folder_are_classified(finished, photos, capsys, views):
    main([finished.name, str(photos), "--output", str(finished.parent), "--views", views])
    found = answers(capsys.readouterr().out)
    assert list(found) == [str(photos / name) for name in ("a.bmp", "b.png", "more/c.PNG")]
    trained = ablations.load(finished)
    for path, classes in found.items():
        (row,) = trained.predict([path], views)
        best = [trained.classes[number] for number in row.argsort(descending=True)[:5]]
        assert [name for _, name in classes] == best
        assert classes[0][0] == pytest.approx(100 * row.max().item(), abs=0.06)


def test_options_may_stand_between_the_run_and_its_images(finished, photos, capsys):
    image, output = str(photos / "b.png"), str(finished.parent)
    for options in (["--views", "center"], ["--top", "5"], ["--output", output]):
        rest = ["--views", "center", "--output", output]
        main([finished.name, *options, image, *rest])
        between = capsys.readouterr()
        main([finished.name, image, *options, *rest])
        assert between == capsys.readouterr()
        assert list(answers(between.out)) == [image]


@pytest.mark.parametrize("name", ["nothing.png", "empty"])
def test_what_is_no_image_is_named_in_one_line(finished, photos, name):
    (photos / "empty").mkdir()
    with pytest.raises(SystemExit, match=rf"error: .*{name}: no such file, or no image") as end:
        main([str(finished), str(photos / name)])
    assert "\n" not in str(end.value)


def test_a_broken_file_is_named_in_one_line_and_the_others_are_classified(finished, photos, capsys):
    (photos / "b.png").write_text("no image")
    with pytest.raises(SystemExit) as end:
        main([str(finished), str(photos)])
    assert end.value.code == 1
    out, err = capsys.readouterr()
    assert list(answers(out)) == [str(photos / name) for name in ("a.bmp", "more/c.PNG")]
    (line,) = err.splitlines()
    assert line.startswith(f"error: {photos / 'b.png'}: damaged, or not an image")


def test_a_run_that_cannot_be_loaded_is_named_in_one_line(photos):
    with pytest.raises(SystemExit, match="error: abc: no such run in runs"):
        main(["abc", str(photos)])
