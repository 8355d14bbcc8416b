"""Sends finished runs and verdicts to W&B: the records are the truth, and W&B is rebuilt from them.

Files that the client wrote offline are not needed, so that a run which was interrupted, resumed and
trained without a network arrives as one W&B run like any other.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import wandb

from ablations.classifier import curve_metrics
from ablations.config import ConfigError
from ablations.files import write_atomically
from ablations.loggers import digest, final_metrics, tags
from ablations.page.evidence import gather
from ablations.page.findings import Finding
from ablations.record import CHECKPOINT, PREDICTIONS, Record, load_all
from ablations.wandb_logger import TIMEOUT_SECONDS, begin_wandb

# What has been sent where, by W&B run id; lies beside the runs.
SENT = "wandb.json"


@dataclass(frozen=True)
class Place:
    """A W&B project.

    Attributes:
        project: Its name.
        entity: Team or user; none takes the account's default.
    """

    project: str
    entity: str | None = None

    @property
    def address(self) -> str:
        """Server, entity and project: what is remembered of one place is not so of another."""
        return f"{wandb.setup().settings.base_url}/{self.entity or ''}/{self.project}"


def sync(
    output: Path, place: Place, *, checkpoints: bool, tell: Callable[[str], None]
) -> tuple[int, int]:
    """Send every finished run and every verdict that ``place`` does not have yet.

    Args:
        output: Folder of the runs.
        place: Where to.
        checkpoints: Send the last checkpoint of each run, too.
        tell: Told about each run that is sent.

    Returns:
        How many W&B runs were sent, and how many were there already.

    Raises:
        ConfigError: W&B does not answer, or refuses; what was sent before stays sent.
    """
    sent = _Sent(output / SENT, place)
    evidence = gather(output)
    findings = [finding for chapter in evidence.chapters for finding in chapter.findings]
    new = 0
    records = load_all(output)
    with explained():
        for record in records:
            mark = digest(record) + ("+checkpoint" if checkpoints else "")
            if sent.has(record.run_id, mark):
                continue
            tell(f"{record.arm} seed={record.seed}")
            _send_record(
                record, output / record.run_id, place, _claims(record, findings), checkpoints
            )
            sent.note(record.run_id, mark)
            new += 1
        verdicts = [finding for finding in findings if finding.verdict]
        for finding in verdicts:
            run_id, mark = verdict_id(finding), _hash(json.dumps(finding.result.verdict))
            if sent.has(run_id, mark):
                continue
            tell(f"verdict: {finding.title}")
            _send_verdict(run_id, finding, output, place)
            sent.note(run_id, mark)
            new += 1
        files = [path for name in _FILES if (path := output / name).exists()]
        mark = _hash("".join(_hash(path.read_bytes()) for path in files))
        if files and not sent.has("report", mark):
            tell("verdicts and report")
            _send_files(files, output, place)
            sent.note("report", mark)
            new += 1
    return new, len(records) + len(verdicts) + bool(files) - new


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the client raises when its server is away or refuses into one message."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"W&B: {reason}; next step: `wandb login`, or wait for the server, then give the same "
            "command again, which goes on where it ended"
        ) from None


_FILES = ("verdicts.json", "RESULTS.md", "report.html")


def verdict_id(finding: Finding) -> str:
    """Id of the W&B run that shows a verdict: a study's comparison keeps it."""
    study = finding.study
    return _hash(f"{study.experiment} {study.changes} {study.fingerprint} {finding.result.name}")


def verdict_lines(finding: Finding) -> dict[str, float]:
    """What a verdict's run logs beside its pairs: our effect, its interval, the paper's figure.

    The names carry the comparison's: panels of a workspace show all runs that have a metric, and
    have no filter of their own.
    """
    low, high = finding.interval or (None, None)
    lines = {"effect": finding.estimate, "low": low, "high": high, "paper": finding.paper}
    return {
        line_name(finding, name): value
        for name, value in lines.items()
        if value is not None and isfinite(value)
    }


def line_name(finding: Finding, line: str) -> str:
    """The metric of a verdict's run by the name of its line, such as ``with`` or ``paper``."""
    return f"{'_'.join(filter(None, (finding.result.claim, finding.result.part)))}/{line}"


