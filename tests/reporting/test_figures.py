"""The drawings of a report."""

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from records import make_result

from ablations.reporting.evidence import gather
from ablations.reporting.plots import HEIGHT, WIDTH, arm_curves, panels
from ablations.reporting.strips import Chart, forest, gaps, kernel_colors


def places(strip):
    """Horizontal positions in a strip, in percent of its width."""
    return [float(x) for x in re.findall(r' x\d?="([-\d.]+)%"', strip)]


# Strips


@pytest.fixture(scope="module")
def charts(written):
    """The forest of the study."""
    return forest(gather(written).sections[0].shown)


def test_the_forest_has_a_row_for_each_primary_verdict(charts):
    rows = {name: value for chart in charts for name, _, _, value, _ in chart.rows}
    # Of ten claims two have two parts, and two have no estimate.
    assert len(rows) == 10 + 2
    assert [name for name, value in rows.items() if value == "no estimate"] == [
        "Two towers beat half the kernels",
        "Crops and flips curb overfitting",
    ]
    assert rows["Each middle convolution matters: conv4"].startswith("1.01")
    assert not any("top-5" in name for name in rows)
    # Ratios of errors, ratios of times, and gaps are on different scales.
    assert [len(chart.rows) for chart in charts] == [10, 1, 1]


def test_a_row_shows_estimate_interval_margin_and_the_papers_effect(charts):
    name, note, strip, value, remark = charts[0].rows[1]
    assert (name, note) == ("LRN lowers error", "holds here · § 3.3 · 5 pairs")
    assert value.startswith("1.120× [")
    assert remark == "paper: 1.034×, margin 1.017×"
    band, band_end, null, _, low, high, ours, paper = places(strip)
    assert band < null < band_end < paper < low < ours < high


def test_an_open_interval_ends_in_an_arrow_at_the_edge(charts):
    assert '<svg class="interval c-holds" x="100.00%"' in charts[1].rows[0][2]


def test_a_long_interval_leaves_the_others_readable():
    wide = make_result("a", {"": ([0.3, 0.31], [0.1, 0.3])}, looks=(2,), claims=1)
    values = {"": ([0.3, 0.31, 0.3], [0.29, 0.3, 0.29])}
    (alone,) = forest([wide])
    (beside,) = forest([wide, make_result("b", values), make_result("c", values)])
    verdict = wide.verdicts[0]
    assert alone.low < verdict.low < verdict.high < alone.high
    assert beside.low > verdict.low
    assert all(0 <= x <= 100 for row in beside.rows for x in places(row[2]))


def test_ticks_of_ratios_are_on_a_logarithmic_scale():
    ticks = dict((text, float(x[:-1])) for x, text in Chart("", -0.1, 2.3, ratio=True).ticks)
    assert ticks["4×"] - ticks["2×"] == pytest.approx(ticks["2×"] - ticks["1×"], abs=0.02)


def test_texts_of_ticks_do_not_touch_and_one_is_no_effect():
    for chart in (Chart("", -0.1, 2.4, ratio=True), Chart("", -0.06, 0.2, ratio=True)):
        places = [value for value, _ in chart.marks]
        assert 0 in places
        gaps = [b - a for a, b in pairwise(places)]
        assert min(gaps) > 0.11 * (chart.high - chart.low)


def test_gaps_are_of_finished_runs(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 1, status="diverged")
    folder.add(0.25, 1, status="diverged", arm="norm=none")
    baseline, diverged = gather(folder.path).sections[0].arms
    (chart,) = gaps([baseline, diverged])
    assert [(row[0], row[1], row[3]) for row in chart.rows] == [
        ("baseline", "1 run", "gap 9.00 points")
    ]
    assert gaps([diverged]) == []


def test_the_colors_of_kernels_are_shown_by_tower():
    (chart,) = kernel_colors([[0.1, 0.2], [0.7, 0.9]])
    assert [(name, value) for name, _, _, value, _ in chart.rows] == [
        ("tower 1", "mean 15.0 %"),
        ("tower 2", "mean 80.0 %"),
    ]
    assert [row[0] for row in kernel_colors([[0.5]])[0].rows] == ["kernels"]


