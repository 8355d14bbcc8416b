"""Hydra's task: train the runs without a record, and return their validation errors."""

import time
from collections.abc import Sequence
from contextlib import suppress
from operator import attrgetter
from shutil import rmtree

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ablations.composition import experiment_of, in_start_folder, to_config
from ablations.config import Config, ConfigError
from ablations.errors import RunsFailed
from ablations.launch.display import (
    Monitor,
    make_console,
    show,
    show_plan,
    show_records,
    show_waiting,
)
from ablations.launch.layer_table import show_layers
from ablations.launch.plan import make_plan
from ablations.launch.pool import RunState
from ablations.launch.start import start
from ablations.launch.summary import show_summary, validation_error
from ablations.words import count, duration

# Keys whose values all jobs of a command must share.
_SHARED = ("output", "cache", "fast_dev_run", "print_model", "plan", "logger", "trainer.num_nodes")


def train_one(composed: DictConfig) -> float | None:
    """Train one configuration if it has no record; the task function of ``run.py``.

    Any launcher may call it in any process: it takes a free device of the machine, and trains in a
    separate process tree.

    Args:
        composed: The configuration as Hydra composed it.

    Returns:
        The validation error, for sweepers that search; see :func:`validation_error`.

    Raises:
        ConfigError: The configuration cannot work on this machine.
        RunsFailed: The run ended without a record.
    """
    hydra_config = HydraConfig.get()
    launcher = hydra_config.runtime.choices.get("hydra/launcher")
    with in_start_folder():
        config = to_config(composed)
        if hydra_config.mode == RunMode.MULTIRUN and config.trainer.slurm.submit:
            raise ConfigError(
                f"trainer=slurm: hydra/launcher={launcher} starts the jobs, too; next step: leave "
                "one of them out"
            )
        (outcome,) = train_all([config])
    if isinstance(outcome, RunsFailed):
        raise outcome
    return outcome


def train_all(configs: Sequence[Config]) -> list[float | RunsFailed | None]:
    """Plan, train the runs without a record, and print a table of their errors.

    With ``print_model``, only print the layers of the networks; with ``plan``, train nothing.

    Args:
        configs: All configurations of a command.

    Returns:
        The validation error of each configuration, see :func:`validation_error`, or its failure.

    Raises:
        ConfigError: A configuration cannot work; nothing was trained.
    """
    console, shared = make_console(), configs[0]
    for key in _SHARED:
        if len(set(map(attrgetter(key), configs))) > 1:
            raise ConfigError(f"{key}: all runs of a sweep share it; give one value")
    search = _is_search(configs)
    if shared.print_model:
        for config in configs:
            show_layers(console, config)
        return [None] * len(configs)
    plan = make_plan(
        [(config, experiment_of(config)) for config in configs],
        report=lambda line: show(console, "data", line),
    )
    show_plan(console, plan)
    records, states = dict(plan.records), []
    left = [] if shared.plan else plan.left
    if left:
        began = time.monotonic()
        with Monitor(console) as monitor:
            states = start(plan.output, left, console, monitor.update)
        taken = duration(time.monotonic() - began)
        show(console, "time", f"{taken} for {count(len(left), 'run')}")
        records |= {s.record.run_id: s.record for s in states if s.record is not None}
        show_waiting(console, states)
    show_summary(console, plan.jobs, records, search)
    show_records(console, plan, records)
    failed = {state.job.run.run_id for state in states if state.status == "failed"}
    if shared.fast_dev_run:
        _remove_finished(states)
        if states and not failed:
            show(console, "fast_dev_run", "ran one batch of each split; nothing is saved")
    failure = RunsFailed(
        f"{len(failed)} of {len(states)} runs failed; next step: read the log, correct the cause, "
        "repeat the command"
    )
    return [
        failure if run_id in failed else validation_error(records.get(run_id))
        for run_id in plan.run_ids
    ]


def _remove_finished(states: Sequence[RunState]) -> None:
    """Remove the folders of fast dev runs, except failed ones, which have the log."""
    for state in states:
        if state.status == "finished":
            rmtree(state.folder, ignore_errors=True)
            with suppress(OSError):  # it has the folders of other runs
                state.folder.parent.rmdir()


def _is_search(configs: Sequence[Config]) -> bool:
    """Return whether a sweeper minimizes the validation error; raise if a run will have none."""
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    sweeper = choices.get("hydra/sweeper", "basic")
    if sweeper == "basic":
        return False
    if any(c.fast_dev_run or c.plan or c.print_model or not c.data.val_size for c in configs):
        raise ConfigError(
            f"hydra/sweeper={sweeper}: the search needs a validation error, which fast_dev_run, "
            "plan, print_model and data.val_size=0 do not give; next step: set data.val_size, and "
            "leave the others out"
        )
    return True
