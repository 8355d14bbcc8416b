"""Hydra's launcher ``local``, the default: all jobs of a sweep in one plan and one table.

Other launchers and sweepers show little by themselves; a callback says where their results are.

Hydra finds launchers in this namespace package only.
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
    """What ``hydra/launcher=local`` stands for."""

    _target_: str = "hydra_plugins.ablations_launcher.LocalLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="local", node=LocalLauncherConf, provider="ablations"
)


class LocalLauncher(Launcher):
    """Composes and checks every job before the first begins, then trains what has no record.

    Runs go side by side on the devices of this machine, or to SLURM with ``trainer=slurm``. A task
    function other than that of ``run.py`` is called once for each job, in order.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra gives every launcher."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Carry out the jobs.

        Args:
            job_overrides: Overrides of each job.
            initial_job_idx: Number of the first.

        Returns:
            What each job returned: for runs the validation error.

        Raises:
            HydraException: There is no job, as of ``seed=range(0)``.
        """
        if not job_overrides:
            raise HydraException("no job to launch: a key of the sweep has no value")
        setup_globals()
        HydraConfig.instance().set_config(self.config)
        composed = [
            self._compose(initial_job_idx + number, overrides)
            for number, overrides in enumerate(job_overrides)
        ]
        # Here, as Hydra imports every plugin for every command.
        from ablations.composition import to_config
        from ablations.launch.task import train_all, train_one

        if self.task_function is not train_one:
            return [self._call(self.task_function, config) for config in composed]
        outcomes = train_all([to_config(config) for config in composed])
        # Hydra writes its files, calls its callbacks, and passes the outcome on.
        return [
            self._call(partial(_give, outcome), config)
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


def _give(outcome: float | Exception | None, _: DictConfig) -> float | None:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class WhereResultsAre(Callback):
    """Says where the jobs of submitit write, and what a sweeper has found."""

    def on_multirun_start(self, config: DictConfig, **rest: Any) -> None:
        """Name the folder of the jobs, whose output no terminal shows."""
        if logs := config.hydra.launcher.get("submitit_folder"):
            print(
                f"jobs  they write to {Path(logs).parent}; the same command with plan=true in "
                "place of hydra/launcher shows what is finished",
                flush=True,
            )

    def on_multirun_end(self, config: DictConfig, **rest: Any) -> None:
        """Show the file that sweepers such as Optuna's leave."""
        found = Path(config.hydra.sweep.dir) / "optimization_results.yaml"
        sweeper = config.hydra.runtime.choices["hydra/sweeper"]
        if sweeper != "basic" and found.exists():
            print(f"search  {found}, by validation error:\n{found.read_text().rstrip()}")
