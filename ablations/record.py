"""Define, write and read the record of a finished run."""

import base64
import hashlib
import json
import logging
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, TypeAdapter
from pydantic_core import from_json

from ablations.config import SIZES, ConfigError, Run, first_problem, run_id_of
from ablations.files import write_atomically

RECORD, CHECKPOINT = "record.json", "last.ckpt"
PREDICTIONS, PROGRESS = "predictions.npz", "progress.json"
CHECKSUM = "checksum"
VIEWS = ("center", "ten_view")  # of a test image
SCHEMA = 2

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**53)]  # integers that a float represents exactly
Amount = Annotated[FiniteFloat, Field(ge=0, le=1e12)]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """Errors on one split.

    Attributes:
        top1: Fraction of images whose most probable class is wrong.
        top5: Fraction of images whose class is not among the five most probable.
        loss: Mean cross-entropy in nats; None where it is NaN or infinite.
        count: Number of images, each counted once.
    """

    top1: Fraction
    top5: Fraction
    loss: FiniteFloat | None
    count: Count


@dataclass(frozen=True)
class CurvePoint:
    """One epoch of a learning curve.

    Attributes:
        epoch: Epochs completed, from 1.
        samples: Images trained on so far, counted again in every epoch.
        seconds: Training time so far, without evaluation, over all interruptions.
        lr: Learning rate of the weights at the end of the epoch.
        train: Online training error, measured during the training passes as in cuda-convnet.
        val: Errors on the validation split, center view; None without validation images.
    """

    epoch: Count
    samples: Count
    seconds: Amount
    lr: FiniteFloat
    train: Scores
    val: Scores | None


@dataclass(frozen=True)
class OnlineLoss:
    """Mean training loss over windows of steps, see :func:`ablations.metrics.window_ends`.

    Attributes:
        steps: Last step of each window, counted from 1.
        loss: Mean cross-entropy of the window in nats; None where it is NaN or infinite.
    """

    steps: list[Count] = field(default_factory=list)
    loss: list[FiniteFloat | None] = field(default_factory=list)


@dataclass(frozen=True)
class DataInfo:
    """The data of a run, without paths.

    Attributes:
        name: Name of the data in tables.
        fingerprint: SHA-256 of the stored pixels and labels.
        size: Height and width of the stored images, in pixels.
        crop: Height and width of the network's input, in pixels.
        train_limit: ``data.train_limit`` of the run.
        val_size: ``data.val_size`` of the run.
        classes: Number of classes.
        train_images: Images trained on.
        val_images: Images validated on.
        test_images: Images tested on.
        skipped: Number of broken images that were skipped.
    """

    name: str
    fingerprint: str
    size: Count
    crop: Count
    train_limit: Count | None
    val_size: Count
    classes: PositiveInt
    train_images: Count
    val_images: Count
    test_images: Count
    skipped: Count = 0

    @property
    def top_k(self) -> tuple[int, ...]:
        """Errors to show: 1 and 5; only 1 with five classes or fewer, whose top-5 error is zero."""
        return (1, 5) if self.classes > 5 else (1,)

    def chance_error(self, k: int = 1) -> float:
        """Return the top-k error of a guess, as a fraction."""
        return max(0.0, 1 - k / self.classes)


@dataclass(frozen=True)
class Neighbors:
    """How often the nearest training image has the class of the query (§6.1).

    Attributes:
        features: Fraction of queries, by Euclidean distance in the last hidden layer.
        pixels: Fraction of queries, by Euclidean distance in the inputs of the network.
        queries: Number of test images used as queries.
        references: Number of training images searched.
    """

    features: Fraction
    pixels: Fraction
    queries: Count
    references: Count


@dataclass(frozen=True)
class Hardware:
    """Hardware that trained a run.

    Attributes:
        accelerator: ``cpu`` or ``gpu``.
        device: Name of the processor or the card.
        devices: Number of devices.
        threads: CPU threads of each process.
        cpu_flags: Vector instructions of the processor; sums may depend on them.
    """

    accelerator: str
    device: str
    devices: Count
    threads: Count
    cpu_flags: list[str]


