"""The figures of a report."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from records import make_result

from ablations.reporting.drawing import Panel, blank
from ablations.reporting.evidence import gather
from ablations.reporting.plots import arm_curves, draw, panels, save


def texts_of(panel):
    """What can be read in a figure, as one line."""
    return " ".join(" ".join(ElementTree.fromstring(panel.svg).itertext()).split())


@pytest.fixture(scope="module")
def drawn(written):
    """The figures of the study."""
    return draw(gather(written).sections)


def test_a_name_in_any_script_is_drawn():
    figure = blank(200, 100)
    figure.suptitle("\u6570")
    panel = Panel("title", figure, "text")
    assert panel.pdf.startswith(b"%PDF")
    assert "\u6570" in texts_of(panel)


# Forest and gaps


def test_the_forest_has_a_row_for_each_primary_verdict(drawn):
    panel = drawn["small", "", ""]["forest"]
    texts = texts_of(panel)
    for text in (
        "LRN lowers error",
        "holds here · § 3.3 · 5 pairs",
        "1.120× [1.113, 1.127]",
        "paper: 1.034×, margin 1.017×",
        "Each middle convolution matters: conv4",
        "CIFAR-10 (JPEG)",
    ):
        assert text in texts
    # Ratios of errors, ratios of times, and gaps are on different scales.
    assert [len(axes.texts) // 4 for axes in panel.figure.axes] == [10, 1, 1]
    assert texts.count("no estimate") == 2
    assert "top-5" not in texts


def marks(axes, row):
    """Positions of the marks of a row by marker; the ends of lines without one."""
    found = {}
    for line in axes.lines:
        if row in line.get_ydata():
            found[line.get_marker()] = [float(x) for x in line.get_xdata()]
    return found


def test_marks_are_where_estimate_interval_and_the_papers_effect_lie(drawn):
    errors, times, _ = drawn["small", "", ""]["forest"].figure.axes
    found = marks(errors, 1)
    assert found["o"] == pytest.approx([1.120], abs=5e-4)
    assert found["None"] == pytest.approx([1.113, 1.127], abs=5e-4)
    assert found["D"] == pytest.approx([1.017**2])
    # An open interval ends in an arrow at the edge.
    assert marks(times, 0)[">"] == [times.get_xlim()[1]]


def test_a_long_interval_leaves_the_others_readable(folder):
    wide = make_result("a", {"": ([0.3, 0.31], [0.1, 0.3])}, looks=(2,), claims=1)
    values = {"": ([0.3, 0.31, 0.3], [0.29, 0.3, 0.29])}
    folder.study(wide, make_result("b", values), make_result("c", values))
    (section,) = gather(folder.path).sections
    (axes,) = draw([section])["small", "", ""]["forest"].figure.axes
    low, _ = axes.get_xlim()
    assert wide.to_reader(wide.verdicts[0].low) < low
    assert marks(axes, 0)["<"] == [low]


def test_gaps_are_of_finished_runs(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 1, status="diverged")
    folder.add(0.25, 1, status="diverged", arm="norm=none")
    texts = texts_of(draw(gather(folder.path).sections)["small", "", ""]["gaps"])
    assert "baseline 1 run gap 9.00 points" in texts
    assert "norm=none" not in texts


# Values by seed and learning curves


@pytest.fixture
def comparison(written):
    """Draws a comparison of the study, with other fields where given."""
    (section,) = gather(written).sections

    def call(claim, **changes):
        (result,) = (r for r in section.results if r.claim == claim)
        return panels(section, replace(result, **changes), "")

    return call


def test_points_say_how_many_pairs_agree(comparison):
    points = comparison("lrn_lowers_error")["seeds"]
    assert "5 of 5 pairs point in the paper's direction" in points.text
    assert [row[0] for row in points.rows] == ["100", "101", "102", "103", "104"]
    assert {"without: norm=none", "with: baseline"} < set(
        ElementTree.fromstring(points.svg).itertext()
    )


def test_a_target_that_was_not_reached_is_written_into_the_picture(comparison):
    points = comparison("relu_trains_faster_than_tanh")["seeds"]
    assert "1 not reached" in texts_of(points)
    assert points.rows[4][1] == "not reached"


def test_the_target_is_in_the_curve_from_which_the_time_is_read(comparison):
    found = comparison("relu_trains_faster_than_tanh")
    assert "target 25 %" in texts_of(found["train"])
    assert "target" not in texts_of(found["val"])
    measure = {"of": "steps_to_loss", "direction": "lower", "curve": "online", "target": 1.8}
    loss = comparison("relu_trains_faster_than_tanh", measure=measure, target=1.8)["train"]
    assert "target 1.8 nats" in texts_of(loss)
    assert loss.rows[0] == ("10", "2.30", "2.30")


@pytest.mark.parametrize(
    ("epochs", "ticks", "points"),
    [
        (1, ["1"], 1),
        (10, ["2", "4", "6", "8", "10"], 10),
        (160, ["0", "40", "80", "120", "160"], 1),
    ],
)
def test_epochs_have_whole_ticks_and_few_of_them_a_point_each(folder, epochs, ticks, points):
    folder.add(0.3, 0, arm="norm=none", epochs=epochs)
    folder.add(0.3, 0, epochs=epochs)
    (section,) = gather(folder.path).sections
    axes = arm_curves(section)["val"].figure.axes[0]
    low, high = axes.get_xlim()
    texts = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert [text.get_text() for at, text in texts if low <= at <= high] == ticks
    (line,) = [line for line in axes.lines if line.get_marker() == "o"]
    every = line.get_markevery()
    assert (len(line.get_xdata()) if every is None else len(every)) == points


def test_the_papers_effect_is_marked_where_the_mean_with_the_technique_would_be(comparison):
    def mark(**changes):
        axes = comparison("lrn_lowers_error", **changes)["seeds"].figure.axes[0]
        return [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "D"]

    without = [float(row[1]) for row in comparison("lrn_lowers_error")["seeds"].rows]
    assert mark() == pytest.approx([sum(without) / len(without) / 1.017**2], abs=0.01)
    # In differences of errors, in a measure that should rise, and without a figure of the paper.
    arms = make_result("a", {"": ([0.30, 0.30], [0.2, 0.2])}).arms
    assert mark(arms=arms, scale="points", effect=0.014) == pytest.approx([28.6])
    measure = {"of": "neighbors", "direction": "higher", "curve": "online", "target": None}
    higher = mark(arms=arms, scale="plain", effect=0.05, measure=measure)
    assert higher == pytest.approx([35])
    assert mark(effect=None) == []


def test_arms_outside_a_study_share_figures_of_five_with_the_first_in_each(folder):
    names = ["baseline", *(f"norm={number}" for number in range(6))]
    for seed, name in enumerate(names):
        folder.add(0.3, seed, arm=name)
    found = arm_curves(gather(folder.path).sections[0])
    assert list(found) == ["train", "val", "train-2", "val-2"]
    arms = [[cell.partition(", ")[0] for cell in panel.head[1:]] for panel in found.values()]
    assert arms[0] == arms[1] == names[:5]
    assert arms[2] == arms[3] == ["baseline", *names[5:]]
    for panel, shown in zip(found.values(), arms, strict=True):
        assert set(shown) <= set(ElementTree.fromstring(panel.svg).itertext())


# As files


def test_each_figure_is_an_svg_and_a_pdf(drawn, tmp_path):
    places = (("small", "", ""), ("small", "lrn_lowers_error", ""))
    found = save(tmp_path / "figures", {place: drawn[place] for place in places})
    lrn = [f"small-lrn-lowers-error-{name}" for name in ("seeds", "train", "val")]
    names = ["small-forest", "small-gaps", *lrn]
    assert [path.name for path in found] == [
        f"{n}.{kind}" for n in names for kind in ("svg", "pdf")
    ]
    for path in found[1::2]:
        assert path.read_bytes().startswith(b"%PDF-")
        assert b"CreationDate" not in path.read_bytes()
    forest = found[0].read_text()
    assert 'width="800"' in forest
    # A light ground under dark text, whatever the page has behind it.
    assert "fill: #ffffff" in forest
    assert "var(" not in forest
