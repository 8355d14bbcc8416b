"""Compose, train and read the runs of a study."""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

from rich.console import Console

from ablations import models, record
from ablations.arms import difference
from ablations.claims.files import FREE_KEYS, is_free, key_of
from ablations.claims.schema import READINGS, RELATIVE, TIMES, Claim, Study
from ablations.composition import alter, compose
from ablations.config import Config, ConfigError, Job, Source
from ablations.data.sources import IMAGES
from ablations.data.store import Store, is_prepared
from ablations.launch.devices import threads_for
from ablations.launch.display import Monitor, show, show_waiting
from ablations.launch.plan import make_plan
from ablations.launch.pool import ALIVE
from ablations.launch.start import start
from ablations.record import Record
from ablations.words import count

# Keys that select other data than the experiment's.
_OTHER_DATA = ("data.name", "data.source", "data.path", "data.subset", "data.train", "data.test")

# Overrides of an arm, on top of the study's.
Arm = tuple[str, ...]


def arms_of(claim: Claim, part: str) -> tuple[Arm, Arm]:
    """Return the overrides of the arms with and without the technique."""
    common = tuple(claim.common)
    return (*common, *claim.with_), (*common, *claim.comparisons[part].without)


class Runs:
    """Composes, trains and reads the runs of one study.

    Args:
        study: The study.
        overrides: Overrides of the command.
        console: Where to show progress.
        deadline: Monotonic time after which no run is started; None for no limit.
        plan_only: Nothing will be trained, so that data need not be prepared.

    Raises:
        ConfigError: An override is not valid, or sets a key of the study.
    """

    def __init__(
        self,
        study: Study,
        overrides: Sequence[str],
        console: Console,
        deadline: float | None = None,
        *,
        plan_only: bool = False,
    ) -> None:
        if fixed := [item for item in overrides if not is_free(item)]:
            compose(fixed)  # an unknown key has its own error
            raise ConfigError(
                f"{fixed[0]}: the study {study.name} fixes {key_of(fixed[0])}; next step: change "
                f"its file and raise its version, or set only {', '.join(FREE_KEYS)}"
            )
        self.given = compose([f"experiment={study.experiment}", *study.changes, *overrides])
        imagenet = self.given.data.source is Source.imagenet  # `data.path` selects no other data
        chosen = {key_of(item) for item in overrides} - ({"data.path"} if imagenet else set())
        elsewhere = not chosen.isdisjoint(_OTHER_DATA)
        self.study = study.model_copy(update={"elsewhere": elsewhere})
        self.output = Path(self.given.output).resolve()
        self.cache = Path(self.given.cache) if self.given.cache else None
        self.console, self.deadline, self.plan_only = console, deadline, plan_only
        self.failed: set[str] = set()
        # Each look requests all pairs again.
        self.config, self.job = cache(self._compose), cache(self._job)
        self._records: dict[str, Record] = {}
        self._template: Job | None = None
        self._left_elsewhere = False

    def exclusion(self, claim: Claim) -> str:
        """Return why a claim does not apply at this experiment; empty if it does."""
        model = next((c for c in claim.common if c.startswith("model=")), "")
        names = (self.study.experiment, model.removeprefix("model=") or self.given.model.value)
        for name in names:
            if name in claim.excluded:
                return claim.excluded[name]
        own = {key_of(item): item for item in claim.common}
        for item in self.study.changes:
            if (needed := own.get(key_of(item), item)) != item:
                return f"it sets {needed}, and the study {item}"
        if claim.measure.of in TIMES and self.study.target_of(claim) is None:
            return "it needs a target; next step: set claims.NAME.target in a study file"
        return ""

    def admit(self, claims: Sequence[Claim], others: Sequence[Claim] = ()) -> list[Claim]:
        """Check every arm of the claims, and prepare the data unless only a plan is needed.

        Args:
            claims: Claims to train.
            others: Claims whose finished runs are only read.

        Returns:
            The others whose arms can be composed.

        Raises:
            ConfigError: The arms of a claim differ in more than its technique, or cannot be built.
        """
        arms = dict.fromkeys(arm for claim in claims for arm in self._check_arms(claim))
        found = []
        for claim in others:
            with suppress(ConfigError):
                self._check_arms(claim)
                found.append(claim)
        if self.plan_only and not is_prepared(self.given.data, self.cache):
            known = self.study.fingerprint or ""
            counted = "found by the fingerprint of the study" if known else "not counted"
            self._report(f"not prepared; finished runs are {counted}")
            run, name = replace(self.given.run, fingerprint=known), "baseline"
            trainer, logger = self.given.trainer, self.given.logger
            self._template = Job(run, name, name, name, trainer, logger, store="")
            return found
        # Without arms, the baseline prepares the data.
        configs = [(self.config(arm), self.given.run) for arm in arms]
        plan = make_plan(configs or [(self.given, self.given.run)], self._report)
        self._template = plan.jobs[0]
        store = Store(Path(self._template.store))
        if IMAGES.get(self.given.data.source, store.images) != store.images:
            self.study = self.study.model_copy(update={"elsewhere": True})  # a part of the data
        if len({job.store for job in plan.jobs}) > 1:
            raise ConfigError(
                "data.size: arms of a study must share one data set; next step: set it in the study"
            )
        if self.study.fingerprint not in (None, self.fingerprint):
            raise ConfigError(
                f"the data have fingerprint {self.fingerprint[:16]}, but the study "
                f"{self.study.name} needs {str(self.study.fingerprint)[:16]}; next step: use its "
                "data, see the head of its file"
            )
        return found

    def _check_arms(self, claim: Claim) -> list[Arm]:
        """Return the arms; refuse those that differ in more than the technique, or not at all."""
        admitted: list[Arm] = []
        if self.study.tuning and self.study.tuning.key == claim.technique:
            raise ConfigError(
                f"study {self.study.name}: tunes {claim.technique}, in which the arms of "
                f"{claim.name} differ; next step: tune another key"
            )
        every = self.given.trainer.check_val_every_n_epoch
        if claim.measure.curve == "val" and every > 1:
            raise ConfigError(
                f"trainer.check_val_every_n_epoch={every}: {claim.name} needs the validation error "
                "of every epoch; next step: use 1 for this claim"
            )
        for part, comparison in claim.comparisons.items():
            technique, arms = comparison.technique or claim.technique, arms_of(claim, part)
            try:
                with_technique, without = (self.config(arm) for arm in arms)
                for config in (with_technique, without):
                    models.check(config.run)
            except ConfigError as error:
                raise ConfigError(f"claim {claim.name}: {error}") from None
            ours, theirs = with_technique.run.flat, without.run.flat
            differing = {key for key in ours if ours[key] != theirs[key]}
            if differing != {technique} - set(READINGS):
                raise ConfigError(
                    f"claim {claim.name}: the arms must differ in {technique} and in nothing else, "
                    f"but differ in {', '.join(sorted(differing)) or 'nothing'}; next step: move "
                    "what both need to `common`"
                )
            admitted += arms
        return admitted

    def _report(self, line: str) -> None:
        show(self.console, "data", line)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data; empty before :meth:`admit` and if it is not known."""
        return self._template.run.fingerprint if self._template else ""

    @property
    def dataset(self) -> str:
        """Name of the data in tables; that of the source before :meth:`admit`."""
        data = self._template.run.data if self._template else self.given.data
        return data.name or str(data.source)

    @cached_property
    def with_validation(self) -> Arm:
        """Overrides that hold out validation images, if the study trains on all images.

        Tuning and the gate need a validation error, on seeds that no verdict uses.
        """
        if self.given.data.val_size:
            return ()
        experiment = compose([f"experiment={self.study.experiment}"])
        return (f"data.val_size={experiment.data.val_size}",)

    def _compose(self, arm: Arm) -> Config:
        """Compose an arm; ``KEY=x0.5`` is half of the study's value."""
        return alter(self.given, [self._absolute(item) for item in arm])

    def _absolute(self, item: str) -> str:
        key, _, value = item.partition("=")
        if not RELATIVE.fullmatch(value):
            return item
        factor, base = float(value[1:]), self.given.run.flat.get(key)
        if isinstance(base, int):
            return f"{key}={max(1, round(base * factor))}"
        if isinstance(base, float):
            return f"{key}={base * factor:g}"
        raise ConfigError(f"{item}: {key} has no numeric value to multiply")

    def _job(self, arm: Arm, seed: int) -> Job:
        """Return the job of an arm at a seed."""
        assert self._template is not None, "admit() must be called first"
        config = self.config(arm)
        run = replace(config.run, seed=seed).on_data(self.fingerprint, self.dataset)
        name = difference(run, self.given.run)
        if run.replicate:
            name = f"{name.removeprefix('baseline')} replicate={run.replicate}".strip()
        logger = self._template.logger
        job_type = "tuning" if seed in self.study.tuning_seeds else "verdict"
        return replace(
            self._template,
            run=run,
            experiment=self.study.name,
            arm=name,
            label=name,
            trainer=replace(config.trainer, threads=threads_for(config.trainer, config.data.crop)),
            logger=replace(logger, job_type=logger.job_type or job_type),
        )

    def view(self, arm: Arm) -> str:
        """Return the view of an arm's test error."""
        return self.config(arm).run.techniques.evaluation.value

    def record(self, job: Job) -> Record | None:
        """Return the record of a job; None while it has not finished."""
        run_id = job.run.run_id
        if run_id not in self._records and (found := record.find(self.output, run_id)):
            self._records[run_id] = found
        return self._records.get(run_id)

    def records(self, jobs: Iterable[Job]) -> list[Record]:
        """Return the records of the jobs that have finished."""
        return [found for job in jobs if (found := self.record(job))]

    def train(self, phase: str, jobs: Iterable[Job]) -> bool:
        """Train all jobs that have no record, in the given order, in parallel.

        Args:
            phase: What the jobs are for, which is shown above their progress.
            jobs: The jobs.

        Returns:
            False if there was nothing to train, no time left, or earlier jobs wait elsewhere.
        """
        left = {
            job.run.run_id: job
            for job in jobs
            if self.record(job) is None and job.run.run_id not in self.failed
        }
        late = self.deadline is not None and time.monotonic() >= self.deadline
        if not left or late or self._left_elsewhere:
            return False
        runs = f"{count(len(left), 'run')} to train"
        show(self.console, phase, f"{runs}; the time left does not include later phases")
        with Monitor(self.console) as monitor:
            states = start(
                self.output, list(left.values()), self.console, monitor.update, self.deadline
            )
        show_waiting(self.console, states)
        # Queued by SLURM, or left for torchrun on several machines.
        self._left_elsewhere = any(state.status in (*ALIVE, "waiting") for state in states)
        self.failed |= {state.job.run.run_id for state in states if state.status == "failed"}
        return True