@dataclass(frozen=True)
class Record:
    """The result of a run, from which tables, verdicts and reports are made.

    Attributes:
        run_id: Identity, see :attr:`ablations.config.Run.run_id`.
        numerics: Version of the numerics, part of the identity.
        status: ``diverged`` when the loss became NaN or infinite, or exploded.
        experiment: Name of the experiment.
        arm: Difference from the experiment; ``baseline`` for none.
        seed: Seed of the run.
        differences: Values that differ from :data:`ablations.config.REFERENCE`.
        evaluation: Views that tables show: ``ten_view`` or ``center``.
        data: See :class:`DataInfo`.
        parameters: Number of trainable parameters.
        epochs: Epochs completed.
        steps: Training steps taken.
        samples: Images trained on, counted again in every epoch.
        train: Errors on the training images without augmentation and dropout, center view; None for
            a diverged run.
        val: Errors on the validation split, center view; None for a diverged run and without
            validation images.
        test: Errors on the test split, by view: ``center`` and ``ten_view``. Empty for a diverged
            run.
        curve: One point per epoch.
        online_loss: See :class:`OnlineLoss`.
        labels: Class of every test image in the order of the store, see :func:`pack`.
        predicted: Predicted class of every test image by view, see :func:`pack`. Empty for a
            diverged run.
        colors: Mean colorfulness of each tower's first-layer kernels, see
            :func:`ablations.techniques.towers.tower_colors`. Empty for a diverged run.
        neighbors: See :class:`Neighbors`; None for a diverged run.
        seconds: Training time in seconds, without evaluation.
        evaluation_seconds: Time of validation and test, in seconds.
        images_per_second: Training throughput.
        hardware: See :class:`Hardware`.
        provenance: Versions, commit, whether the work tree was clean, time of completion.
        schema: Version of this layout.
    """

    run_id: str
    numerics: Count
    status: Literal["finished", "diverged"]
    experiment: str
    arm: str
    seed: NonNegativeInt
    differences: dict[str, Any]
    evaluation: Literal["ten_view", "center"]
    data: DataInfo
    parameters: Count
    epochs: Count
    steps: Count
    samples: Count
    train: Scores | None
    val: Scores | None
    test: dict[str, Scores]
    curve: list[CurvePoint]
    online_loss: OnlineLoss
    labels: str
    predicted: dict[str, str]
    colors: list[FiniteFloat]
    neighbors: Neighbors | None
    seconds: Amount
    evaluation_seconds: Amount
    images_per_second: Amount
    hardware: Hardware
    provenance: dict[str, Any]
    schema: int = SCHEMA

    @cached_property
    def run(self) -> Run:
        """The configuration, with only the sizes of its data."""
        return Run.from_differences(self.differences)

    def test_error(self, view: str, k: int) -> float:
        """Return the test error as a fraction; a diverged run counts as at chance.

        Args:
            view: ``center`` or ``ten_view``.
            k: 1 or 5.
        """
        if self.status == "diverged":
            return self.data.chance_error(k)
        return self.test[view].top1 if k == 1 else self.test[view].top5

    @property
    def at_chance(self) -> bool:
        """Whether a finished run's error is above chance minus three standard errors."""
        if self.status != "finished":
            return False
        scores, chance = self.val or self.test["center"], self.data.chance_error()
        return scores.top1 > chance - 3 * (chance * (1 - chance) / scores.count) ** 0.5

    @property
    def has_learned(self) -> bool:
        """Whether the run neither diverged nor is at chance."""
        return self.status == "finished" and not self.at_chance

    def save(self, folder: Path) -> None:
        """Write ``record.json`` atomically, with a checksum of its values."""
        values = asdict(self)
        content = json.dumps(values | {CHECKSUM: checksum(values)}, indent=1, allow_nan=False)
        write_atomically(folder / RECORD, content)


def learned(records: Sequence[Record]) -> bool:
    """Return whether fewer than half of the runs diverged or are at chance; true for no runs."""
    bad = sum(not record.has_learned for record in records)
    return not bad or 2 * bad < len(records)


