from xml.etree import ElementTree

import pytest
from records import make_result

from ablations.page import forest as module
from ablations.page.evidence import gather
from ablations.page.forest import forest


def chapter_of(folder):
    return gather(folder.path).chapters[0]


@pytest.fixture
def limits(monkeypatch):
    """The ends of the axes that are drawn."""
    found = []
    draw = module._row

    def note(axes, *given):
        found.extend(axes.get_xlim())
        draw(axes, *given)

    monkeypatch.setattr(module, "_row", note)
    return found


def test_the_forest_has_a_row_for_each_primary_verdict(study):
    drawing = forest("f", chapter_of(study).shown)
    names = [row[0] for row in drawing.rows]
    # Eight claims have had a look; two of them have two parts.
    assert len(names) == 8 + 2
    assert "Each middle convolution matters: conv4" in names
    assert not any("top-5" in name for name in names)
    for svg in (drawing.wide, drawing.narrow):
        texts = "".join(ElementTree.fromstring(svg).itertext())
        assert all(row[0] in texts and row[1].split(" %")[0] in texts for row in drawing.rows)
        assert "Ratio of the errors" in texts
        assert "Ratio of the times" in texts
        assert "Difference of the gaps, % of the test error" in texts


def test_an_interval_far_out_leaves_the_others_readable(folder):
    folder.study(
        make_result("a", {"": ([0.3, 0.31], [0.1, 0.3])}, looks=(2,)),
        make_result("b", {"": ([0.3, 0.31, 0.3], [0.29, 0.3, 0.29])}),
        make_result("c", {"": ([0.3, 0.31, 0.3], [0.29, 0.3, 0.292])}),
    )
    drawing = forest("f", chapter_of(folder).shown)
    xs = [float(e.get("x")) for e in ElementTree.fromstring(drawing.wide).iter() if e.get("x")]
    assert max(xs) < 1000
    assert min(xs) >= 0


def test_the_only_interval_is_shown_whole(folder, limits):
    folder.study(make_result("a", {"": ([0.3, 0.31], [0.2, 0.25])}, looks=(2,), claims=1))
    [claim] = chapter_of(folder).shown
    forest("f", [claim])
    low, high = claim.rows[0].ends
    assert min(limits) < low < high < max(limits)


def test_no_estimate_no_figure(folder):
    folder.study(make_result("a", {"": ([], [])}))
    assert forest("f", chapter_of(folder).shown) is None
