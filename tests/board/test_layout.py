"""The workspace and the report hold what they should, and refresh what was saved."""

import json
import shutil

import wandb_workspaces.reports.v2 as wr

from ablations.board.layout import outline, report, save, workspace
from ablations.board.sync import Place
from ablations.page.evidence import gather
from ablations.page.markdown import claims_table

PLACE = Place("alexnet-ablations", "team")


def test_the_workspace_groups_seeds_by_arm():
    view = workspace(PLACE)
    assert [key.name for key in view.runset_settings.groupby] == ["arm"]
    curves = [p for s in view.sections for p in s.panels if isinstance(p, wr.LinePlot)]
    assert all(plot.groupby_aggfunc == "mean" for plot in curves)
    assert all(plot.groupby_rangefunc == "stddev" for plot in curves)
    drawn = {(str(plot.x), str(plot.y[0])) for plot in curves}
    assert drawn >= {
        (axis, f"{split}/{metric}_error")
        for axis in ("epoch", "samples", "seconds")
        for split in ("train", "val")
        for metric in ("top1", "top5")
    }
    [gap] = next(s for s in view.sections if s.name.startswith("Gap")).panels
    assert isinstance(gap, wr.ScatterPlot)


def test_the_report_filters_each_claim_by_its_tags(chapters):
    grids = [b for b in report(PLACE, chapters).blocks if isinstance(b, wr.PanelGrid)]
    for finding in chapters[0].shown:
        [grid] = [g for g in grids if f"claim:{finding.result.claim}" in str(g.runsets[0].filters)]
        assert "experiment:small" in str(grid.runsets[0].filters)
        assert "dataset:CIFAR-10 (JPEG)" in str(grid.runsets[0].filters)
        assert "summary:val/top1_error.min" in grid.runsets[0].visible_columns


def test_the_curves_of_a_claim_are_on_what_it_measures(chapters):
    grids = [b for b in report(PLACE, chapters).blocks if isinstance(b, wr.PanelGrid)]
    curves = {
        claim: str(grid.panels[0].y[0])
        for grid in grids
        for claim in (f.result.claim for f in chapters[0].shown)
        if claim in str(grid.runsets[0].filters)
    }
    assert curves == {
        "lrn_lowers_error": "val/top1_error",
        "relu_trains_faster_than_tanh": "train/top1_error",
        "bias_one_speeds_early_learning": "train/loss",
    }


def test_the_report_says_what_the_page_says(chapters):
    page = report(PLACE, chapters)
    [table] = [block.text for block in page.blocks if isinstance(block, wr.MarkdownBlock)]
    assert table == "\n".join(claims_table(chapters[0].shown))
    assert "1.034× (other data)" in table
    texts = [str(block.text) for block in page.blocks if isinstance(block, wr.P)]
    assert any("Holds here. A warning." in text for text in texts)
    assert any(
        "Not testable here. Gate, learns: all tuning runs without the technique diverged." in text
        for text in texts
    )


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
    assert "Finished runs" in view["spec"]
    assert "LRN lowers error" in page["spec"]
    assert "holds here" in page["spec"]


def test_what_was_deleted_there_is_made_anew(chapters, runs_dir, wandb_server):
    first = save(runs_dir, PLACE, chapters)
    wandb_server.views.clear()
    second = save(runs_dir, PLACE, chapters)
    assert second[0] != first[0]
    known = json.loads((runs_dir / "wandb_boards.json").read_text())
    assert known[PLACE.address]["workspace"] == second[0]
