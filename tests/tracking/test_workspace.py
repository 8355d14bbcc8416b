"""The workspace and the report hold what they should, and refresh what was saved."""

from pathlib import Path

import pytest
import wandb_workspaces.reports.v2 as wr
from records import make_result, save_study

from ablations.claims.gates import Check
from ablations.reporting.documents import claims_table
from ablations.reporting.evidence import Section, gather
from ablations.tracking.workspace import report, save, workspace

PLACE = ("team", "alexnet-ablations")


@pytest.fixture
def sections(runs_dir: Path) -> list[Section]:
    """A study with three claims in ``runs_dir``, without records."""
    values = {"": ([0.28, 0.281, 0.279], [0.25, 0.251, 0.25])}
    save_study(
        runs_dir,
        [
            make_result("lrn_lowers_error", values, warnings=["a warning"]),
            make_result(
                "relu_trains_faster_than_tanh",
                {"": ([8.0, 8.4, 8.2], [2.0, 2.1, 2.0])},
                measure={"of": "epochs_to_error", "target": 0.25},
            ),
            make_result(
                "bias_one_speeds_early_learning",
                {"": ([], [])},
                measure={"of": "steps_to_loss", "target": 1.8},
                checks=[Check("learns", False, "all tuning runs without the technique diverged")],
                comparison={"obstacle": "learns: all diverged"},
            ),
        ],
    )
    return gather(runs_dir).sections


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
