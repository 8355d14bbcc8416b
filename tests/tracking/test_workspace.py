"""The workspace and the report hold what they should, and refresh what was saved."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from records import FINGERPRINT, make_record, make_result, save_study
from wandb_workspaces.expr import Filters, expr_to_filters

from ablations.claims.gates import Check
from ablations.config import Run
from ablations.record import Record
from ablations.reporting.evidence import Section, gather
from ablations.techniques import Norm, Pooling, Techniques
from ablations.tracking.workspace import report, save, workspace

PLACE = ("team", "alexnet-ablations")


# The runs that W&B has, each as the command that began it called it.


def runs_of(seeds: range, experiment: str, **techniques: Any) -> list[Record]:
    choice = Techniques(**techniques)
    return [
        make_record(
            replace(Run(techniques=choice, seed=seed), fingerprint=FINGERPRINT),
            experiment=experiment,
            arm="baseline" if choice == Techniques() else "other",
        )
        for seed in seeds
    ]


@pytest.fixture
def trained(runs_dir: Path) -> dict[str, list[Record]]:
    """The records of a study whose claims share a baseline, of its tuning, and of others."""
    seeds = range(100, 103)
    runs = {
        "baseline": runs_of(seeds, "small"),
        "nonoverlap": runs_of(seeds, "smoke", pooling=Pooling.nonoverlap),  # by an agent
        "none": runs_of(seeds, "small", norm=Norm.none),
        "tuning": runs_of(range(1000, 1002), "small"),
        "alien": runs_of(seeds, "smoke", pooling=Pooling.nonoverlap, norm=Norm.none),
    }
    for record in (record for group in runs.values() for record in group):
        (runs_dir / record.run_id).mkdir()
        record.save(runs_dir / record.run_id)
    values = {"": ([0.28, 0.281, 0.279], [0.25, 0.251, 0.25])}
    claims = {
        "overlap_pooling_lowers_error": ("pooling", "nonoverlap", {}),
        "lrn_lowers_error": ("norm", "none", {}),
        "overlap_pooling_curbs_overfitting": ("pooling", "nonoverlap", {"of": "gap"}),
        "ten_views_lower_error": ("evaluation", "baseline", {}),
    }
    results = [
        make_result(
            name,
            values,
            technique=technique,
            measure=measure,
            runs={"with": runs["baseline"], "without": runs[without]},
        )
        for name, (technique, without, measure) in claims.items()
    ]
    results.append(make_result("relu_trains_faster_than_tanh", {"": ([], [])}))  # no runs yet
    save_study(runs_dir, results, experiment="smoke")
    return runs


def chosen(filters: Filters, runs: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the ids of the runs that a filter matches, as W&B reads it."""
    if filters.key is None:
        parts = [chosen(part, runs) for part in filters.filters or []]
        return set.intersection(*parts) if filters.op == "AND" else set.union(*parts)
    name, value = filters.key.name, filters.value
    tests = {"IN": lambda x: x in value, "=": lambda x: x == value, "!=": lambda x: x != value}
    assert filters.key.section == "run"
    return {run_id for run_id, run in runs.items() if tests[filters.op](run[name])}


def grids(sections: list[Section]) -> dict[str, list[wr.PanelGrid]]:
    """Return the panel grids of a report by the heading above them."""
    found: dict[str, list[wr.PanelGrid]] = {}
    heading = ""
    for block in report(*PLACE, sections).blocks:
        if isinstance(block, wr.H1 | wr.H2):
            heading = str(block.text)
        elif isinstance(block, wr.PanelGrid):
            found.setdefault(heading, []).append(block)
    return found


def test_every_filter_of_the_report_matches_the_runs_behind_it(trained, runs_dir):
    on_server = {run.run_id: {"name": run.run_id} for group in trained.values() for run in group}
    matched = {
        heading: [chosen(expr_to_filters(str(g.runsets[0].filters)), on_server) for g in found]
        for heading, found in grids(gather(runs_dir).sections).items()
    }
    ids = {name: {run.run_id for run in runs} for name, runs in trained.items()}
    study = ids["baseline"] | ids["nonoverlap"] | ids["none"]
    assert matched == {
        "All arms": [study],
        "Overlap pooling lowers error": [ids["baseline"] | ids["nonoverlap"]],
        "LRN lowers error": [ids["baseline"] | ids["none"]],
        "Overlap pooling curbs overfitting": [ids["baseline"] | ids["nonoverlap"]],
        "Ten views lower error": [ids["baseline"]],
        "synthetic: smoke": [ids["alien"]],
    }