# Plots


@pytest.fixture
def draw(written):
    """Draws a claim of the study, with other fields where given."""
    (section,) = gather(written).sections

    def call(claim, part="", **changes):
        (result,) = (r for r in section.results if r.claim == claim)
        return [*panels(section, replace(result, **changes), part).values()]

    return call


def test_points_say_how_many_pairs_agree(draw):
    points, *_ = draw("lrn_lowers_error")
    assert "5 of 5 pairs point in the paper&#39;s direction" in points.svg
    assert [row[0] for row in points.rows] == ["100", "101", "102", "103", "104"]


def test_a_target_that_was_not_reached_is_written_into_the_picture(draw):
    points, *_ = draw("relu_trains_faster_than_tanh")
    assert "1 not reached" in points.svg
    assert points.rows[4][1] == "not reached"


def test_without_values_and_runs_there_is_no_picture(draw):
    assert draw("crops_and_flips_curb_overfitting") == []


def test_a_pair_with_one_run_is_drawn(draw):
    arms = make_result("a", {"": ([0.3, 0.31], [0.2, 0.21])}).arms[""]
    del arms["without"].values[101]
    points, *_ = draw("two_towers_beat_half_the_kernels", arms={"": arms})
    assert points.rows == [("100", "30.00", "20.00"), ("101", "–", "21.00")]


def test_only_the_curve_that_a_time_is_measured_on_has_a_target(draw):
    _, train, val = draw("relu_trains_faster_than_tanh")
    assert "target 25 %" in train.svg
    assert "target" not in val.svg
    assert not any("target" in panel.svg for panel in draw("lrn_lowers_error"))


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([60, 50, 45, 40, 38, 36, 34, 32, 31, 30], {("left", "top"), ("right", "top")}),
        ([60, 28, 24, 22, 23, 22, 22, 22, 22, 22], {("right", "bottom")}),
        # Early below, late below, in between above.
        ([60, 24, 24, 55, 55, 55, 55, 24, 24, 24], {("center", "top")}),
    ],
)
def test_the_name_of_a_target_is_written_where_no_curve_is(values, places, folder):
    runs = {side: [folder.add(0.3, 0, arm=side, epochs=10)] for side in ("with", "without")}
    for side, members in runs.items():
        curve = [
            replace(point, train=replace(point.train, top1=value / 100))
            for point, value in zip(members[0].curve, values, strict=True)
        ]
        runs[side] = [replace(members[0], curve=curve)]
        runs[side][0].save(folder.path / members[0].run_id)
    measure = {"of": "epochs_to_error", "target": 0.25}
    folder.study(make_result("a", {"": ([8.0], [2.0])}, measure=measure, runs=runs))
    (section,) = gather(folder.path).sections
    axes = panels(section, section.results[0], "")["train"].figure.axes[0]
    (text,) = [text for text in axes.texts if "target" in text.get_text()]
    assert (text.get_horizontalalignment(), text.get_verticalalignment()) in places
    assert axes.get_xlabel() == "epoch"


def test_steps_to_a_loss_are_shown_on_the_loss_by_steps(draw):
    measure = {"of": "steps_to_loss", "direction": "lower", "curve": "online", "target": 1.8}
    _, train, val = draw("relu_trains_faster_than_tanh", measure=measure, target=1.8)
    assert "target 1.8 nats" in train.svg
    assert train.rows[0] == ("10", "2.30", "2.30")
    assert "target" not in val.svg


def test_a_plot_is_an_element_with_a_label_in_the_colors_of_the_page(draw):
    for panel in draw("lrn_lowers_error"):
        root = ElementTree.fromstring(panel.svg)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"].startswith("LRN lowers error: ")
        assert root.attrib["viewBox"] == f"0 0 {WIDTH} {HEIGHT}"
        assert "var(--with)" in panel.svg
        assert "<style" not in panel.svg
        assert "font-family" not in panel.svg
        assert not re.search(r"#[0-9a-f]{6}\b", panel.svg)


