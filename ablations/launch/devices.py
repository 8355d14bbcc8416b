"""Find the devices of this machine, and share them among the runs of all commands."""

import os
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pynvml
from filelock import FileLock, Timeout

from ablations.config import Accelerator, ConfigError, Trainer
from ablations.data.cpu import core_numbers, physical_cores

# Smallest crop, in pixels, whose steps are long enough for several threads to speed them up.
LARGE_CROP = 128


@dataclass(frozen=True)
class Slot:
    """Devices that are used by one run at a time.

    Attributes:
        gpus: Values for ``CUDA_VISIBLE_DEVICES``, empty on a CPU; None for runs on several nodes,
            whose devices SLURM allocates.
        names: Names of its locks, such as ``cpu3-0`` or ``gpu0-1``: core or GPU, and
            number of the run that shares it.
    """

    gpus: tuple[str, ...] | None
    names: tuple[str, ...]


def take(slots: Iterable[Slot]) -> tuple[Slot, ExitStack] | None:
    """Lock the first free slot; None if other runs use all.

    With any launcher of Hydra, every run that ``run.py`` or ``reproduce.py`` starts for this user
    on this machine first takes a slot; ``python -m ablations.train`` and jobs that are submitted to
    SLURM take none. Inside a SLURM job, slots are shared among the runs of that job only.

    Returns:
        The slot and its locks. Closing them releases it, and so does the end of this process.
    """
    folder = _lock_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for slot in slots:
        with suppress(Timeout), ExitStack() as locks:
            for name in slot.names:
                locks.enter_context(FileLock(folder / f"{name}.lock", timeout=0))
            return slot, locks.pop_all()
    return None


def _lock_folder() -> Path:
    root = os.environ.get("XDG_RUNTIME_DIR", "")
    if not os.access(root, os.W_OK):  # in a SLURM job it may be that of the login node
        root = tempfile.gettempdir()
    job = os.environ.get("SLURM_JOB_ID")
    whose = f"alexnet-ablations-{os.getuid()}"
    return Path(root) / whose / (f"slurm-{job}" if job else "machine")


def visible_gpus() -> list[str]:
    """Return the visible GPUs as values for ``CUDA_VISIBLE_DEVICES``, without initializing CUDA."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in {"", "-1"}]
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, hence no GPU
        return []
    try:
        return [str(index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def uses_gpus(trainer: Trainer) -> bool:
    """Return whether runs are trained on GPUs; ``auto`` takes those of this machine only."""
    if trainer.accelerator is Accelerator.auto:
        here = trainer.num_nodes == 1 and not trainer.slurm.submit
        return here and bool(visible_gpus())
    return trainer.accelerator is Accelerator.gpu


def threads_for(trainer: Trainer, crop: int) -> int:
    """Return the number of CPU threads for each process of a run.

    The number affects results, through the order of floating-point sums, and therefore does not
    depend on other runs.

    Args:
        trainer: The hardware of the run; ``threads``, if set, is returned.
        crop: Height and width of the network's inputs, in pixels.
    """
    if trainer.threads:
        return trainer.threads
    if trainer.slurm.submit:  # the nodes may have other cores than this machine
        cores, gpus = trainer.slurm.cpus * trainer.devices, trainer.devices
    else:
        cores, gpus = physical_cores(), len(visible_gpus())
    if uses_gpus(trainer):
        return max(1, cores // max(1, gpus))
    return 1 if crop < LARGE_CROP else max(1, cores // trainer.devices)


def allocate(trainer: Trainer) -> list[Slot]:
    """Divide this machine into slots for runs with the same hardware settings.

    Raises:
        ConfigError: The machine does not have what ``trainer`` asks for.
    """
    accelerator, devices = trainer.accelerator, trainer.devices
    if trainer.num_nodes > 1:
        return [Slot(None, ("nodes",))]
    gpus = visible_gpus() if accelerator is not Accelerator.cpu else []
    if accelerator is Accelerator.gpu and not gpus:
        raise ConfigError(
            "trainer.accelerator=gpu: no GPU is visible; next step: check `nvidia-smi` and "
            "CUDA_VISIBLE_DEVICES, or use trainer=cpu"
        )
    # Locks are named after core numbers: commands that are restricted to different cores (taskset)
    # do not wait for each other.
    cores = [str(number) for number in core_numbers()]
    if gpus and devices > len(gpus):
        raise ConfigError(
            f"trainer.devices={devices}: only {len(gpus)} GPU(s) are visible "
            f"({', '.join(gpus)}); next step: use trainer.devices=1 to {len(gpus)}"
        )
    if not gpus and accelerator is Accelerator.auto and devices > len(cores):
        raise ConfigError(
            f"trainer.devices={devices}: this machine has no GPU and only {len(cores)} CPU cores; "
            f"next step: use trainer.devices=1 to {len(cores)}, or trainer.accelerator=cpu to run "
            "several processes per core"
        )
    kind, units = ("gpu", gpus) if gpus else ("cpu", cores)
    # With trainer.accelerator=cpu there may be more processes than cores.
    per_slot = min(devices if gpus else devices * (trainer.threads or 1), len(units))
    starts = range(0, len(units) - per_slot + 1, per_slot)
    groups = [tuple(units[i : i + per_slot]) for i in starts]
    slots = []
    # With more parallel runs than groups, several runs share a GPU or a core.
    for i in range(max(len(groups), trainer.parallel or 0)):
        group, share = groups[i % len(groups)], i // len(groups)
        names = tuple(f"{kind}{unit.replace('/', '-')}-{share}" for unit in group)
        slots.append(Slot(group if gpus else (), names))
    return slots