def test_a_comparison_is_grouped_by_the_key_that_tells_its_arms_apart(trained, runs_dir):
    found = grids(gather(runs_dir).sections)
    keys = {
        heading: [str(g.runsets[0].groupby[0]) for g in each] for heading, each in found.items()
    }
    assert keys["LRN lowers error"] == ["config.techniques.norm"]
    assert keys["Ten views lower error"] == ["config.model"]
    for each in found.values():
        for grid in each:
            for panel in grid.panels:
                if not isinstance(panel, wr.ScatterPlot):
                    assert f"config.{panel.groupby.name}" == grid.runsets[0].groupby[0]


def test_bars_show_the_measure_of_a_claim(trained, runs_dir):
    found = grids(gather(runs_dir).sections)
    bars = {
        heading: [metric.name for metric in each[0].panels[1].metrics]
        for heading, each in found.items()
        if heading.startswith(("Overlap", "Ten"))
    }
    assert bars == {
        "Overlap pooling lowers error": ["test/top1_error"],
        "Overlap pooling curbs overfitting": ["gap/top1_error"],
        "Ten views lower error": ["test/top1_error", "test_center/top1_error"],
    }


def test_each_part_of_a_claim_is_a_comparison_of_its_own(trained, runs_dir):
    pair = ([0.28, 0.281], [0.25, 0.251])
    result = make_result(
        "larger_and_longer_is_better",
        {"larger": pair, "longer": pair},
        technique="width",
        rule={"parts": {"larger": {"technique": None}, "longer": {"technique": "recipe.epochs"}}},
        runs={"with": trained["baseline"], "without": trained["none"]},
    )
    save_study(runs_dir, [result], name="parts", experiment="smoke")
    each = grids(gather(runs_dir).sections)["Larger and longer is better"]
    assert [g.runsets[0].groupby for g in each] == [["config.width"], ["config.recipe.epochs"]]


def test_the_workspace_groups_seeds_by_experiment_and_arm_and_leaves_tuning_out():
    view = workspace(*PLACE)
    assert view.runset_settings.groupby == [ws.Config("group")]
    types = ("train", "verdict", "tuning")
    runs = {name: {"jobType": name} for name in types}
    assert chosen(expr_to_filters(str(view.runset_settings.filters)), runs) == {"train", "verdict"}
    curves = [p for s in view.sections for p in s.panels if isinstance(p, wr.LinePlot)]
    assert {plot.groupby_aggfunc for plot in curves} == {"mean"}
    assert {plot.groupby_rangefunc for plot in curves} == {"stddev"}
    drawn = {(str(plot.x), str(plot.y[0])) for plot in curves}
    assert drawn >= {(axis, "val/top1_error") for axis in ("epoch", "samples", "seconds")}


@pytest.mark.parametrize(
    ("measure", "curve"),
    [
        ({}, "val/top1_error"),
        ({"of": "epochs_to_error", "target": 0.25}, "train/top1_error"),
        ({"of": "steps_to_loss", "target": 1.8}, "train/loss"),
    ],
)
def test_a_claim_has_the_curves_that_it_measures(measure, curve, trained, runs_dir):
    runs = {"with": trained["baseline"], "without": trained["none"]}
    pair = ([8.0, 8.4], [2.0, 2.1])
    result = make_result("lrn_lowers_error", {"": pair}, measure=measure, runs=runs)
    save_study(runs_dir, [result], name="curves", experiment="smoke")
    [grid] = grids(gather(runs_dir).sections[1:2])["LRN lowers error"]
    assert str(grid.panels[0].y[0]) == curve


def test_a_second_save_refreshes_the_first_unless_it_was_deleted_there(runs_dir, wandb_server):
    obstacle = {"comparison": {"obstacle": "learns: all diverged"}}
    values = {"": ([0.28, 0.281, 0.279], [0.25, 0.251, 0.25])}
    failed = [Check("learns", False, "all tuning runs without the technique diverged")]
    holds = make_result("lrn_lowers_error", values, warnings=["a warning"])
    save_study(
        runs_dir, [holds, make_result("bias_one", {"": ([], [])}, checks=failed, **obstacle)]
    )
    sections = gather(runs_dir).sections
    first = save(runs_dir, *PLACE, [])
    assert save(runs_dir, *PLACE, sections) == first
    [view] = wandb_server.views.values()
    [page] = wandb_server.reports.values()
    assert "Finished runs" in view["spec"]
    # A label with its warning, the table of claims, and a failed check.
    for text in (
        "Holds here. A warning.",
        "**holds here**",
        "Not testable here. Gate, learns: all",
    ):
        assert text in page["spec"]
    wandb_server.views.clear()
    second = save(runs_dir, *PLACE, sections)
    assert second[0] != first[0]
    assert save(runs_dir, *PLACE, sections) == second
