"""The workspace and the report of a W&B project, built from local records with wandb-workspaces."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2.interface import Report, Runset

from ablations.claims.results import ClaimResult
from ablations.claims.schema import READINGS
from ablations.files import write_atomically
from ablations.reporting.claims import warnings_of
from ablations.reporting.documents import claims_table
from ablations.reporting.evidence import Section
from ablations.techniques import Techniques
from ablations.words import capital, spoken

# File in the folder of the runs with the URLs of the workspace and the reports.
SAVED = "wandb_boards.json"

_AXES = {"epoch": "epochs", "samples": "images trained on", "seconds": "seconds of training"}
_FINAL = {
    "test/top1_error": "Test top-1 error, ten views",
    "test/top5_error": "Test top-5 error, ten views",
    "test_center/top1_error": "Test top-1 error, center view",
    "train_clean/top1_error": "Training top-1 error, no augmentation",
    "gap/top1_error": "Generalization gap: test, center view, minus training",
}
# Metrics of the bars of a claim, by its technique or measure; curves show times.
_MEASURED = {
    "evaluation": ["test/top1_error", "test_center/top1_error"],
    "train_error": ["train_clean/top1_error"],
    "gap": ["gap/top1_error"],
    "color": ["color/difference"],
    "neighbors": ["neighbors/features", "neighbors/pixels"],
}
# Columns of a table of runs: the final errors, and the lowest validation error.
_COLUMNS = (
    "summary:test/top1_error",
    "summary:test/top5_error",
    "summary:val_final/top1_error",
    "summary:val/top1_error.min",
)
NAME = "AlexNet ablations"
# Experiment, data and arm, as named by the command that started a run; only runs with the same
# group are averaged.
_GROUP = "group"
# Maximum number of runs in a panel, before grouping.
_MOST_RUNS = 1000


def workspace(entity: str, project: str) -> ws.Workspace:
    """Return a workspace with runs grouped by arm: mean over seeds, and a band of one SD.

    Its sections show errors against epochs, images and seconds; errors of the finished runs; and
    the generalization gap. Tuning runs are left out. Curves of single claims are in the report,
    whose panels have filters.

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
            x_axis="epoch", max_runs=_MOST_RUNS, remove_legends_from_panels=False
        ),
        runset_settings=ws.RunsetSettings(
            filters="Metric('JobType') != 'tuning'",
            groupby=[ws.Config(_GROUP)],
            order=[ws.Ordering(ws.Summary("test/top1_error"), ascending=True)],
            pinned_columns=[*_COLUMNS, "config:experiment.value"],
        ),
    )


def report(entity: str, project: str, sections: list[Section]) -> Report:
    """Return a report: a table of the verdicts, then each claim with its warnings and curves.

    Runs are selected by their ids, from records and verdicts, because W&B has only the study that
    started a run, and other studies may use it. A comparison groups runs by the key in which its
    arms differ.

    Args:
        entity: Team or user.
        project: The project.
        sections: Studies, and runs of experiments without a study.
    """

    def grid(name: str, run_ids: Sequence[str], key: str, panels: list[Any]) -> list[Any]:
        if not run_ids:  # W&B would show all runs
            return []
        runs = Runset(
            entity=entity,
            project=project,
            name=name,
            filters=f"Metric('ID') in {sorted(set(run_ids))}",
            groupby=[f"config.{key}"],
            visible_columns=list(_COLUMNS),
        )
        return [wr.PanelGrid(runsets=[runs], panels=panels)]

    blocks: list[Any] = [wr.TableOfContents()]
    for section in sections:
        blocks += [wr.H1(section.title), wr.P(f"{section.dataset}: {section.scale}.")]
        if section.shown:
            blocks.append(wr.MarkdownBlock(text=claims_table(section.shown)))
            blocks.append(wr.H2("All arms"))
        run_ids = [run.run_id for run in section.runs]
        blocks += grid("runs", run_ids, _GROUP, [*_curves("val"), *_finals(), _gap()])
        for result in section.shown:
            gate = [f"Gate, {c.part}: {c.text}." for c in result.checks if not c.passed]
            text = " ".join([f"{capital(result.word)}.", *gate, *warnings_of(result)])
            blocks += [wr.H2(spoken(result.claim)), wr.P(text)]
            for part, arms in result.arms.items():
                key = _key(result, part)
                runs = [
                    run_id for arm in arms.values() for ids in arm.runs.values() for run_id in ids
                ]
                measured = _MEASURED.get(result.technique) or _MEASURED.get(result.measure["of"])
                panels = [_arms(result, part, key), _bars(measured or ["test/top1_error"], key)]
                blocks += grid(part or "arms", runs, key, panels)
    return Report(
        entity=entity,
        project=project,
        title=NAME,
        description="Claims of the 2012 AlexNet paper, tested over paired seeds.",
        width="fluid",
        blocks=blocks,
    )


