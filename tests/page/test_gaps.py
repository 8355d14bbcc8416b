import html
import re

from ablations.page.evidence import gather
from ablations.page.gaps import gaps


def chapter_of(folder):
    return gather(folder.path).chapters[0]


def test_gaps_are_of_finished_runs(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 1, status="diverged")
    drawing = gaps(chapter_of(folder))
    assert drawing.rows[0][:2] == ("baseline", "1")


def test_no_finished_run_no_figure(folder):
    folder.add(0.25, 0, status="diverged")
    assert gaps(chapter_of(folder)) is None


def test_a_small_gap_does_not_fill_the_picture(folder):
    folder.add(0.25, 0)
    marks = [
        float(x) for x in re.findall(r'<use x="([\d.]+)" y="48"', gaps(chapter_of(folder)).wide)
    ]
    assert marks
    assert max(marks) - min(marks) < 540


def test_a_long_name_is_broken_before_the_axis(folder):
    keys = "data.train_limit=10000 data.val_size=1000 recipe.epochs=3 width=0.25 init=fan_in"
    folder.add(0.25, 0)
    short = gaps(chapter_of(folder))
    folder.add(0.25, 0, arm=keys)
    drawing = gaps(chapter_of(folder))
    for text in (drawing.wide, drawing.narrow):
        lines = [html.unescape(line) for line in re.findall(r">([^<>]+)</text>", text)]
        broken = [line for line in lines if line in keys]
        assert " ".join(broken) == keys
        assert max(map(len, broken)) <= 43
    assert _height(drawing.wide) - _height(short.wide) > 32


def _height(svg):
    return float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)[1])
