"""What tests of whole commands read of the runs, and do to them."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ablations.config import Job
from ablations.record import CHECKPOINT, Record, load, load_all

# Long enough to be stopped in the middle.
LONG = ("recipe.epochs=60", "trainer.checkpoint_steps=1")

# Touched are the server that forks the runs, and the ranks of torchrun.
_BREAKS = """
import os, sys
words = " ".join(sys.orig_argv)
if "forkserver" in words or "-u -m ablations.train" in words:
    import signal, time
    from ablations.training.classifier import Classifier
    plain = Classifier.training_step
    def broken(self, batch, batch_idx):
        rank, seed, step = int(os.environ.get("RANK", "0")), self.run.seed, self.trainer.global_step
        if {when}:
            {deed}
        return plain(self, batch, batch_idx)
    Classifier.training_step = broken
"""


def hook(source: str) -> dict[str, str]:
    """Environment of a command whose every python runs ``source`` first."""
    Path("hooks").mkdir(exist_ok=True)
    Path("hooks/sitecustomize.py").write_text(source)
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(Path("hooks").resolve()), before)))}


def breaking(deed: str, when: str = "rank == 1 and seed == 0 and step >= 2") -> dict[str, str]:
    """Environment of a command whose processes do ``deed`` in a training step."""
    return hook(_BREAKS.format(when=when, deed=deed))


def records(output: str = "runs") -> dict[int, Record]:
    """Records by seed."""
    return {record.seed: record for record in load_all(Path(output))}


def numbers(output: str = "runs") -> dict[int, dict[str, Any]]:
    """By seed, all of the records but times and where they are from."""
    return {seed: numbers_of(record) for seed, record in records(output).items()}


def numbers_of(record: Record) -> dict[str, Any]:
    """All of a record but times, where it is from, and what its command calls it."""
    values = asdict(record)
    for name in ("seconds", "evaluation_seconds", "images_per_second", "provenance", "arm"):
        del values[name]
    for point in values["curve"]:
        del point["seconds"]
    return values


def folder_of(seed: int = 0, output: str = "runs") -> Path | None:
    """The folder of a run, once it is there."""
    folders = [path.parent for path in Path(output).resolve().glob("*/config.yaml")]
    return next((folder for folder in folders if Job.load(folder).run.seed == seed), None)


def checkpoint(folder: Path) -> dict[str, Any]:
    """What a run would continue from."""
    import torch

    return torch.load(folder / CHECKPOINT, weights_only=True)


def has_begun(seed: int = 0, output: str = "runs", epochs: float = 2.0) -> Callable[[], bool]:
    """Whether a run has a checkpoint, and has trained for some epochs."""

    def begun() -> bool:
        folder = folder_of(seed, output)
        return bool(folder and (folder / CHECKPOINT).exists() and epoch(folder) >= epochs)

    return begun


def epoch(folder: Path) -> float:
    """What a run says of how far it is."""
    with suppress(FileNotFoundError):
        return json.loads((folder / "progress.json").read_text()).get("epoch", 0.0)
    return 0.0


class Interrupted:
    """A run that was stopped before its end.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        assert load(folder) is None
        self.folder = folder
        self.kept = [
            point["seconds"] for point in checkpoint(folder)["callbacks"]["History"]["curve"]
        ]
        assert self.kept

    def assert_continued(self, epochs: int) -> None:
        """Assert that the run has ended since, and trained no epoch again."""
        record = load(self.folder)
        assert record is not None
        assert len(record.curve) == epochs
        # Training times are measured: equal ones were not measured again.
        assert [point.seconds for point in record.curve[: len(self.kept)]] == self.kept


def kill_process_of(folder: Path) -> None:
    """End the process of a run as a system out of memory does."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "fd" / "1").resolve() == folder / "log.txt":  # a run writes into its log
                os.kill(int(entry.name), signal.SIGKILL)