def checksum(values: dict[str, Any]) -> str:
    """Return the SHA-256 of a record's values, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def pack(classes: NDArray[np.integer]) -> str:
    """Encode class numbers as text: 16 bits each, compressed, base64.

    Examples:
        >>> unpack(pack(np.array([3, 0, 999]))).tolist()
        [3, 0, 999]
    """
    return base64.b64encode(zlib.compress(classes.astype("<u2").tobytes(), 9)).decode()


def unpack(text: str) -> NDArray[np.int64]:
    """Decode class numbers from :func:`pack`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2").astype(np.int64)


def load(folder: Path) -> Record | None:
    """Read the record in the folder of a run, which is named by its id.

    Returns:
        The record, or None when the run has not finished.

    Raises:
        ConfigError: The file is damaged, has another schema, or belongs to another run.
    """
    return _read(folder / RECORD, folder.name)


def find(output: Path, run_id: str) -> Record | None:
    """Read the record of a run from its folder or from ``records``; None if there is none.

    Args:
        output: Folder of the runs, or a folder such as ``results/main`` that has only records.
        run_id: Id of the run.

    Raises:
        ConfigError: See :func:`load`.
    """
    return load(output / run_id) or _read(output / "records" / f"{run_id}.json", run_id)


def find_folder(run: str | Path, output: Path) -> Path:
    """Return the folder of a run.

    Args:
        run: Folder of the run, its id, or the first digits of its id.
        output: Folder of the runs.

    Raises:
        ConfigError: No run matches, or several do.
    """
    files = (RECORD, "config.yaml")
    if any((Path(run) / file).is_file() for file in files):
        return Path(run).resolve()
    known = re.fullmatch("[0-9a-f]{1,12}", str(run))
    paths = (path for file in files for path in output.glob(f"{run}*/{file}")) if known else ()
    found = sorted({path.parent for path in paths})
    if len(found) != 1:
        problem = f"matches {len(found)} runs" if found else "no such run"
        raise ConfigError(
            f"{run}: {problem} in {output}; must be the folder of a run, its id or enough of its "
            "first digits; next step: list that folder, or choose another with --output or output="
        )
    return found[0].resolve()


def load_all(output: Path) -> list[Record]:
    """Read all records of a folder, sorted by run id.

    They are ``<run_id>/record.json`` and ``records/<run_id>.json``. A record that cannot be read is
    skipped with a warning.
    """
    paths = {path: path.parent.name for path in output.glob(f"*/{RECORD}")}
    paths |= {path: path.stem for path in output.glob(f"records/{'[0-9a-f]' * 12}.json")}
    records = []
    for path, run_id in paths.items():
        try:
            records.append(_read(path, run_id))
        except ConfigError as error:
            log.warning("skipped: %s", error)
    return sorted(filter(None, records), key=lambda record: record.run_id)


def _read(path: Path, run_id: str) -> Record | None:
    try:
        return _parse(path.read_bytes(), run_id)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: damaged or foreign, {first_problem(error)}; next step: move it away and "
            "repeat the command that trained the run, or read it with the version that wrote it"
        ) from None


def _parse(content: bytes, run_id: str) -> Record:
    values = from_json(content, allow_inf_nan=False)
    schema = values.get("schema", 1) if isinstance(values, dict) else None
    if schema != SCHEMA:
        raise ConfigError(f"a record of schema {schema}, but this version reads schema {SCHEMA}")
    written = values.pop(CHECKSUM, None)  # records of earlier versions have none
    record = _RECORD.validate_python(values)
    expected = run_id_of(record.differences, record.numerics)
    if record.run_id != expected:
        raise ConfigError(f"run_id={record.run_id}, but its values hash to {expected}")
    if record.run_id != run_id:
        raise ConfigError(f"belongs to run {record.run_id}")
    if written not in (None, checksum(values)):
        raise ConfigError("the checksum does not match its values")
    _ = record.run  # refuses techniques of later versions
    return record


_RECORD = TypeAdapter(Record)


def describe_data(run: Run, **counted: Any) -> DataInfo:
    """Describe the data of a run for its record.

    Args:
        run: The run.
        counted: ``classes``, ``train_images``, ``val_images``, ``test_images`` and ``skipped``.
    """
    sizes = {key: getattr(run.data, key) for key in SIZES}
    return DataInfo(
        name=run.data.name or str(run.data.source), fingerprint=run.fingerprint, **sizes, **counted
    )
