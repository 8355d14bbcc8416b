from xml.etree import ElementTree

from ablations.page import forest as module
from ablations.page.evidence import gather
from ablations.page.forest import forest


def chapter_of(folder):
    return gather(folder.path).chapters[0]


def test_the_forest_has_a_row_for_each_finding(study):
    chapter = chapter_of(study)
    drawing = forest("f", [*chapter.claims, *chapter.controls])
    assert len(drawing.rows) == 8
    for svg in (drawing.wide, drawing.narrow):
        texts = "".join(ElementTree.fromstring(svg).itertext())
        for finding in chapter.claims:
            assert finding.title in texts
            assert finding.ours in texts


def test_an_interval_far_out_leaves_the_others_readable(folder, compare):
    folder.decide(
        {
            compare("lrn_lowers_error", [0.3, 0.31], [0.1, 0.3], margin=0.01, looks=(2,)): {},
            compare(
                "dropout_curbs_overfitting", [0.3, 0.31, 0.3], [0.29, 0.3, 0.29], margin=0.01
            ): {},
        }
    )
    drawing = forest("f", chapter_of(folder).claims)
    xs = [float(e.get("x")) for e in ElementTree.fromstring(drawing.wide).iter() if e.get("x")]
    assert max(xs) < 1000
    assert min(xs) >= 0


def test_the_only_interval_is_shown_whole(folder, compare, monkeypatch):
    folder.decide(
        {compare("lrn_lowers_error", [0.3, 0.31], [0.1, 0.3], margin=0.01, looks=(2,)): {}}
    )
    limits = []
    draw = module._row

    def note(axes, *given):
        limits.extend(axes.get_xlim())
        draw(axes, *given)

    monkeypatch.setattr(module, "_row", note)
    [claim] = chapter_of(folder).claims
    forest("f", [claim])
    assert min(limits) < claim.interval[0]
    assert max(limits) > claim.interval[1]


def test_no_finding_no_figure():
    assert forest("f", []) is None