@pytest.mark.parametrize(
    ("epochs", "ticks", "points"),
    [
        (1, ["1"], 1),
        (2, ["1", "2"], 2),
        (10, ["2", "4", "6", "8", "10"], 10),
        (160, ["0", "40", "80", "120", "160"], 1),
    ],
)
def test_epochs_have_whole_ticks_and_few_of_them_a_point_each(folder, epochs, ticks, points):
    runs = {side: [folder.add(0.3, 0, arm=side, epochs=epochs)] for side in ("with", "without")}
    result = make_result("a", {"": ([0.3], [0.2])}, runs=runs)
    folder.study(result)
    (section,) = gather(folder.path).sections
    axes = panels(section, section.results[0], "")["val"].figure.axes[0]
    low, high = axes.get_xlim()
    texts = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert [text.get_text() for at, text in texts if low <= at <= high] == ticks
    (line,) = [line for line in axes.lines if line.get_marker() == "o"]
    every = line.get_markevery()
    assert (len(line.get_xdata()) if every is None else len(every)) == points


def test_the_papers_effect_is_marked_where_the_mean_with_the_technique_would_be(draw):
    seeds, *curves = draw("lrn_lowers_error", at_paper=False)
    without = [float(row[1]) for row in seeds.rows]
    assert seeds.paper == pytest.approx(sum(without) / len(without) / 1.017**2, abs=0.01)
    assert "A diamond marks" in seeds.svg
    assert [panel.paper for panel in curves] == [None, None]
    # In differences of errors, in a measure that should rise, and without a figure of the paper.
    arms = make_result("a", {"": ([0.30, 0.30], [0.2, 0.2])}).arms
    points, *_ = draw("lrn_lowers_error", arms=arms, scale="points", effect=0.014)
    assert points.paper == pytest.approx(28.6)
    measure = {"of": "neighbors", "direction": "higher", "curve": "online", "target": None}
    higher, *_ = draw("lrn_lowers_error", arms=arms, scale="plain", effect=0.05, measure=measure)
    assert higher.paper == pytest.approx(35)
    none, *_ = draw("lrn_lowers_error", effect=None)
    assert none.paper is None


@pytest.mark.parametrize("seeds", [1, 2])
def test_curves_of_a_claim_name_mean_and_range_only_of_several_seeds(seeds, folder):
    runs = {
        side: [folder.add(0.3, seed, arm=side) for seed in range(seeds)]
        for side in ("with", "without")
    }
    folder.study(make_result("a", {"": ([0.3] * seeds, [0.2] * seeds)}, runs=runs))
    (section,) = gather(folder.path).sections
    panel = panels(section, section.results[0], "")["val"]
    label = ElementTree.fromstring(panel.svg).attrib["aria-label"]
    assert ("mean" in label, "range" in label) == 2 * (seeds > 1,)
    assert [", mean " in name for name in panel.head[1:]] == 2 * [seeds > 1]


def test_arms_outside_a_study_share_figures_of_five_with_the_first_in_each(folder):
    names = ["baseline", *(f"norm={number}" for number in range(6))]
    for seed, name in enumerate(names):
        folder.add(0.3, seed, arm=name)
    (section,) = gather(folder.path).sections
    found = arm_curves(section)
    assert list(found) == ["train", "val", "train-2", "val-2"]
    arms = [[cell.partition(", ")[0] for cell in panel.head[1:]] for panel in found.values()]
    assert arms[0] == arms[1] == names[:5]
    assert arms[2] == arms[3] == ["baseline", *names[5:]]
    assert len({panel.svg for panel in found.values()}) == 4
    for panel, shown in zip(found.values(), arms, strict=True):
        assert {"baseline", *shown} <= set(ElementTree.fromstring(panel.svg).itertext())


def test_the_page_leaves_the_key_to_its_own_words(draw):
    for panel in draw("lrn_lowers_error"):
        assert "without: norm=none" in panel.file
        assert "without: norm=none" not in panel.svg


def test_numbers_in_the_text_of_a_plot_are_not_rounded(draw):
    arms = make_result("a", {"": ([0.12345], [0.25055])}).arms
    points, *_ = draw("lrn_lowers_error", arms=arms)
    assert {"12.35", "25.05"} <= set(ElementTree.fromstring(points.svg).itertext())
