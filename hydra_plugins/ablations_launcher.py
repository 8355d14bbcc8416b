"""Hydra's launcher ``local``, the default: all jobs of a sweep in one plan and one table.

Hydra finds launchers only in this namespace package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


@dataclass
class LocalLauncherConf:
    """The configuration of ``hydra/launcher=local``."""

    _target_: str = "hydra_plugins.ablations_launcher.LocalLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="local", node=LocalLauncherConf, provider="ablations"
)


class LocalLauncher(Launcher):
    """Composes and checks all jobs before the first starts, then trains those without a record.

    Runs are trained in parallel on the devices of this machine, or by SLURM with ``trainer=slurm``.
    A task function other than that of ``run.py`` is called once for each job, in order.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store the arguments that Hydra passes to every launcher."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs.

        Args:
            job_overrides: Overrides of each job.
            initial_job_idx: Number of the first job.

        Returns:
            The result of each job; for runs it has the validation error.

        Raises:
            HydraException: There is no job, for example with ``seed=range(0)``.
        """
        if not job_overrides:
            raise HydraException("no job to launch: a key of the sweep has no value")
        setup_globals()
        HydraConfig.instance().set_config(self.config)
        composed = [
            self._compose(initial_job_idx + number, overrides)
            for number, overrides in enumerate(job_overrides)
        ]
        # Imported here, because Hydra imports every plugin for every command.
        from ablations.composition import to_config
        from ablations.launch.task import train_all, train_one

        if self.task_function is not train_one:
            return [self._call(self.task_function, config) for config in composed]
        outcomes = train_all([to_config(config) for config in composed])
        # Pass the outcomes through Hydra, which writes its files and calls its callbacks.
        return [
            self._call(partial(_return_or_raise, outcome), config)
            for config, outcome in zip(composed, outcomes, strict=True)
        ]

    def _compose(self, number: int, overrides: Sequence[str]) -> DictConfig:
        loader = self.hydra_context.config_loader
        config = loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def _call(self, task: TaskFunction, config: DictConfig) -> JobReturn:
        return run_job(
            hydra_context=self.hydra_context,
            task_function=task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _return_or_raise(outcome: float | Exception | None, _: DictConfig) -> float | None:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class ShowSearch(Callback):
    """Prints the result of a sweeper such as Optuna's, which only writes it into a file."""

    def on_multirun_end(self, config: DictConfig, **rest: Any) -> None:
        """Print the results file."""
        found = Path(config.hydra.sweep.dir) / "optimization_results.yaml"
        sweeper = config.hydra.runtime.choices["hydra/sweeper"]
        if sweeper != "basic" and found.exists():
            print(f"search  {found}, by validation error:\n{found.read_text().rstrip()}")
