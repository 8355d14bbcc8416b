"""What a finished run leaves behind; nothing else tells that a run is done."""

import base64
import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

RECORD, CHECKPOINT = "record.json", "last.ckpt"
PREDICTIONS, PROGRESS = "predictions.npz", "progress.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """Errors on one split.

    Attributes:
        top1: Fraction of images whose most probable class is wrong.
        top5: Fraction of images whose class is not among the five most probable.
        loss: Mean cross-entropy in nats; none where it is no finite number.
        count: Number of images, each of which counted once.
    """

    top1: float
    top5: float
    loss: float | None
    count: int


@dataclass(frozen=True)
class CurvePoint:
    """One epoch of a learning curve.

    Attributes:
        epoch: Epochs completed, from 1.
        samples: Images trained on so far, each crop counted.
        seconds: Training time so far without evaluation; kept over interruptions.
        lr: Learning rate of the weights at the end of the epoch.
        train: Running errors of the training passes, as cuda-convnet printed them.
        val: Errors on the validation split, centre view.
    """

    epoch: int
    samples: int
    seconds: float
    lr: float
    train: Scores
    val: Scores


@dataclass(frozen=True)
class Record:
    """Everything that tables, verdicts and reports read of a run.

    Attributes:
        run_id: Identity, see :attr:`ablations.config.Run.run_id`.
        status: ``finished``, or ``diverged`` when the loss left the finite numbers.
        setting: Name of the setting.
        arm: Difference from the setting.
        seed: Seed of the run.
        run: The run as nested plain values.
        parameters: Number of trainable parameters.
        classes: Number of classes.
        epochs: Epochs completed.
        samples: Images trained on.
        train: Errors on the training images without augmentation and dropout.
        val: Errors on the validation split.
        test: Errors on the test split, by view: ``center`` and ``ten_view``.
        curve: One point per epoch.
        seconds: Training time in seconds, without evaluation.
        images_per_second: Training throughput.
        devices: Number of devices.
        device: Name of the device.
        skipped: Broken images left out of the data.
        provenance: Versions, commit and its cleanliness, time of completion.
        missed: The test images that the run gets wrong, by view and by ``top1`` and ``top5``, see
            :func:`pack`: paired runs are compared image by image. Empty for a diverged run.
        colors: Mean colourfulness of the first kernels of either tower, see
            :func:`ablations.techniques.towers.tower_colors`. Empty for a diverged run, and in
            records of before it was kept.
    """

    run_id: str
    status: str
    setting: str
    arm: str
    seed: int
    run: dict[str, Any]
    parameters: int
    classes: int
    epochs: int
    samples: int
    train: Scores | None
    val: Scores | None
    test: dict[str, Scores]
    curve: list[CurvePoint]
    seconds: float
    images_per_second: float
    devices: int
    device: str
    skipped: int
    provenance: dict[str, Any] = field(default_factory=dict)
    missed: dict[str, dict[str, str]] = field(default_factory=dict)
    colors: list[float] = field(default_factory=list)

    def wrong(self, view: str, k: int) -> NDArray[np.bool_]:
        """Whether the run gets each test image wrong, in the order of the store.

        Args:
            view: ``center`` or ``ten_view``.
            k: 1 or 5.
        """
        bits = np.frombuffer(base64.b64decode(self.missed[view][f"top{k}"]), np.uint8)
        return np.unpackbits(bits, count=self.test[view].count).astype(bool)

    def headline(self, view: str, k: int) -> float:
        """Test error as a fraction; a diverged run counts as chance.

        Args:
            view: ``center`` or ``ten_view``.
            k: 1 or 5.
        """
        if self.status == "diverged":
            return max(0.0, 1 - k / self.classes)
        return self.test[view].top1 if k == 1 else self.test[view].top5

    def save(self, folder: Path) -> None:
        """Write ``record.json`` at once or not at all."""
        write_atomically(folder / RECORD, json.dumps(asdict(self), indent=1, allow_nan=False))


def pack(wrong: NDArray[np.bool_]) -> str:
    """One bit for each image, eight to a byte, as base64 text.

    Examples:
        >>> pack(np.array([True, False, False, False, False, False, False, True]))
        'gQ=='
    """
    return base64.b64encode(np.packbits(wrong).tobytes()).decode()


def load(folder: Path) -> Record | None:
    """Read the record of a run.

    A record that does not parse is renamed to ``record.broken.json`` with a warning, so that its
    run is repeated and nothing is lost.

    Returns:
        The record, or none when the run has not finished.
    """
    return _read(folder / RECORD)


def load_all(output: Path) -> list[Record]:
    """Read every record of ``output``, in the order of their run ids.

    Those are the records of runs; or where they are all that was kept of them, as in ``results/``,
    the files ``records/<run_id>.json``.
    """
    kept = output.glob(f"records/{'[0-9a-f]' * 12}.json")
    records = [_read(path) for path in (*output.glob(f"*/{RECORD}"), *kept)]
    return sorted((r for r in records if r is not None), key=lambda record: record.run_id)


def _read(path: Path) -> Record | None:
    try:
        return _RECORD.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        aside = path.with_suffix(".broken.json")
        path.replace(aside)
        reason = error.errors()[0]["msg"]
        log.warning("set aside as %s, its run will be repeated: %s", aside, reason)
        return None


def write_atomically(path: Path, content: str | bytes, *, lasting: bool = True) -> None:
    """Replace ``path`` by ``content`` in one step that survives a kill.

    Args:
        path: The file.
        content: All of it.
        lasting: Survive a power cut as well, which waits for the disk.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk says of no file
            error.filename = str(path)
        raise


_RECORD = TypeAdapter(Record)
