"""The workspace and the report of a W&B project, built from local records with wandb-workspaces."""

import json
from pathlib import Path
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2.interface import Report, Runset

from ablations.claims.results import ClaimResult
from ablations.files import write_atomically
from ablations.reporting.claims import warnings_of
from ablations.reporting.documents import claims_table
from ablations.reporting.evidence import Section
from ablations.reporting.labels import word
from ablations.reporting.words import capital, spoken
from ablations.training.loggers import tags

# The file beside the runs with the addresses of what was saved.
SAVED = "wandb_boards.json"

_AXES = {"epoch": "epochs", "samples": "images trained on", "seconds": "seconds of training"}
_FINAL = {
    "test/top1_error": "Test top-1 error, ten views",
    "test/top5_error": "Test top-5 error, ten views",
    "test_center/top1_error": "Test top-1 error, center view",
    "train_clean/top1_error": "Training top-1 error, no augmentation",
}
# Columns of a table of runs: the final errors, and the lowest validation error.
_COLUMNS = (
    "summary:test/top1_error",
    "summary:test/top5_error",
    "summary:val_final/top1_error",
    "summary:val/top1_error.min",
)
NAME = "AlexNet ablations"


def workspace(entity: str, project: str) -> ws.Workspace:
    """Return a workspace: runs by arm, a line for the mean over seeds and a band for one SD.

    Sections: errors against epochs, images and seconds; errors of the finished runs; the
    generalization gap. Curves of single claims are in the report, whose panels have
    filters.

    Args:
        entity: Team or user.
        project: The project.
    """
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[
            ws.Section(name="Validation error", panels=_curves("val"), is_open=True),
            ws.Section(name="Training error", panels=_curves("train")),
            ws.Section(name="Finished runs", panels=_finals(), is_open=True),
            ws.Section(name="Generalization gap", panels=[_gap()]),
        ],
        settings=ws.WorkspaceSettings(
            x_axis="epoch", max_runs=100, remove_legends_from_panels=False
        ),
        runset_settings=ws.RunsetSettings(
            groupby=[ws.Config("arm")],
            order=[ws.Ordering(ws.Summary("test/top1_error"), ascending=True)],
            pinned_columns=[*_COLUMNS, "config:experiment.value"],
        ),
    )


def report(entity: str, project: str, sections: list[Section]) -> Report:
    """Return a report: the claims with their verdicts, then each with its warnings and curves.

    Args:
        entity: Team or user.
        project: The project.
        sections: A study each, or the runs of an experiment without a study.
    """

    def grid(name: str, filters: str, panels: list[Any]) -> wr.PanelGrid:
        runs = Runset(
            entity=entity,
            project=project,
            name=name,
            filters=filters,
            groupby=["config.arm"],
            visible_columns=list(_COLUMNS),
        )
        return wr.PanelGrid(runsets=[runs], panels=panels)

    blocks: list[Any] = [wr.TableOfContents()]
    for section in sections:
        blocks += [wr.H1(section.title), wr.P(f"{section.dataset}: {section.scale}.")]
        if section.shown:
            blocks.append(wr.MarkdownBlock(text=claims_table(section.shown)))
            blocks.append(wr.H2("All arms"))
        blocks.append(grid("runs", _of(section), _curves("val") + _finals()))
        for result in section.shown:
            gate = [f"Gate, {c.part}: {c.text}." for c in result.checks if not c.passed]
            text = " ".join([f"{capital(word(result))}.", *gate, *warnings_of(result)])
            filters = _of(section, result.claim)
            panels = [_arms(result), _finals()[0]]
            blocks += [wr.H2(spoken(result.claim)), wr.P(text), grid("arms", filters, panels)]
    return Report(
        entity=entity,
        project=project,
        title=NAME,
        description="Claims of the 2012 AlexNet paper, tested over paired seeds.",
        width="fluid",
        blocks=blocks,
    )


def save(output: Path, entity: str, project: str, sections: list[Section]) -> list[str]:
    """Save workspace and report in W&B, at the addresses of an earlier call if there was one.

    Args:
        output: Folder of the runs, where the addresses are kept.
        entity: Team or user.
        project: The project.
        sections: What the report shows.

    Returns:
        Their addresses.
    """
    path = output / SAVED
    saved = json.loads(path.read_text()) if path.exists() else {}
    server = wandb.setup().settings.base_url
    here = saved.setdefault(f"{server}/{entity}/{project}", {})
    boards = {
        "workspace": (
            workspace(entity, project),
            ("sections", "settings", "runset_settings"),
        ),
        "report": (report(entity, project, sections), ("blocks", "description")),
    }
    for name, (board, contents) in boards.items():
        if old := _load(type(board), here.get(name)):
            for content in contents:
                setattr(old, content, getattr(board, content))
            board = old
        board.save()
        here[name] = board.url
        write_atomically(path, json.dumps(saved, indent=1))
    return list(here.values())


def _load(kind: Any, address: str | None) -> Any:
    if address is None:
        return None
    try:
        return kind.from_url(address)
    except (ValueError, TypeError):  # deleted there
        return None


def _of(section: Section, claim: str = "") -> str:
    """Return the filter for the runs of a section, or of one claim in it, by their tags."""
    marks = tags(section.name, section.dataset, [claim] if claim else [])
    return " and ".join(f"Tags in [{mark!r}]" for mark in marks)


def _by_arm(title: str, x: str, y: list[Any], title_x: str, title_y: str) -> wr.LinePlot:
    return wr.LinePlot(
        title=title,
        x=x,
        y=y,
        title_x=title_x,
        title_y=title_y,
        groupby=wr.Config("arm"),
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        max_runs_to_show=100,
    )


def _curves(split: str) -> list[Any]:
    word = {"val": "Validation", "train": "Online training"}[split]
    return [
        _by_arm(f"{word} {label} by {axis}", axis, [f"{split}/{metric}_error"], title_x, "error")
        for metric, label in (("top1", "top-1 error"), ("top5", "top-5 error"))
        for axis, title_x in _AXES.items()
    ]


def _finals() -> list[Any]:
    return [
        wr.BarPlot(
            title=title,
            metrics=[wr.SummaryMetric(metric)],
            groupby=wr.Config("arm"),
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            max_bars_to_show=40,
        )
        for metric, title in _FINAL.items()
    ]


def _gap() -> wr.ScatterPlot:
    return wr.ScatterPlot(
        title="Test error against training error",
        x=wr.SummaryMetric("train_clean/top1_error"),
        y=wr.SummaryMetric("test_center/top1_error"),
    )


def _arms(result: ClaimResult) -> wr.LinePlot:
    """Plot the learning curves of a claim's arms on the split that it measures, or validation."""
    measure, title = result.measure, spoken(result.claim)
    if measure["of"] == "steps_to_loss":
        return _by_arm(title, "epoch", ["train/loss"], "epochs", "loss, nats")
    online = measure["of"] == "epochs_to_error" and measure["curve"] == "online"
    y = f"{'train' if online else 'val'}/top1_error"
    return _by_arm(title, "epoch", [y], "epochs", "error")
