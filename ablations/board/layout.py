"""The workspace and the report of a W&B project, built from local records.

``wandb_workspaces`` is a public preview; nothing else imports it.
"""

import json
from pathlib import Path
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2.interface import Report, Runset

from ablations.board.sync import Place
from ablations.files import write_atomically
from ablations.loggers import tags
from ablations.page import words
from ablations.page.evidence import Chapter
from ablations.page.findings import Finding
from ablations.page.markdown import claims_table

# Where the addresses of what was saved lie, beside the runs.
SAVED = "wandb_boards.json"

_AXES = {"epoch": "epochs", "samples": "images trained on", "seconds": "seconds of training"}
_FINAL = {
    "test/top1_error": "Test top-1 error, ten views",
    "test/top5_error": "Test top-5 error, ten views",
    "test_center/top1_error": "Test top-1 error, center view",
    "train_clean/top1_error": "Training top-1 error, no augmentation",
}
# Of a table of runs: the errors at the end, and the best one on the way there.
_COLUMNS = (
    "summary:test/top1_error",
    "summary:test/top5_error",
    "summary:val_final/top1_error",
    "summary:val/top1_error.min",
)
NAME = "AlexNet ablations"


def workspace(place: Place) -> ws.Workspace:
    """Build a workspace: runs by arm, a line for the mean over seeds and a band for its spread.

    Sections: errors against epochs, images and seconds; errors of the finished runs; the gap
    between test and training error. Curves of single claims are in the report, whose panels have
    filters.

    Args:
        place: The project.
    """
    return ws.Workspace(
        entity=place.entity or "",
        project=place.project,
        name=NAME,
        sections=[
            ws.Section(name="Validation error", panels=_curves("val"), is_open=True),
            ws.Section(name="Training error", panels=_curves("train")),
            ws.Section(name="Finished runs", panels=_finals(), is_open=True),
            ws.Section(name="Gap between test and training error", panels=[_gap()]),
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


def report(place: Place, chapters: list[Chapter]) -> Report:
    """Build a report: a table of the claims, then each with its warnings and its arms' curves.

    Args:
        place: The project.
        chapters: What there is to show.
    """
    blocks: list[Any] = [wr.TableOfContents()]
    for chapter in chapters:
        blocks += [wr.H1(chapter.title), wr.P(f"{chapter.dataset}: {chapter.scale}.")]
        if chapter.shown:
            blocks.append(wr.MarkdownBlock(text="\n".join(claims_table(chapter.shown))))
            blocks.append(wr.H2("All arms"))
        blocks.append(_grid(place, "runs", _of(chapter), _curves("val") + _finals()))
        for finding in chapter.shown:
            gate = [f"Gate, {check.part}: {check.text}." for check in finding.failed]
            text = " ".join([f"{words.capital(finding.word)}.", *gate, *finding.notes])
            filters = _of(chapter, finding.result.claim)
            panels = [_arms(finding), _finals()[0]]
            blocks += [wr.H2(finding.title), wr.P(text), _grid(place, "arms", filters, panels)]
    return Report(
        entity=place.entity or "",
        project=place.project,
        title=NAME,
        description="Claims of the 2012 AlexNet paper, tested over paired seeds.",
        width="fluid",
        blocks=blocks,
    )


def save(output: Path, place: Place, chapters: list[Chapter]) -> list[str]:
    """Save workspace and report in W&B, over what an earlier call has saved.

    Args:
        output: Folder of the runs; remembers the addresses.
        place: The project.
        chapters: What there is to show.

    Returns:
        Their addresses.
    """
    path = output / SAVED
    known = json.loads(path.read_text()) if path.exists() else {}
    before = known.get(place.address, {})
    view, page = workspace(place), report(place, chapters)
    # Whoever has the address of an earlier one sees the new content there.
    if old := _load(ws.Workspace, before.get("workspace")):
        old.sections, old.settings = view.sections, view.settings
        old.runset_settings = view.runset_settings
        view = old
    if old := _load(Report, before.get("report")):
        old.blocks, old.description = page.blocks, page.description
        page = old
    saved: dict[str, str] = {}
    for name, board in (("workspace", view), ("report", page)):
        board.save()
        saved[name] = board.url
        known[place.address] = before | saved
        write_atomically(path, json.dumps(known, indent=1))
    return list(saved.values())


def _load(kind: Any, address: str | None) -> Any:
    if address is None:
        return None
    try:
        return kind.from_url(address)
    except (ValueError, TypeError):  # deleted there
        return None


def outline(place: Place, chapters: list[Chapter]) -> str:
    """Return the trees of both, one line for each object."""
    lines = []
    view = workspace(place)
    groups = [str(getattr(key, "name", key)) for key in view.runset_settings.groupby]
    lines.append(f"workspace {view.name}: runs by {', '.join(groups)}")
    for section in view.sections:
        lines.append(f"  section {section.name}")
        lines += [f"    {_line(panel)}" for panel in section.panels]
    page = report(place, chapters)
    lines.append(f"report {page.title}")
    for block in page.blocks:
        if isinstance(block, wr.PanelGrid):
            lines.append("  panels of")
            lines += [f"    runs {runset.name}: {runset.filters}" for runset in block.runsets]
            lines += [f"    {_line(panel)}" for panel in block.panels]
        elif isinstance(block, wr.H1 | wr.H2):
            lines.append(f"  {'#' if isinstance(block, wr.H1) else '##'} {block.text}")
        else:
            lines.append(f"  {type(block).__name__}")
    return "\n".join(lines)


def _line(panel: Any) -> str:
    if isinstance(panel, wr.LinePlot):
        return f"line {panel.title}: {', '.join(map(str, panel.y))} against {panel.x}"
    return f"{type(panel).__name__} {panel.title}"


def _of(chapter: Chapter, claim: str = "") -> str:
    """Return the filter for the runs of a chapter, or of one claim in it, by their tags."""
    marks = tags(chapter.name, chapter.dataset, [claim] if claim else [])
    return " and ".join(f"Tags in [{mark!r}]" for mark in marks)


def _grid(place: Place, name: str, filters: str, panels: list[Any]) -> wr.PanelGrid:
    runs = Runset(
        entity=place.entity or "",
        project=place.project,
        name=name,
        filters=filters,
        groupby=["config.arm"],
        visible_columns=list(_COLUMNS),
    )
    return wr.PanelGrid(runsets=[runs], panels=panels)


def _by_arm(title: str, x: str, y: list[str], title_x: str, title_y: str) -> wr.LinePlot:
    return wr.LinePlot(
        title=title,
        x=x,
        y=list(y),
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


def _arms(finding: Finding) -> wr.LinePlot:
    """Plot the learning curves of a claim's arms on the split that it measures, or validation."""
    measure = finding.result.measure
    if measure["of"] == "steps_to_loss":
        return _by_arm(finding.title, "epoch", ["train/loss"], "epochs", "loss, nats")
    online = measure["of"] == "epochs_to_error" and measure["curve"] == "online"
    y = f"{'train' if online else 'val'}/top1_error"
    return _by_arm(finding.title, "epoch", [y], "epochs", "error")
