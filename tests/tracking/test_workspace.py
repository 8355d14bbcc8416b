"""The workspace and the report hold what they should, and refresh what was saved."""

import wandb_workspaces.reports.v2 as wr

from ablations.reporting.documents import claims_table
from ablations.tracking.workspace import report, save, workspace

PLACE = ("team", "alexnet-ablations")


def test_the_workspace_groups_seeds_by_arm():
    view = workspace(*PLACE)
    assert [key.name for key in view.runset_settings.groupby] == ["arm"]
    curves = [p for s in view.sections for p in s.panels if isinstance(p, wr.LinePlot)]
    assert {plot.groupby_aggfunc for plot in curves} == {"mean"}
    assert {plot.groupby_rangefunc for plot in curves} == {"stddev"}
    drawn = {(str(plot.x), str(plot.y[0])) for plot in curves}
    assert drawn >= {(axis, "val/top1_error") for axis in ("epoch", "samples", "seconds")}


def test_the_report_has_the_verdicts_of_the_page(sections):
    page = report(*PLACE, sections)
    [table] = [block.text for block in page.blocks if isinstance(block, wr.MarkdownBlock)]
    assert table == claims_table(sections[0].shown)
    text = " ".join(str(block.text) for block in page.blocks if isinstance(block, wr.P))
    assert "Holds here. A warning." in text
    assert "Not testable here. Gate, learns: all tuning runs without the technique" in text


def test_each_claim_has_the_curves_that_it_measures_of_its_own_runs(sections):
    grids = [b for b in report(*PLACE, sections).blocks if isinstance(b, wr.PanelGrid)]
    curves = {str(grid.runsets[0].filters): str(grid.panels[0].y[0]) for grid in grids}
    tags = "Tags in ['experiment:small'] and Tags in ['dataset:CIFAR-10 (JPEG)']"
    assert curves == {
        tags: "val/top1_error",
        f"{tags} and Tags in ['claim:lrn_lowers_error']": "val/top1_error",
        f"{tags} and Tags in ['claim:relu_trains_faster_than_tanh']": "train/top1_error",
        f"{tags} and Tags in ['claim:bias_one_speeds_early_learning']": "train/loss",
    }


def test_a_second_save_refreshes_the_first(sections, runs_dir, wandb_server):
    first = save(runs_dir, *PLACE, sections[:0])
    assert save(runs_dir, *PLACE, sections) == first
    [view] = wandb_server.views.values()
    [page] = wandb_server.reports.values()
    assert "Finished runs" in view["spec"]
    assert "LRN lowers error" in page["spec"]
    assert "holds here" in page["spec"]


def test_what_was_deleted_there_is_made_anew(sections, runs_dir, wandb_server):
    first = save(runs_dir, *PLACE, sections)
    wandb_server.views.clear()
    second = save(runs_dir, *PLACE, sections)
    assert second[0] != first[0]
    assert save(runs_dir, *PLACE, sections) == second
