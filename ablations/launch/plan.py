"""Plan a command: its distinct runs, which of them are done, how long the rest takes."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

from ablations import models
from ablations.arms import arm_labels, difference
from ablations.config import Config, ConfigError, Job, Logger, LoggerKind, Run
from ablations.data.sources import IMAGES
from ablations.data.store import Store, prepare
from ablations.errors import writable
from ablations.launch import slurm
from ablations.launch.devices import allocate, threads_for, uses_gpus
from ablations.record import CHECKPOINT, Record, find_folder, load, load_all
from ablations.words import count, duration


@dataclass(frozen=True)
class Plan:
    """The runs of one command.

    Attributes:
        output: Folder of the runs.
        jobs: The requested jobs in order, without duplicates. Jobs that differ only in
            ``evaluation``, the test error to show, share a run.
        records: Records of the runs that are done, by run id.
        run_ids: Run id of each configuration, in the requested order.
        merged: Number of jobs dropped because they differ from another only in the hardware.
    """

    output: Path
    jobs: list[Job]
    records: dict[str, Record]
    run_ids: list[str]
    merged: int = 0

    @property
    def left(self) -> list[Job]:
        """One job for each run without a record."""
        firsts: dict[str, Job] = {}
        for job in self.jobs:
            firsts.setdefault(job.run.run_id, job)
        return [job for run_id, job in firsts.items() if run_id not in self.records]


def make_plan(configs: Sequence[tuple[Config, Run]], report: Callable[[str], None]) -> Plan:
    """Check every configuration, prepare the data, and find the finished runs.

    All configurations are checked before data are read or anything is written.

    Args:
        configs: Each configuration, and the run of its experiment without overrides; the arm is
            named after the difference.
        report: Called with lines of progress while data are prepared.

    Raises:
        ConfigError: A configuration cannot work here.
    """
    _check([config for config, _ in configs])
    shared, _ = configs[0]
    output = writable(Path(shared.output), f"output={shared.output}", "output=FOLDER")
    weights = {config.pretrained: _weights(config.pretrained, output) for config, _ in configs}
    read = _reader(report)
    run_ids, merged = [], 0
    # Runs that compare equal have different ids if a callback takes 1 in one and 1.0 in the other.
    distinct: dict[tuple[str, Run], Job] = {}
    for config, base in configs:
        job = _job(config, base, *read(config), weights[config.pretrained])
        first = distinct.setdefault((job.run.run_id, job.run), job)
        merged += first.trainer != job.trainer
        run_ids.append(job.run.run_id)
    labels = arm_labels([job.arm for job in distinct.values()])
    jobs = [replace(job, label=label) for job, label in zip(distinct.values(), labels, strict=True)]
    records = {
        job.run.run_id: record
        for job in jobs
        if not shared.fast_dev_run and (record := load(output / job.run.run_id))
    }
    return Plan(output, jobs, records, run_ids, merged)


def _check(configs: Sequence[Config]) -> None:
    """Check configurations as far as possible without their data."""
    _refuse_another_launcher()
    for config in configs:
        models.check(config.run)
        if config.callbacks:
            # Imported here, because Lightning is slow to import and few runs have callbacks.
            from ablations.training.callbacks import build_callbacks

            build_callbacks(config.callbacks)
        _check_logger(config.logger)
    for trainer in dict.fromkeys(config.trainer for config in configs):
        if trainer.slurm.submit:
            slurm.check(trainer)  # only SLURM knows what its nodes have
        else:
            allocate(trainer)


def _refuse_another_launcher() -> None:
    ranks = [name for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE") if name in os.environ]
    if ranks:
        raise ConfigError(
            f"{ranks[0]}={os.environ[ranks[0]]}: torchrun must not start this command; next step: "
            "start the command once, without torchrun, and set trainer=ddp trainer.devices=N (or "
            f"unset {' '.join(ranks)}), or use torchrun with `-m ablations.train RUN_FOLDER`, see "
            "docs/clusters.md"
        )
    if (tasks := os.environ.get("SLURM_STEP_NUM_TASKS", "1")) != "1":
        raise ConfigError(
            f"SLURM_STEP_NUM_TASKS={tasks}: srun must start this command once; next step: leave "
            "srun out, and set trainer=ddp trainer.devices=N trainer.num_nodes=N"
        )


def _check_logger(logger: Logger) -> None:
    packages = {
        LoggerKind.tensorboard: "'alexnet-ablations[tensorboard]'",
        LoggerKind.wandb: "wandb",
    }
    package, name = packages.get(logger.kind), str(logger.kind)
    if package and find_spec(name) is None:
        raise ConfigError(
            f"logger={name}: the package is not installed; next step: pip install {package}, or "
            "use logger=csv or logger=none"
        )


def _reader(report: Callable[[str], None]) -> Callable[[Config], tuple[Store, int]]:
    """Return a function of a configuration that gives its store and number of training images."""
    # A store is verified once, even if several splits of it are used, and each split is made once.
    verified = cache(lambda data, folder: prepare(data, folder, report))
    images = cache(lambda store, *sizes: len(store.split(*sizes)[0]))

    def read(config: Config) -> tuple[Store, int]:
        whole = replace(config.data, name=None, train_limit=None, val_size=0)
        store = verified(whole, Path(config.cache) if config.cache else None)
        return store, images(store, config.data.train_limit, config.data.val_size)

    return read


def _weights(run: str | None, output: Path) -> Path | None:
    """Return the checkpoint of the run that provides the initial weights, or None without one.

    Raises:
        ConfigError: There is no such run, or it has no usable weights.
    """
    if run is None:
        return None
    try:
        folder = find_folder(run, output)
    except ConfigError as error:
        raise ConfigError(f"pretrained={error}") from None
    record = load(folder)
    if record is None:
        why = "this run has not finished; next step: repeat its command to resume it"
    elif record.status == "diverged":
        why = "this run has diverged; next step: use a run that has not"
    elif not (folder / CHECKPOINT).exists():
        why = f"{CHECKPOINT} is no longer in {folder}; next step: use another run"
    else:
        return folder / CHECKPOINT
    raise ConfigError(f"pretrained={run}: {why}")


def _job(config: Config, base: Run, store: Store, images: int, weights: Path | None) -> Job:
    if len(store.classes) < 2:
        raise ConfigError(
            f"{store.name}: the only class is {''.join(store.classes)}; next step: provide images "
            "of at least two classes"
        )
    if config.recipe.batch_size > images:
        raise ConfigError(
            f"recipe.batch_size={config.recipe.batch_size}: there are only {images} training "
            f"images; next step: recipe.batch_size={images} or less, or a smaller data.val_size "
            f"than {config.data.val_size}"
        )
    processes = config.trainer.devices * config.trainer.num_nodes
    for number, what in (  # `data.val_size=0` is valid
        (config.data.val_size or processes, f"data.val_size={config.data.val_size}"),
        (len(store.test_labels), f"{len(store.test_labels)} test images"),
        (config.recipe.batch_size, f"recipe.batch_size={config.recipe.batch_size}"),
    ):
        if number < processes:
            raise ConfigError(
                f"{what}: each of {processes} devices needs at least one image; next step: use "
                "fewer trainer.devices or trainer.num_nodes, or more images"
            )
    if weights:
        config = replace(config, pretrained=weights.parent.name)
        # Imported here, so that other commands do not load torch.
        from ablations.models.pretrained import check_fit

        check_fit(config.run, len(store.classes), weights)
    arm = difference(config.run, base)
    return Job(
        run=config.run.on_data(store.fingerprint, store.name),
        experiment=config.experiment,
        arm=arm,
        label=arm,
        trainer=replace(config.trainer, threads=threads_for(config.trainer, config.data.crop)),
        logger=config.logger,
        store=str(store.path.resolve()),  # a run may be resumed from any folder
        weights=str(weights or ""),
        fast_dev_run=config.fast_dev_run,
    )


class Timing:
    """Estimates the time of runs from finished runs with the same network, crop and hardware.

    Args:
        output: Folder of the finished runs.
        rate: Training images/s of one device, used for all runs instead of finished runs.
    """

    def __init__(self, output: Path, rate: float | None = None) -> None:
        self.rate = rate
        self._rates: dict[tuple, list[float]] = {}
        for record in load_all(output) if rate is None else ():
            if record.images_per_second:
                hardware = record.hardware
                kind = _kind(record.run, hardware.accelerator, hardware.devices)
                self._rates.setdefault(kind, []).append(record.images_per_second)

    def device_seconds(self, job: Job) -> float | None:
        """Return the time of a run, multiplied by its devices; None if it is not known."""
        if not (work := _work(job)):
            return None
        if self.rate:
            return work / self.rate
        accelerator, devices = "gpu" if uses_gpus(job.trainer) else "cpu", _devices(job)
        known = self._rates.get(_kind(job.run, accelerator, devices))
        return devices * work / mean(known) if known else None

    def left(self, jobs: Sequence[Job]) -> str:
        """Describe the time of jobs that are run in parallel; empty without jobs."""
        if not jobs:
            return ""
        times = [(self.device_seconds(job), _devices(job)) for job in jobs]
        known = [seconds / devices for seconds, devices in times if seconds is not None]
        if not known:
            return "time not known yet"
        trainer = jobs[0].trainer
        limit = len(jobs) if trainer.slurm.submit else len(allocate(trainer))
        parallel = min(trainer.parallel or limit, len(jobs))
        unknown = len(jobs) - len(known)
        rest = f", and {count(unknown, 'run')} not yet timed" if unknown else ""
        return f"about {duration(sum(known) / parallel)}{rest}"

    def device_hours(self, jobs: Sequence[Job]) -> float | None:
        """Return the hours of jobs, multiplied by their devices; None if one is not known."""
        known = [self.device_seconds(job) for job in jobs]
        return None if None in known else sum(seconds or 0 for seconds in known) / 3600


def _devices(job: Job) -> int:
    return job.trainer.devices * job.trainer.num_nodes


@cache
def _images(store: str) -> tuple[int, int]:
    return Store(Path(store)).images


def _work(job: Job) -> float | None:
    """Return the cost of training, validation and test, in training images; None if unknown."""
    data = job.run.data
    if job.store:
        train, test = _images(job.store)
    elif data.source in IMAGES:  # a plan without data
        train, test = IMAGES[data.source]
    else:
        return None
    trained = data.train_limit or train - data.val_size
    # The backward pass of a step costs twice its forward pass. The final evaluation takes the
    # training images again, and ten views of each test image.
    validated = data.val_size * (job.run.recipe.epochs + 1)
    forward = validated + trained + 10 * test
    return trained * job.run.recipe.epochs + forward / 3


def _kind(run: Run, accelerator: str, devices: int) -> tuple:
    size = run.model, run.width, run.data.crop, run.recipe.precision
    return *size, accelerator, devices
