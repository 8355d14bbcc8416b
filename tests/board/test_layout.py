"""The workspace and the report hold what they should, and refresh what was saved."""

import json
import shutil
from pathlib import Path

import pytest
import wandb_workspaces.reports.v2 as wr

from ablations.board.layout import outline, report, save, verdict_table, workspace
from ablations.board.sync import Place
from ablations.page.evidence import gather

RESULTS = Path(__file__).resolve().parents[2] / "results" / "cifar10_small"
PLACE = Place("alexnet-ablations", "team")


@pytest.fixture
def chapters(runs_dir):
    """The committed verdicts."""
    shutil.copy(RESULTS / "verdicts.json", runs_dir)
    return gather(runs_dir).chapters


def test_the_workspace_groups_seeds_by_arm(chapters):
    view = workspace(PLACE, chapters)
    assert [key.name for key in view.runset_settings.groupby] == ["arm"]
    plots = [p for s in view.sections for p in s.panels if isinstance(p, wr.LinePlot)]
    curves = [plot for plot in plots if plot.x != "pair"]
    assert all(plot.groupby_aggfunc == "mean" for plot in curves)
    assert all(plot.groupby_rangefunc == "stddev" for plot in curves)
    drawn = {(str(plot.x), str(plot.y[0])) for plot in curves}
    assert drawn >= {
        (axis, f"{split}/{metric}_error")
        for axis in ("epoch", "samples", "seconds")
        for split in ("train", "val")
        for metric in ("top1", "top5")
    }


def test_every_claim_has_a_section_with_its_arms_and_the_papers_figure(chapters):
    sections = {section.name: section for section in workspace(PLACE, chapters).sections}
    for finding in chapters[0].claims:
        arms, effect = sections[f"cifar10_small: {finding.title}"].panels
        # No other comparison's verdict has these metrics: a workspace's panel shows all runs.
        name = finding.result.name.replace("[", "_").removesuffix("]")
        assert arms.y == [f"{name}/with", f"{name}/without"]
        assert effect.y[0] == f"{name}/effect"
        assert (f"{name}/paper" in effect.y) == (finding.paper is not None)
    [gap] = sections["Gap between test and training error"].panels
    assert isinstance(gap, wr.ScatterPlot)


def test_the_report_filters_each_claim_by_its_tags(chapters):
    page = report(PLACE, chapters)
    grids = [block for block in page.blocks if isinstance(block, wr.PanelGrid)]
    findings = [*chapters[0].claims, *chapters[0].controls]
    for finding in findings:
        wanted = f"claim:{finding.result.claim}"
        [*_] = of_it = [g for g in grids if wanted in str(g.runsets[0].filters)]
        assert of_it
        assert all("experiment:cifar10_small" in str(g.runsets[0].filters) for g in of_it)
        assert all("dataset:CIFAR-10 (JPEG)" in str(g.runsets[0].filters) for g in of_it)
        assert all("summary:val/top1_error.min" in g.runsets[0].visible_columns for g in of_it)
    tables = [block.text for block in page.blocks if isinstance(block, wr.MarkdownBlock)]
    assert tables == [verdict_table(findings)]


def test_the_verdict_table_says_what_the_page_says(chapters):
    rows = verdict_table(chapters[0].claims).splitlines()
    [lrn] = [row for row in rows if row.startswith("| LRN lowers error |")]
    assert "1.4 points" in lrn
    assert lrn.endswith("| contradicted (opposite) |")


def test_runs_without_a_study_have_their_curves(finished, record, runs_dir):
    shutil.copytree(finished, runs_dir / record.run_id)
    text = outline(PLACE, gather(runs_dir).chapters)
    assert text.splitlines()[0].endswith(": runs by arm")
    assert "runs runs: Tags in ['experiment:smoke'] and Tags in ['dataset:synthetic']" in text
    assert "line Validation top-1 error by epoch: val/top1_error against epoch" in text


def test_a_second_save_refreshes_the_first(chapters, runs_dir, wandb_server):
    first = save(runs_dir, PLACE, chapters)
    assert save(runs_dir, PLACE, chapters) == first
    [view] = wandb_server.views.values()
    [page] = wandb_server.reports.values()
    assert "LRN lowers error" in view["spec"]
    assert "contradicted (opposite)" in page["spec"]


def test_what_was_deleted_there_is_made_anew(chapters, runs_dir, wandb_server):
    first = save(runs_dir, PLACE, chapters)
    wandb_server.views.clear()
    second = save(runs_dir, PLACE, chapters)
    assert second[0] != first[0]
    known = json.loads((runs_dir / "wandb_boards.json").read_text())
    assert known[PLACE.address]["workspace"] == second[0]