def save(output: Path, entity: str, project: str, sections: list[Section]) -> list[str]:
    """Save the workspace and the report in W&B, and replace those of an earlier call.

    Args:
        output: Folder of the runs, where the URLs are kept.
        entity: Team or user.
        project: The project.
        sections: Sections of the report.

    Returns:
        Their URLs.
    """
    path = output / SAVED
    saved = json.loads(path.read_text()) if path.exists() else {}
    server = wandb.setup().settings.base_url
    here = saved.setdefault(f"{server}/{entity}/{project}", {})
    boards: dict[str, tuple[Any, tuple[str, ...]]] = {
        "workspace": (workspace(entity, project), ("sections", "settings", "runset_settings")),
        "report": (report(entity, project, sections), ("blocks", "description")),
    }
    for name, (board, contents) in boards.items():
        with suppress(KeyError, ValueError, TypeError):  # not saved before, or deleted there
            old = type(board).from_url(here[name])
            for content in contents:
                setattr(old, content, getattr(board, content))
            board = old
        board.save()
        here[name] = board.url
        write_atomically(path, json.dumps(saved, indent=1))
    return [here[name] for name in boards]


def _key(result: ClaimResult, part: str) -> str:
    """Return the key of W&B's config in which the arms of a comparison differ."""
    of_part = result.rule.get("parts", {}).get(part, {}).get("technique")
    key = of_part or result.technique
    if key in (*READINGS, "evaluation"):
        return "model"  # both arms read the same runs
    return f"techniques.{key}" if key in {field.name for field in fields(Techniques)} else key


def _by_arm(
    title: str, x: str, y: list[Any], title_x: str, title_y: str, key: str = _GROUP
) -> wr.LinePlot:
    return wr.LinePlot(
        title=title,
        x=x,
        y=y,
        title_x=title_x,
        title_y=title_y,
        groupby=wr.Config(key),
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        max_runs_to_show=_MOST_RUNS,
    )


def _curves(split: str) -> list[Any]:
    word = {"val": "Validation", "train": "Online training"}[split]
    return [
        _by_arm(f"{word} {label} by {axis}", axis, [f"{split}/{metric}_error"], title_x, "error")
        for metric, label in (("top1", "top-1 error"), ("top5", "top-5 error"))
        for axis, title_x in _AXES.items()
    ]


def _bars(metrics: Sequence[str], key: str = _GROUP) -> wr.BarPlot:
    return wr.BarPlot(
        title=" and ".join(_FINAL.get(metric, metric) for metric in metrics),
        metrics=[wr.SummaryMetric(metric) for metric in metrics],
        groupby=wr.Config(key),
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        max_runs_to_show=_MOST_RUNS,
        max_bars_to_show=40,
    )


def _finals() -> list[Any]:
    return [_bars([metric]) for metric in _FINAL]


def _gap() -> wr.ScatterPlot:
    # W&B gives the points of a group one color.
    return wr.ScatterPlot(
        title="Test error against training error",
        x=wr.SummaryMetric("train_clean/top1_error"),
        y=wr.SummaryMetric("test_center/top1_error"),
        legend_template=f"${{config:{_GROUP}}} seed=${{config:seed}}",
    )


def _arms(result: ClaimResult, part: str, key: str) -> wr.LinePlot:
    """Plot the learning curves of a claim's arms on the split that it measures, or validation."""
    measure, title = result.measure, ", ".join(filter(None, [spoken(result.claim), part]))
    if measure["of"] == "steps_to_loss":
        return _by_arm(title, "epoch", ["train/loss"], "epochs", "loss, nats", key)
    online = measure["of"] == "epochs_to_error" and measure["curve"] == "online"
    y = f"{'train' if online else 'val'}/top1_error"
    return _by_arm(title, "epoch", [y], "epochs", "error", key)
