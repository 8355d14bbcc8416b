"""The workspace and the report of a W&B project, built from code.

``wandb_workspaces`` is a public preview; nothing else imports it.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2.interface import Report, Runset

from ablations.board.sync import Place, line_name, verdict_lines
from ablations.files import write_atomically
from ablations.loggers import tags
from ablations.page.evidence import Chapter
from ablations.page.findings import Finding

# Where the addresses of what was saved lie, beside the runs.
SAVED = "wandb_boards.json"

_AXES = {"epoch": "epochs", "samples": "images trained on", "seconds": "seconds of training"}
_FINAL = {
    "test/top1_error": "Test top-1 error, ten views",
    "test/top5_error": "Test top-5 error, ten views",
    "test_center/top1_error": "Test top-1 error, centre view",
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


def workspace(place: Place, chapters: list[Chapter]) -> ws.Workspace:
    """Runs by arm, a line for the mean over seeds and a band for its spread.

    Sections: errors against epochs, images and seconds; errors of the finished runs; the gap
    between test and training error; one section for each claim: its arms side by side by pair
    of seeds, and the effect beside the paper's figure. Learning curves of single claims are in the
    report, whose panels have filters.

    Args:
        place: The project.
        chapters: What there is to show.
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
            *(_section(finding) for chapter in chapters for finding in _shown(chapter)),
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
    """The verdicts as a table; then each claim with its arms, our effect and the paper's figure.

    Args:
        place: The project.
        chapters: What there is to show.
    """
    blocks: list[Any] = [wr.TableOfContents()]
    for chapter in chapters:
        blocks += [wr.H1(chapter.title), wr.P(f"{chapter.dataset}: {chapter.scale}.")]
        shown = _shown(chapter)
        if not shown:
            blocks.append(_grid(place, "runs", _of(chapter), _curves("val") + _finals()))
            continue
        blocks.append(wr.MarkdownBlock(text=verdict_table(shown)))
        blocks.append(wr.H2("Test error of all arms"))
        blocks.append(_grid(place, "all arms", f"{_of(chapter)} and job_type = 'train'", _finals()))
        for finding in shown:
            blocks += [wr.H2(finding.title), wr.P(finding.sentence or "Not decided yet.")]
            of_it = _of(chapter, finding.result.claim)
            blocks.append(
                wr.PanelGrid(
                    runsets=[
                        _runset(place, "arms", f"{of_it} and job_type = 'train'"),
                        _runset(place, "verdict", f"{of_it} and job_type = 'verdict'", ()),
                    ],
                    panels=[_arms(finding), _pairs(finding), _effect(finding), *_finals()[:1]],
                )
            )
    return Report(
        entity=place.entity or "",
        project=place.project,
        title=NAME,
        description="Every claim of the 2012 AlexNet paper, over paired seeds, with error bars.",
        width="fluid",
        blocks=blocks,
    )


def verdict_table(findings: Iterable[Finding]) -> str:
    """The verdicts as Markdown: the paper's figure, ours with its interval, pairs and verdict."""
    rows = ["| claim | § | paper | ours [interval] | n | verdict |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {f.title} | {f.result.section} | {f.theirs} | {f.ours} | {f.n} | "
        f"{f.result.label or 'not decided yet'} |"
        for f in findings
    ]
    return "\n".join(rows)


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
    view, page = workspace(place, chapters), report(place, chapters)
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
    """The trees of both, one line for each object."""
    lines = []
    view = workspace(place, chapters)
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


def _shown(chapter: Chapter) -> list[Finding]:
    return [*chapter.claims, *chapter.controls]


def _of(chapter: Chapter, claim: str = "") -> str:
    """The filter for the runs of a chapter, or of one claim in it, by their tags."""
    study = chapter.findings[0].study.experiment if chapter.findings else chapter.runs[0].experiment
    marks = tags(study, chapter.dataset, [claim] if claim else [])
    return " and ".join(f"Tags in [{mark!r}]" for mark in marks)


def _runset(
    place: Place, name: str, filters: str, groupby: Iterable[str] = ("config.arm",)
) -> Runset:
    return Runset(
        entity=place.entity or "",
        project=place.project,
        name=name,
        filters=filters,
        groupby=list(groupby),
        visible_columns=list(_COLUMNS),
    )


def _grid(place: Place, name: str, filters: str, panels: list[Any]) -> wr.PanelGrid:
    return wr.PanelGrid(runsets=[_runset(place, name, filters)], panels=panels)


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
    word = {"val": "Validation", "train": "Running training"}[split]
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


def _section(finding: Finding) -> ws.Section:
    return ws.Section(
        name=f"{finding.study.experiment}: {finding.title}",
        panels=[_pairs(finding), _effect(finding)],
    )


def _arms(finding: Finding) -> wr.LinePlot:
    """The arms' learning curves on the split that the claim measures, as far as it has any."""
    split = "train" if finding.split == "running" else "val"
    metrics = {"loss": "loss", "top5": "top5_error"}  # what else is measured has no curve
    return _by_arm(
        f"{finding.title}: {finding.arm_label('with')} or {finding.arm_label('without')}",
        "epoch",
        [f"{split}/{metrics.get(finding.metric, 'top1_error')}"],
        "epochs",
        "error",
    )


def _pairs(finding: Finding) -> wr.LinePlot:
    """The measure of both arms side by side, by the pairs of seeds."""
    return wr.LinePlot(
        title=f"{finding.title}: {finding.measure}, with and without",
        x="pair",
        y=[line_name(finding, side) for side in ("with", "without")],
        title_x="pairs of seeds",
        title_y=finding.measure,
    )


def _effect(finding: Finding) -> wr.LinePlot:
    """Our effect with the ends of its interval, and the paper's figure, as lines over the pairs."""
    paper = "gives no figure" if finding.paper is None else f"says {finding.theirs}"
    return wr.LinePlot(
        title=f"{finding.title}: effect in {finding.unit}; the paper {paper}",
        x="pair",
        y=list(verdict_lines(finding)),
        title_x="pairs of seeds",
        title_y=finding.unit,
    )
