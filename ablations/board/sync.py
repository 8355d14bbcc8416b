"""Sends finished runs and the files of the report to W&B, rebuilt from the local records.

Files that the client wrote offline are not needed: a run that was interrupted, resumed and trained
without a network arrives as one W&B run like any other.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wandb

from ablations.claims import results
from ablations.callbacks import curve_metrics
from ablations.config import ConfigError
from ablations.files import write_atomically
from ablations.loggers import digest, final_metrics
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
        """Server, entity and project: what was sent is remembered for each of them."""
        return f"{wandb.setup().settings.base_url}/{self.entity or ''}/{self.project}"


def sync(
    output: Path, place: Place, *, checkpoints: bool, tell: Callable[[str], None]
) -> tuple[int, int]:
    """Send every finished run that ``place`` does not have yet, then verdicts and report as files.

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
    claims = _claims(output)
    new = 0
    records = load_all(output)
    files = [path for name in _FILES if (path := output / name).exists()]
    with explained():
        for record in records:
            mark = digest(record) + ("+checkpoint" if checkpoints else "")
            if sent.has(record.run_id, mark):
                continue
            tell(f"{record.arm} seed={record.seed}")
            of_claims = claims.get(record.run_id, [])
            _send_record(record, output / record.run_id, place, of_claims, checkpoints)
            sent.note(record.run_id, mark)
            new += 1
        mark = _hash("".join(_hash(path.read_bytes()) for path in files))
        if files and not sent.has("report", mark):
            tell("verdicts and report")
            _send_files(files, output, place)
            sent.note("report", mark)
            new += 1
    return new, len(records) + bool(files) - new


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the client raises when its server does not answer or refuses into one message."""
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


def _claims(output: Path) -> dict[str, list[str]]:
    """Return the claims that each run belongs to, by run id."""
    found: dict[str, dict[str, None]] = {}
    for result in (result for study in results.load(output) for result in study.results):
        for arm in (arm for arms in result.arms.values() for arm in arms.values()):
            for run_id in (run_id for members in arm.runs.values() for run_id in members):
                found.setdefault(run_id, {})[result.claim] = None
    return {run_id: list(names) for run_id, names in found.items()}


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