def _claims(record: Record, findings: list[Finding]) -> list[str]:
    names = {
        finding.result.claim: None
        for finding in findings
        for arm in finding.result.arms.values()
        if any(record.run_id in members for members in arm.runs.values())
    }
    return list(names)


def _send_record(
    record: Record, folder: Path, place: Place, claims: list[str], checkpoints: bool
) -> None:
    run = begin_wandb(
        record.run_id,
        values=_values(record),
        experiment=record.experiment,
        arm=record.arm,
        claims=claims,
        folder=folder,
        project=place.project,
        entity=place.entity,
        mode="online",
    )
    # A run that logged online, or that was cut off while it was sent, is there as far as it came.
    known = run.summary.get("epoch") or 0
    for point in record.curve:
        if point.epoch > known:
            run.log(curve_metrics(point))
    run.summary.update({**final_metrics(record), "record": digest(record)})
    files = [("predictions", folder / PREDICTIONS)]
    if checkpoints:
        files.append(("model", folder / CHECKPOINT))
    for kind, path in files:
        if path.exists():
            artifact = wandb.Artifact(f"{kind}-{record.run_id}", type=kind)
            artifact.add_file(str(path))
            run.log_artifact(artifact).wait()
    run.finish()


def _values(record: Record) -> dict[str, Any]:
    values = record.run.to_dict()
    return {**values, "data": {**values["data"], "name": record.data.name}}


def _send_verdict(run_id: str, finding: Finding, output: Path, place: Place) -> None:
    """A verdict as a run: the values of its arms by pair, our effect and the paper's as lines."""
    study, result = finding.study, finding.result
    lines = verdict_lines(finding)
    run = wandb.init(
        project=place.project,
        entity=place.entity,
        id=run_id,
        name=finding.title,
        group=f"{study.experiment}: verdicts",
        job_type="verdict",
        tags=tags(study.experiment, study.dataset, [result.claim]),
        dir=output,
        mode="online",
        resume=None,  # a verdict over more pairs replaces the run of the one before
        config={
            "claim": result.name,
            "arm": "verdict",
            "experiment": study.experiment,
            "data": study.dataset,
        },
        settings=wandb.Settings(init_timeout=TIMEOUT_SECONDS, console="off"),
    )
    run.define_metric("pair", hidden=True)
    run.define_metric("*", step_metric="pair")
    sides = {"with": finding.with_technique.values, "without": finding.without.values}
    for pair, seed in enumerate(sorted({seed for side in sides.values() for seed in side}), 1):
        values = {name: side.get(seed) for name, side in sides.items()}
        row = {
            line_name(finding, name): finding.value_scale * value
            for name, value in values.items()
            if value is not None
        }
        run.log({"pair": pair, **row, **lines})
    run.summary.update(
        {
            "verdict": result.label,
            "section": result.section,
            "paper_says": result.paper.get("says", ""),
            "unit": finding.unit,
            "pairs": finding.n,
            "ours": finding.ours,
            "measure": finding.measure,
            **lines,
        }
    )
    run.finish()


def _send_files(files: list[Path], output: Path, place: Place) -> None:
    run = wandb.init(
        project=place.project,
        entity=place.entity,
        id="report",
        name="report",
        job_type="report",
        dir=output,
        mode="online",
        resume="allow",
        settings=wandb.Settings(init_timeout=TIMEOUT_SECONDS, console="off"),
    )
    artifact = wandb.Artifact("report", type="report")
    for path in files:
        artifact.add_file(str(path))
    run.log_artifact(artifact).wait()
    run.finish()


class _Sent:
    """Remembers what a project has, so that a second call sends nothing."""

    def __init__(self, path: Path, place: Place) -> None:
        self.path = path
        self.key = place.address
        self.known: dict[str, dict[str, str]] = (
            json.loads(path.read_text()) if path.exists() else {}
        )

    def has(self, run_id: str, mark: str) -> bool:
        return self.known.get(self.key, {}).get(run_id) == mark

    def note(self, run_id: str, mark: str) -> None:
        self.known.setdefault(self.key, {})[run_id] = mark
        write_atomically(self.path, json.dumps(self.known, indent=1))


def _hash(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:12]
