"""Configuration: Hydra's schema in, one frozen ``Run`` out.

``Config`` is what a user may set, ``Run`` the part of it that can move a number; ``run_id`` names a
run by the hash of that part. Nothing below this module knows Hydra or OmegaConf, and this module
imports no torch, so that a misspelt key is answered at once.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from ablations.files import write_atomically
from ablations.techniques import Techniques
from ablations.techniques.edition import details

# Version of the numerics, a part of every run id: raised when equal configurations start to give
# other numbers, so that old records are never pooled with new ones.
# 3: one CPU thread a process unless images are large; records of schema 2.
NUMERICS = 3


class ConfigError(ValueError):
    """An experiment that cannot work: the message names it, the valid values and the next step."""


class Model(Enum):
    """The network; :data:`ablations.models.MODELS` has what each one takes."""

    alexnet = "alexnet"
    alexnet_small = "alexnet_small"
    cifar_conv = "cifar_conv"
    cifar_local = "cifar_local"
    keras_batchnorm = "keras_batchnorm"
    keras_functional = "keras_functional"
    keras_resized = "keras_resized"
    torch_style = "torch_style"
    two_branch = "two_branch"
    half_tower_v1 = "half_tower_v1"
    half_tower_v2 = "half_tower_v2"
    lenet5 = "lenet5"


class Init(Enum):
    """Initial weights: the authors' (or a tutorial's), or with deviations scaled by fan-in."""

    paper = "paper"
    fan_in = "fan_in"


class Source(Enum):
    """Where images come from; ``huggingface``: parquet files, image folders, data of the hub."""

    synthetic = "synthetic"
    cifar10 = "cifar10"
    imagenet = "imagenet"
    huggingface = "huggingface"


class Storage(Enum):
    """How images are kept: as pixels, or as JPEG, a tenth of the size, decoded when read."""

    raw = "raw"
    jpeg = "jpeg"


class Schedule(Enum):
    """How the learning rate falls."""

    constant = "constant"
    step = "step"
    plateau = "plateau"
    cosine = "cosine"


class Precision(Enum):
    """Arithmetic of the forward and backward pass; parameters are always float32."""

    fp32 = "fp32"
    bf16 = "bf16"

    @property
    def lightning(self) -> Literal["32-true", "bf16-mixed"]:
        """Lightning's name for it."""
        return "bf16-mixed" if self is Precision.bf16 else "32-true"


