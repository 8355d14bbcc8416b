"""The configuration, the run that it describes, and the run's id.

``Config`` has all that a user may set, ``Run`` the part that affects results, and ``run_id`` is the
hash of that part. pydantic checks types and ranges; ``__post_init__`` checks combinations of keys.
This module imports neither Hydra nor torch, so that a misspelled key is reported at once.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from enum import Enum, StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from ablations.files import write_atomically
from ablations.techniques import Techniques
from ablations.techniques.edition import details

# Version of the numerics, part of every run id. Raise it when the same configuration gives other
# numbers than before, so that old records are never pooled with new ones.
# 3: one CPU thread per process unless images are large; records of schema 2.
NUMERICS = 3

# Hydra reads `data.path=2012` as a number.
Text = Annotated[str, Field(coerce_numbers_to_str=True)]
Folder = Annotated[Text, Field(min_length=1)]
Pixels = Annotated[int, Field(ge=8)]


class ConfigError(ValueError):
    """An error that the user can fix; the message gives the problem and the next step."""


class Model(StrEnum):
    """The networks of ``ablations/models/``."""

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


Init = StrEnum("Init", ["paper", "fan_in"])
Source = StrEnum("Source", ["synthetic", "cifar10", "imagenet", "huggingface"])
Storage = StrEnum("Storage", ["raw", "jpeg"])
Schedule = StrEnum("Schedule", ["constant", "step", "plateau", "cosine"])
Precision = StrEnum("Precision", ["fp32", "bf16"])
Accelerator = StrEnum("Accelerator", ["auto", "cpu", "gpu"])
LoggerKind = StrEnum("LoggerKind", ["wandb", "tensorboard", "csv", "none"])

# Keys of the data that are part of a run's id, besides the fingerprint.
SIZES = ("size", "crop", "train_limit", "val_size")


@dataclass(frozen=True)
class DataConfig:
    """Images, their stored and cropped sizes, and the split.

    Attributes:
        name: Name of the data in tables and records, not part of a run's id; null takes the
            source's name.
        source: Source of the images; ``huggingface``: parquet files, image folders, or the Hub.
        path: ``huggingface``: a folder, such as one with FOLDER/train/CLASS/*.png and
            FOLDER/test/CLASS/*.png, parquet files (``*`` allowed), or the name of a data set of the
            Hub; ``imagenet``: the folder of ILSVRC-2012's archives, class folders or parquet files;
            ``cifar10``: the folder of its archive (null downloads it). For these sources the folder
            of a store made by ``prepare.py`` also works.
        train: ``huggingface``: parquet files (``*`` allowed) instead of ``path``, or the names of
            splits of ``path``; empty takes the split ``train``.
        test: The same for the test images; empty takes ``test`` or ``validation``, or a sixth of
            the only split.
        subset: ``huggingface``: configuration of a data set of the Hub that has several.
        image: ``huggingface``: column of the images, if several are possible.
        label: ``huggingface``: column of the labels, if several are possible.
        storage: How images are stored: as pixels, or as JPEG (smaller, but decoded whenever read).
        size: Height and width of the stored images, in pixels.
        crop: Height and width of the network's input, in pixels; at most ``size``.
        train_limit: Train on this many images, chosen evenly over the classes; null takes all.
        val_size: Training images held out for validation, evenly over the classes; 0 holds out
            none.
        skip_broken: Skip images that cannot be decoded, and count them in the record, instead of
            stopping.
    """

    name: Text | None = None
    source: Source = Source.synthetic
    path: Text | None = None
    train: tuple[Text, ...] = ()
    test: tuple[Text, ...] = ()
    subset: Text | None = None
    image: Text | None = None
    label: Text | None = None
    storage: Storage = Storage.raw
    size: Pixels = 32
    crop: Pixels = 28
    train_limit: PositiveInt | None = None
    val_size: NonNegativeInt = 500
    skip_broken: bool = False

    def __post_init__(self) -> None:
        if self.crop > self.size:
            raise ConfigError(
                f"data.crop={self.crop}: must be between 8 and data.size={self.size} pixels"
            )
        if self.source is Source.huggingface:
            if bool(self.train) != bool(self.test):
                raise ConfigError(
                    "data.train and data.test: one is missing; next step: give files or splits of "
                    "both"
                )
            if not (self.path or self.files_given):
                raise ConfigError(
                    "data.source=huggingface: needs data.path=FOLDER, FILE or a data set of the "
                    "Hub, or data.train=[FILE] data.test=[FILE] (`*` is allowed)"
                )
            return
        for key in ("train", "test", "subset", "image", "label"):
            if getattr(self, key):
                raise ConfigError(
                    f"data.{key}: only for data.source=huggingface, but data.source={self.source}; "
                    "next step: add data.source=huggingface"
                )
        if self.path and self.source is Source.synthetic:
            raise ConfigError(
                f"data.path={self.path}: data.source=synthetic reads no files; next step: add "
                "data.source=huggingface, or another source"
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
        momentum: Momentum; the velocity includes the learning rate, as in the paper.
        weight_decay: Weight decay; biases are not decayed.
        bias_lr_mult: Factor on the learning rate for biases; null takes the edition's (1 in the
            paper, 2 in the released code).
        schedule: How the learning rate decreases.
        milestones: ``step``: fractions of the epochs after which to divide the rate by ten.
        patience: ``plateau``: epochs without a lower validation error before a division by ten.
        precision: Arithmetic of the forward and backward pass; parameters are always float32.
        stop_at: Stop once the online training error is at or below this fraction in two
            consecutive epochs; null trains all epochs.
    """

    epochs: PositiveInt = 8
    batch_size: PositiveInt = 128
    lr: Annotated[FiniteFloat, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[FiniteFloat, Field(ge=0)] = 0.0005
    bias_lr_mult: Annotated[FiniteFloat, Field(ge=0)] | None = None
    schedule: Schedule = Schedule.constant
    milestones: tuple[float, ...] = ()
    patience: PositiveInt = 5
    precision: Precision = Precision.fp32
    stop_at: Annotated[float, Field(gt=0, lt=1)] | None = None

    def __post_init__(self) -> None:
        milestones = list(self.milestones)
        if milestones != sorted(milestones) or not all(0 < value < 1 for value in milestones):
            raise ConfigError(
                f"recipe.milestones={milestones}: must be increasing fractions between 0 and 1"
            )
        if self.schedule is Schedule.step and not self.milestones:
            raise ConfigError(
                "recipe.schedule=step: needs recipe.milestones, such as "
                "recipe.milestones=[0.5,0.75]"
            )


@dataclass(frozen=True)
class Slurm:
    """How runs are submitted to SLURM; ``sbatch`` reads other options from ``SBATCH_*``.

    Attributes:
        submit: Submit the runs to SLURM, an array per sweep, instead of training here.
        minutes: Time limit of a job, in minutes.
        partition: Partition; null takes the cluster's default.
        account: Account; null takes the user's default.
        cpus: CPUs per device.
        detach: Submit and exit; the same command later shows the status of the runs.
    """

    submit: bool = False
    # Jobs are signaled two minutes before the limit, and must have begun to train by then.
    minutes: Annotated[int, Field(ge=5)] = 720
    partition: Text | None = None
    account: Text | None = None
    cpus: PositiveInt = 4
    detach: bool = False


@dataclass(frozen=True)
class Trainer:
    """Hardware; it affects results only through the order of floating-point sums.

    Attributes:
        accelerator: Device to train on; ``auto`` takes GPUs if there are any.
        devices: Devices per node that train one run together.
        num_nodes: Machines that train one run together (``docs/clusters.md``).
        parallel: Runs trained at the same time; null fills the devices of this machine, and sets
            no limit for SLURM.
        threads: CPU threads per process. Results depend on it through the order of floating-point
            sums. Null takes one on a CPU, or the physical cores divided by ``devices`` for crops of
            128 pixels and more; with GPUs, the cores divided by the GPUs of the machine. A resumed
            run keeps its number.
        checkpoint_steps: Steps between checkpoints within an epoch; each epoch also ends with one.
        check_val_every_n_epoch: Validate after every n-th epoch only, which saves time and leaves
            gaps in the validation curve; must divide ``recipe.epochs``.
        slurm: See :class:`Slurm`.
    """

    accelerator: Accelerator = Accelerator.auto
    devices: PositiveInt = 1
    num_nodes: PositiveInt = 1
    parallel: PositiveInt | None = None
    threads: PositiveInt | None = None
    checkpoint_steps: PositiveInt = 1000
    check_val_every_n_epoch: PositiveInt = 1
    slurm: Slurm = field(default_factory=Slurm)

    def __post_init__(self) -> None:
        if self.num_nodes > 1 and not self.slurm.submit and self.parallel not in (None, 1):
            raise ConfigError(
                f"trainer.parallel={self.parallel}: must be 1 with "
                f"trainer.num_nodes={self.num_nodes}; next step: remove trainer.parallel, or use "
                "trainer=slurm"
            )


@dataclass(frozen=True)
class Logger:
    """Logging of the learning curve.

    Attributes:
        kind: Where learning curves are logged; records do not depend on it.
        project: W&B project.
        entity: W&B team or user; null takes the account's default.
        group: W&B group; null takes the experiment, the data and the arm.
        job_type: W&B job type; null takes ``tuning`` or ``verdict`` for runs of a study, else
            ``train``.
    """

    kind: LoggerKind = LoggerKind.wandb
    project: Text = "alexnet-ablations"
    entity: Text | None = None
    group: Text | None = None
    job_type: Text | None = None


@dataclass(frozen=True)
class Settings:
    """Settings that affect results, apart from the techniques.

    Attributes:
        model: The network; see its file in ``ablations/models/``.
        width: Factor on the number of kernels and units.
        init: Initial weights: the paper's (or a tutorial's), or variance scaling by fan-in.
        data: See :class:`DataConfig`.
        recipe: See :class:`Recipe`.
        seed: Seed of all random numbers.
        replicate: Second seed, for A/A comparisons of arms with equal ``seed`` that differ only in
            their random numbers.
        pretrained: Start from the weights of this finished run: its id or the first digits of it,
            in ``output``, or its folder; null starts from random weights. The last layer is random
            if the number of classes differs.
        callbacks: Your own Lightning callbacks by name, each with its class as ``_target_`` and its
            arguments (``docs/callbacks.md``).
    """

    model: Model = Model.alexnet_small
    width: Annotated[float, Field(gt=0, le=4)] = 1.0
    init: Init = Init.paper
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)
    seed: NonNegativeInt = 0
    replicate: NonNegativeInt = 0
    pretrained: Text | None = None
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, callback in self.callbacks.items():
            if not isinstance(callback.get("_target_"), str):
                raise ConfigError(
                    f"callbacks.{name}: has no class; next step: "
                    f"+callbacks.{name}._target_=PACKAGE.CLASS"
                )
        if self.recipe.schedule is Schedule.plateau and self.data.val_size == 0:
            raise ConfigError(
                "recipe.schedule=plateau: needs a validation error, but data.val_size=0; next "
                "step: set data.val_size, or use another recipe.schedule"
            )


@dataclass(frozen=True)
class Config(Settings, Techniques):
    """Everything that a user can set, as Hydra composes it.

    Attributes:
        experiment: Name of the experiment, a file in ``conf/experiment/``.
        trainer: See :class:`Trainer`.
        logger: See :class:`Logger`.
        output: Folder of the runs and their records.
        cache: Folder of prepared data; null takes the user's cache folder.
        fast_dev_run: Train, validate and test on one batch, and save nothing.
        print_model: Print the layers of the network, their shapes and costs; train nothing.
        plan: Prepare the data, and print how many runs are finished and how long the others may
            take; train nothing.
    """

    experiment: Text = "smoke"
    trainer: Trainer = field(default_factory=Trainer)
    logger: Logger = field(default_factory=Logger)
    output: Folder = "runs"
    cache: Folder | None = None
    fast_dev_run: bool = False
    print_model: bool = False
    plan: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        every = self.trainer.check_val_every_n_epoch
        if self.recipe.epochs % every:
            raise ConfigError(
                f"trainer.check_val_every_n_epoch={every}: must divide "
                f"recipe.epochs={self.recipe.epochs}, so that the last epoch is validated"
            )
        if every > 1 and self.recipe.schedule is Schedule.plateau:
            raise ConfigError(
                f"trainer.check_val_every_n_epoch={every}: recipe.schedule=plateau needs the "
                "validation error of every epoch; next step: use 1, or another recipe.schedule"
            )

    @property
    def run(self) -> "Run":
        """The part that affects results."""
        techniques = {f.name: getattr(self, f.name) for f in fields(Techniques)}
        settings = {f.name: getattr(self, f.name) for f in fields(Settings)}
        return Run(techniques=Techniques(**techniques), **settings)


# Run ids hash the differences from these values, the paper's experiment when the table was made.
# Frozen: only add entries, each with the value that all earlier runs had, so that a new default
# changes no id. Techniques need no entry: the reference is their first value, the paper's.
REFERENCE: dict[str, Any] = {
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
    "callbacks": {},
}


def run_id_of(differences: dict[str, Any], numerics: int = NUMERICS) -> str:
    """Return the hash of the differences from ``REFERENCE``, twelve hexadecimal digits.

    Args:
        differences: See :attr:`Run.differences`.
        numerics: Version of the numerics that the run was trained with.
    """
    text = json.dumps({"numerics": numerics, **differences}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Run(Settings):
    """Every setting that affects results.

    Attributes:
        techniques: One choice of each technique.
        fingerprint: Hash of the stored pixels and labels, once the data are prepared.
    """

    techniques: Techniques = field(default_factory=Techniques)
    fingerprint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values, as in a run's ``config.yaml``."""
        return _RUN.dump_python(self, mode="json")

    @cached_property
    def flat(self) -> dict[str, Any]:
        """Plain values by key of the command line, such as ``pooling`` and ``recipe.lr``."""
        return {key.removeprefix("techniques."): value for key, value in flatten(self.to_dict())}

    def on_data(self, fingerprint: str, name: str) -> "Run":
        """Return the run with the fingerprint and the name of its prepared data.

        Args:
            fingerprint: Hash of the stored pixels and labels.
            name: Name of the data, unless ``data.name`` is set.
        """
        data = replace(self.data, name=self.data.name or name)
        return replace(self, fingerprint=fingerprint, data=data)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Run":
        """Rebuild a run from :meth:`to_dict`.

        Raises:
            ConfigError: A key is unknown, or a value is of the wrong type or out of range.
        """
        try:
            return _RUN.validate_python(values, extra="forbid")
        except ValidationError as error:
            raise ConfigError(f"not the configuration of a run: {first_problem(error)}") from None

    @cached_property
    def differences(self) -> dict[str, Any]:
        """Resolved values that differ from ``REFERENCE`` or a technique's first value, by key.

        The name and path of the data are left out because the fingerprint identifies the images,
        and ``evaluation`` because every run measures the error in both views.
        """
        values = self.flat | {"data.fingerprint": self.fingerprint}
        if values["recipe.bias_lr_mult"] is None:
            values["recipe.bias_lr_mult"] = details(self.techniques.edition).bias_lr_mult
        if self.recipe.schedule is not Schedule.step:
            values["recipe.milestones"] = REFERENCE["recipe.milestones"]
        if self.recipe.schedule is not Schedule.plateau:
            values["recipe.patience"] = REFERENCE["recipe.patience"]
        chosen: dict[str, Enum] = vars(self.techniques)
        papers = {key: next(iter(type(value))).value for key, value in chosen.items()}
        reference = papers | REFERENCE
        del reference["evaluation"]
        return {key: values[key] for key, value in reference.items() if values[key] != value}

    @classmethod
    def from_differences(cls, differences: dict[str, Any]) -> "Run":
        """Rebuild a run from :attr:`differences`; the name and path of its data are unknown.

        Raises:
            ConfigError: A key is unknown, or a value is of the wrong type.
        """
        nested: dict[str, Any] = {"techniques": {}, "data": {}, "recipe": {}}
        techniques = {entry.name for entry in fields(Techniques)}
        for key, value in (REFERENCE | differences).items():
            group, _, name = key.rpartition(".")
            place = nested["techniques"] if key in techniques else nested.get(group, nested)
            place[name] = value
        nested["fingerprint"] = nested["data"].pop("fingerprint")
        return cls.from_dict(nested)

    @cached_property
    def run_id(self) -> str:
        """Twelve hexadecimal digits, equal for runs that must give equal numbers."""
        return run_id_of(self.differences)


@dataclass(frozen=True)
class Job:
    """A run and how to train it, as frozen in the ``config.yaml`` of its folder.

    Attributes:
        run: What to train.
        experiment: Name of the experiment, for tables.
        arm: Difference from the experiment apart from the seed; ``baseline`` if there is none.
        label: Name of the arm in tables of this command: the keys that the command varies.
        trainer: Hardware.
        logger: Logging of the learning curve.
        store: Folder of the prepared data.
        weights: Checkpoint to start from; empty for random weights, or if the run is finished.
        fast_dev_run: Train, validate and test on one batch, and save nothing.
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

    def save(self, folder: Path) -> None:
        """Write ``config.yaml`` into ``folder``, with a checksum in its first line."""
        content = yaml.safe_dump(_JOB.dump_python(self, mode="json"), sort_keys=False).encode()
        write_atomically(folder / "config.yaml", _CHECKSUM + _sha256(content) + b"\n" + content)

    @classmethod
    def load(cls, folder: Path) -> "Job":
        """Read the ``config.yaml`` of ``folder``, ignoring unknown keys of other versions.

        Raises:
            ConfigError: The file is damaged, a value is missing or has the wrong type, or the file
                belongs to another run.
        """
        path = folder / "config.yaml"
        try:
            return _parse(path.read_bytes(), folder.absolute().name)
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            raise ConfigError(
                f"{path}: damaged or foreign, {first_problem(error)}; next step: repeat the "
                "command that made the folder, to write it again"
            ) from None


def _parse(content: bytes, run_id: str) -> Job:
    first, _, rest = content.partition(b"\n")
    if first.startswith(_CHECKSUM) and first != _CHECKSUM + _sha256(rest):
        raise ConfigError("the checksum does not match its values")
    job = _JOB.validate_python(yaml.safe_load(content))
    if job.run.run_id != run_id:
        raise ConfigError(f"belongs to run {job.run.run_id}")
    return job


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


_CHECKSUM = b"# SHA-256 of the rest: "  # in the first line of a frozen configuration
CONFIG = TypeAdapter(Config)
_RUN = TypeAdapter(Run)
_JOB = TypeAdapter(Job)


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested values with their dotted keys; all ``callbacks`` are one value.

    Examples:
        >>> dict(flatten({"seed": 0, "recipe": {"lr": 0.1}}))
        {'seed': 0, 'recipe.lr': 0.1}
    """
    for key, value in values.items():
        if isinstance(value, dict) and key != "callbacks":
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def first_problem(error: BaseException) -> str:
    """Return an error as one line; of the problems that pydantic found, the first."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        return f"{key}: {first['msg']}" if key else first["msg"]
    return " ".join(str(error).split())