class Accelerator(Enum):
    """The device that trains: ``auto`` takes GPUs where there are any."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class LoggerKind(Enum):
    """Where the learning curve is mirrored; the records do not depend on it."""

    wandb = "wandb"
    tensorboard = "tensorboard"
    csv = "csv"
    none = "none"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


# Keys of the data that are part of a run's identity, beside the fingerprint.
SIZES = ("size", "crop", "train_limit", "val_size")


@dataclass(frozen=True)
class DataConfig:
    """Images, their stored and cropped sizes, and the split.

    Attributes:
        name: Name of the data in tables and records, no part of a run's identity; null takes the
            one that the source gives.
        source: See :class:`Source`.
        path: ``huggingface``: a folder, a file (``*`` allowed), or the name of a data set of the
            hub; ``imagenet``: the folder of ILSVRC-2012's archives, class folders or parquet files;
            ``cifar10``: the folder of its archive (null downloads it). A store that ``prepare.py``
            made is used as it is.
        train: ``huggingface``: training files (``*`` allowed) instead of ``path``, or the names of
            splits of ``path``; empty takes the split ``train``.
        test: The same for the test images; empty takes ``test`` or ``validation``, or cuts a sixth
            of the only split.
        subset: ``huggingface``: configuration of a data set of the hub that has several.
        image: ``huggingface``: column of the images, if several may be meant.
        label: ``huggingface``: column of the labels, if several may be meant.
        storage: See :class:`Storage`.
        size: Height and width that images are stored at, in pixels.
        crop: Height and width that the network sees, in pixels; at most ``size``.
        train_limit: Train on this many images, chosen evenly over the classes; null takes all.
        val_size: Images cut from the training split for validation, evenly over the classes; 0
            trains on all of them and validates on none.
        skip_broken: Leave images out that cannot be decoded (counted in the record) instead of
            stopping.
    """

    name: str | None = None
    source: Source = Source.synthetic
    path: str | None = None
    train: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    subset: str | None = None
    image: str | None = None
    label: str | None = None
    storage: Storage = Storage.raw
    size: int = 32
    crop: int = 28
    train_limit: int | None = None
    val_size: int = 500
    skip_broken: bool = False

    def __post_init__(self) -> None:
        _require(self.size >= 8, f"data.size={self.size}: must be at least 8 pixels")
        _require(
            8 <= self.crop <= self.size,
            f"data.crop={self.crop}: must be between 8 and data.size={self.size} pixels",
        )
        _require(
            self.train_limit is None or self.train_limit >= 1,
            f"data.train_limit={self.train_limit}: must be at least 1, or null for all images",
        )
        _require(self.val_size >= 0, f"data.val_size={self.val_size}: must be 0 or more images")
        if self.source is not Source.huggingface:
            for key in ("train", "test", "subset", "image", "label"):
                _require(
                    not getattr(self, key),
                    f"data.{key} is for data.source=huggingface, and data.source="
                    f"{self.source.value}; add data.source=huggingface",
                )
            _require(
                self.path is None or self.source is not Source.synthetic,
                f"data.path={self.path}: data.source=synthetic reads no files; add "
                "data.source=huggingface, or another source",
            )
            return
        _require(
            bool(self.train) == bool(self.test),
            "data.train and data.test go together: give the files or splits of both",
        )
        _require(
            bool(self.path or self.files_given),
            "data.source=huggingface needs data.path=FOLDER, FILE or a data set of the hub, or "
            "data.train=[FILE] data.test=[FILE] (`*` is allowed)",
        )

    @property
    def files_given(self) -> bool:
        """Whether ``train`` and ``test`` are files; names of splits are single words."""
        return any(re.search(r"[./*]", entry) for entry in (*self.train, *self.test))


@dataclass(frozen=True)
class Recipe:
    """How a network is trained (§5).

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per step over all devices together.
        lr: Initial learning rate of the weights.
        momentum: Momentum; the learning rate is inside the velocity, as in the paper.
        weight_decay: Coefficient of the weights in the update; biases are never decayed.
        bias_lr_mult: Learning rate of biases over that of weights; null takes the edition's (1 in
            the text, 2 in the released code).
        schedule: See :class:`Schedule`.
        milestones: ``step``: fractions of the epochs after which the rate is divided by ten.
        patience: ``plateau``: epochs without a better validation error before a division by ten.
        precision: See :class:`Precision`.
        stop_at: End training once the online training error has been at or below this fraction in
            two epochs in a row; null trains all epochs.
    """

    epochs: int = 8
    batch_size: int = 128
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0005
    bias_lr_mult: float | None = None
    schedule: Schedule = Schedule.constant
    milestones: list[float] = field(default_factory=list)
    patience: int = 5
    precision: Precision = Precision.fp32
    stop_at: float | None = None

    def __post_init__(self) -> None:
        for key in ("epochs", "batch_size", "patience"):
            _require(
                getattr(self, key) >= 1, f"recipe.{key}={getattr(self, key)}: must be at least 1"
            )
        _require(0 < self.lr < math.inf, f"recipe.lr={self.lr}: must be above 0, and finite")
        _require(
            0 <= self.momentum < 1, f"recipe.momentum={self.momentum}: must be at least 0, below 1"
        )
        _require(
            0 <= self.weight_decay < math.inf,
            f"recipe.weight_decay={self.weight_decay}: must be at least 0, and finite",
        )
        _require(
            self.bias_lr_mult is None or 0 <= self.bias_lr_mult < math.inf,
            f"recipe.bias_lr_mult={self.bias_lr_mult}: must be at least 0, or null (the edition's)",
        )
        _require(
            all(0 < m < 1 for m in self.milestones) and sorted(self.milestones) == self.milestones,
            f"recipe.milestones={self.milestones}: must be rising fractions between 0 and 1",
        )
        _require(
            bool(self.milestones) or self.schedule is not Schedule.step,
            "recipe.schedule=step needs recipe.milestones, such as [0.5,0.75]",
        )
        _require(
            self.stop_at is None or 0 < self.stop_at < 1,
            f"recipe.stop_at={self.stop_at}: must be an error between 0 and 1, or null",
        )


@dataclass(frozen=True)
class Slurm:
    """How runs are handed to SLURM; what is not here, ``sbatch`` reads from ``SBATCH_*``.

    Attributes:
        submit: Hand the runs to SLURM, an array for each sweep, instead of training here.
        minutes: Time limit of a job.
        partition: Partition; null takes the cluster's default.
        account: Account; null takes the user's default.
        cpus: CPUs for each device of a run.
        detach: Submit and leave; the same command later shows what has become of the runs.
    """

    submit: bool = False
    minutes: int = 720
    partition: str | None = None
    account: str | None = None
    cpus: int = 4
    detach: bool = False

    def __post_init__(self) -> None:
        # The signal before the limit comes two minutes early; a job must have begun by then.
        _require(
            self.minutes >= 5, f"trainer.slurm.minutes={self.minutes}: must be at least 5 minutes"
        )
        _require(self.cpus >= 1, f"trainer.slurm.cpus={self.cpus}: must be at least 1")


@dataclass(frozen=True)
class Trainer:
    """Hardware; it affects results only through the order of floating-point sums.

    Attributes:
        accelerator: See :class:`Accelerator`.
        devices: Devices of each node that train one run together.
        num_nodes: Machines that train one run together; start the same command on each of them.
        parallel: Runs side by side; null fills the devices of this machine, and is no limit to
            SLURM.
        threads: CPU threads of each process. Results depend on it, in the order of floating-point
            sums, so null takes one on a CPU (all physical cores for crops of 128 pixels and more),
            whatever else runs. A resumed run keeps the number that it was started with.
        checkpoint_steps: Steps between checkpoints within an epoch; one is written after every
            epoch in any case.
        slurm: See :class:`Slurm`.
    """

    accelerator: Accelerator = Accelerator.auto
    devices: int = 1
    num_nodes: int = 1
    parallel: int | None = None
    threads: int | None = None
    checkpoint_steps: int = 1000
    slurm: Slurm = field(default_factory=Slurm)

    def __post_init__(self) -> None:
        for key in ("devices", "num_nodes", "parallel", "threads", "checkpoint_steps"):
            value = getattr(self, key)
            _require(value is None or value >= 1, f"trainer.{key}={value}: must be at least 1")
        _require(
            self.num_nodes == 1 or self.slurm.submit or self.parallel in (None, 1),
            f"trainer.parallel={self.parallel}: with trainer.num_nodes={self.num_nodes} one run "
            "follows another; leave trainer.parallel out, or let trainer=slurm start them",
        )


@dataclass(frozen=True)
class Logger:
    """Mirror of the learning curve.

    Attributes:
        kind: See :class:`LoggerKind`.
        project: W&B project.
        entity: W&B team or user; null takes the account's default.
    """

    kind: LoggerKind = LoggerKind.wandb
    project: str = "alexnet-ablations"
    entity: str | None = None


@dataclass(frozen=True)
class Config(Techniques):
    """Everything a user may set, as Hydra composes it.

    Attributes:
        experiment: Name of the experiment that the values come from.
        model: See :class:`Model`.
        width: Factor on the number of kernels and units; 1 is the printed network.
        init: See :class:`Init`.
        data: See :class:`DataConfig`.
        recipe: See :class:`Recipe`.
        seed: Seed of every stream of random numbers, 0 or more.
        replicate: Extra key of the random numbers, for A/A comparisons; 0 or more.
        pretrained: Id of a finished run in ``output`` whose weights training starts from, all but
            those of a last layer for another number of classes; null starts from random ones.
        trainer: See :class:`Trainer`.
        logger: See :class:`Logger`.
        output: Folder of the runs and their records.
        cache: Folder of prepared data; null takes the user's cache folder.
        fast_dev_run: Train, validate and test on one batch, and record nothing.
        print_model: Print the layers of the network, their shapes and costs, and train nothing.
    """

    experiment: str = "smoke"
    model: Model = Model.alexnet_small
    width: float = 1.0
    init: Init = Init.paper
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    replicate: int = 0
    pretrained: str | None = None
    trainer: Trainer = field(default_factory=Trainer)
    logger: Logger = field(default_factory=Logger)
    output: str = "runs"
    cache: str | None = None
    fast_dev_run: bool = False
    print_model: bool = False

    def __post_init__(self) -> None:
        _require(self.output != "", "output=: an empty name; give a folder, output=FOLDER")
        _require(self.cache != "", "cache=: an empty name; give a folder, cache=FOLDER")

    @property
    def run(self) -> "Run":
        """The part that can move a number."""
        chosen = {f.name: getattr(self, f.name) for f in fields(Techniques)}
        rest = {f.name: getattr(self, f.name) for f in fields(Run) if hasattr(self, f.name)}
        return Run(techniques=Techniques(**chosen), **rest)


# The values that run ids are hashed against: the paper's experiment when this table was made.
# Frozen: entries are only ever added, each with the value that all earlier runs had. A default that
# changes elsewhere then changes no id. A technique needs no entry: its first value is the paper's.
REFERENCE: dict[str, Any] = {
    "activation": "relu",
    "pooling": "overlap",
    "norm": "lrn",
    "dropout": "on",
    "augmentation": "full",
    "towers": "two",
    "depth": "five",
    "bias_init": "one",
    "edition": "printed",
    "model": "alexnet",
    "width": 1.0,
    "init": "paper",
    "data.fingerprint": "",
    "data.size": 256,
    "data.crop": 224,
    "data.train_limit": None,
    "data.val_size": 10000,
    "recipe.epochs": 90,
    "recipe.batch_size": 128,
    "recipe.lr": 0.01,
    "recipe.momentum": 0.9,
    "recipe.weight_decay": 0.0005,
    "recipe.bias_lr_mult": 1.0,
    "recipe.schedule": "plateau",
    "recipe.milestones": [],
    "recipe.patience": 5,
    "recipe.precision": "fp32",
    "recipe.stop_at": None,
    "seed": 0,
    "replicate": 0,
    "pretrained": None,
}


def run_id_of(differences: dict[str, Any], numerics: int = NUMERICS) -> str:
    """Hash what differs from ``REFERENCE`` to twelve hexadecimal digits.

    Args:
        differences: See :attr:`Run.differences`.
        numerics: Version of the numerics that the run was trained with.
    """
    text = json.dumps({"numerics": numerics, **differences}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Run:
    """Every setting that affects results.

    Attributes:
        techniques: One choice of each technique.
        model: Which network.
        width: Factor on the number of kernels and units; 1 is the printed network.
        init: See :class:`Init`.
        data: Which images.
        recipe: How to train.
        seed: Seed of every stream of random numbers.
        replicate: Extra key of the random numbers; runs that differ in nothing else are replicates.
        fingerprint: Hash of the stored pixels and labels, once the data are prepared.
        pretrained: Id of the run whose weights this one starts from, if any.
    """

    techniques: Techniques
    model: Model
    width: float
    init: Init
    data: DataConfig
    recipe: Recipe
    seed: int
    replicate: int
    fingerprint: str = ""
    pretrained: str | None = None

    def __post_init__(self) -> None:
        _require(0 < self.width <= 4, f"width={self.width}: must be above 0, at most 4")
        _require(self.seed >= 0, f"seed={self.seed}: must be a whole number, 0 or more")
        _require(
            self.replicate >= 0, f"replicate={self.replicate}: must be a whole number, 0 or more"
        )
        _require(
            self.data.val_size > 0 or self.recipe.schedule is not Schedule.plateau,
            "recipe.schedule=plateau follows the validation error, and data.val_size=0 leaves no "
            "validation images; set data.val_size, or use another recipe.schedule",
        )
        _require(
            self.pretrained is None or re.fullmatch("[0-9a-f]{12}", self.pretrained) is not None,
            f"pretrained={self.pretrained}: must be the id of a run, the twelve hexadecimal digits "
            "that its folder is named after; one that reads like a number, such as 1234e5678901, "
            "needs two pairs of quotes, pretrained='\"1234e5678901\"'",
        )

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as written to a run's ``config.yaml``; the caller's to change."""
        return _plain(self._values)

    @cached_property
    def _values(self) -> dict[str, Any]:
        # A plan asks ten times for each run, and `asdict` takes most of the time that it takes.
        return _plain(asdict(self))

    def on_data(self, fingerprint: str, name: str) -> "Run":
        """Return the run on prepared data, with the name that their source gives.

        Args:
            fingerprint: Hash of the stored pixels and labels.
            name: Name of the data, unless ``data.name`` is set.
        """
        data = replace(self.data, name=self.data.name or name)
        return replace(self, fingerprint=fingerprint, data=data)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Run":
        """Inverse of :meth:`to_dict`.

        Raises:
            ConfigError: A key is missing, unknown or of the wrong type.
        """
        try:
            run = _RUN.validate_python(values)
        except ValidationError as error:
            raise ConfigError(f"not the configuration of a run: {error}") from None
        if unknown := sorted(set(key_paths(values)) - set(key_paths(run.to_dict()))):
            raise ConfigError(f"not the configuration of a run: unknown {', '.join(unknown)}")
        return run

    @cached_property
    def differences(self) -> dict[str, Any]:
        """Resolved values that differ from ``REFERENCE``, by key of the command line.

        The name and place of the data are left out, because the fingerprint identifies the pixels,
        and so is ``evaluation``, because every run measures both errors.
        """
        flat = {}
        for entry in fields(self.techniques):
            value: Enum = getattr(self.techniques, entry.name)
            first = next(iter(type(value))).value
            if entry.name != "evaluation" and value.value != REFERENCE.get(entry.name, first):
                flat[entry.name] = value.value
        recipe = dict(self.to_dict()["recipe"])
        if recipe["bias_lr_mult"] is None:
            recipe["bias_lr_mult"] = details(self.techniques.edition).bias_lr_mult
        if self.recipe.schedule is not Schedule.step:
            recipe["milestones"] = REFERENCE["recipe.milestones"]
        if self.recipe.schedule is not Schedule.plateau:
            recipe["patience"] = REFERENCE["recipe.patience"]
        resolved = {
            "model": self.model.value,
            "width": self.width,
            "init": self.init.value,
            "data.fingerprint": self.fingerprint,
            **{f"data.{key}": getattr(self.data, key) for key in SIZES},
            **{f"recipe.{key}": value for key, value in recipe.items()},
            "seed": self.seed,
            "replicate": self.replicate,
            "pretrained": self.pretrained,
        }
        return flat | {key: value for key, value in resolved.items() if value != REFERENCE[key]}

    @classmethod
    def from_differences(cls, differences: dict[str, Any]) -> "Run":
        """Rebuild a run from :attr:`differences`; the name and place of its data are unknown.

        Raises:
            ConfigError: A key is unknown, or a value is of the wrong type.
        """
        nested: dict[str, Any] = {"techniques": {}, "data": {}, "recipe": {}}
        techniques = {entry.name for entry in fields(Techniques)}
        for key, value in (REFERENCE | differences).items():
            group, _, name = key.rpartition(".")
            if key == "data.fingerprint":
                nested["fingerprint"] = value
            elif key in techniques:
                nested["techniques"][key] = value
            elif group in ("data", "recipe"):
                nested[group][name] = value
            else:
                nested[key] = value
        return cls.from_dict(nested)

    @cached_property
    def run_id(self) -> str:
        """Twelve hexadecimal digits, equal exactly for runs that must give equal numbers."""
        return run_id_of(self.differences)


@dataclass(frozen=True)
class Job:
    """A run and how to carry it out: what a process finds in the ``config.yaml`` of its folder.

    Attributes:
        run: What to train.
        experiment: Name of the experiment, for tables.
        arm: Difference from the experiment, seed apart; ``baseline`` when there is none.
        label: What tables of this command call the arm: the keys that the command varies.
        trainer: Hardware.
        logger: Mirror of the learning curve.
        store: Folder of the prepared data.
        weights: Checkpoint of the run that this one starts from; empty where it starts from none,
            or is done.
        fast_dev_run: Train, validate and test on one batch, and record nothing.
        claims: Claims of the study that the run belongs to, for tags.
    """

    run: Run
    experiment: str
    arm: str
    label: str
    trainer: Trainer
    logger: Logger
    store: str
    weights: str = ""
    fast_dev_run: bool = False
    claims: tuple[str, ...] = ()

    def save(self, folder: Path) -> None:
        """Write ``config.yaml`` into ``folder``."""
        text = yaml.safe_dump(_plain(asdict(self)), sort_keys=False)
        write_atomically(folder / "config.yaml", text)

    @classmethod
    def load(cls, folder: Path) -> "Job":
        """Read the ``config.yaml`` of ``folder``."""
        return _JOB.validate_python(yaml.safe_load((folder / "config.yaml").read_text()))


def key_paths(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of nested keys, those of groups included: ``recipe``, ``recipe.lr``."""
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from key_paths(value, f"{prefix}{key}.")


_RUN = TypeAdapter(Run)
_JOB = TypeAdapter(Job)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
