"""Which devices this machine has, and how the runs of a sweep share them."""

import os
from dataclasses import dataclass

import pynvml

from ablations.config import Accelerator, ConfigError, Trainer


@dataclass(frozen=True)
class Slot:
    """What one run at a time may use.

    Attributes:
        accelerator: ``cpu`` or ``gpu``.
        gpus: Values for ``CUDA_VISIBLE_DEVICES``, empty on a CPU.
        processes: Processes that train a run together.
        threads: CPU threads of each process.
    """

    accelerator: str
    gpus: tuple[str, ...]
    processes: int
    threads: int


def visible_gpus() -> list[str]:
    """Names that ``CUDA_VISIBLE_DEVICES`` takes for the GPUs of this process, without CUDA."""
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


def refuse_another_launcher() -> None:
    """Refuse to be started once per device: a command starts the processes of a run itself.

    Raises:
        ConfigError: This process is one of several that torchrun or SLURM started on this node.
    """
    if ranks := [name for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE") if name in os.environ]:
        raise ConfigError(
            f"{ranks[0]}={os.environ[ranks[0]]} is set, as torchrun does; start the command once "
            "per node, without torchrun, and say trainer=ddp trainer.devices=N (or unset "
            f"{' '.join(ranks)})"
        )
    tasks = os.environ.get("SLURM_NTASKS_PER_NODE", "1")
    if tasks.isdecimal() and int(tasks) > 1:
        raise ConfigError(
            f"SLURM_NTASKS_PER_NODE={tasks}; start the command once per node, with "
            "--ntasks-per-node=1, and say trainer=ddp trainer.devices=N"
        )


def cpu_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def allot(trainer: Trainer, runs: int) -> list[Slot]:
    """Divide the machine into slots for ``runs`` runs.

    Raises:
        ConfigError: The machine does not have what ``trainer`` asks for.
    """
    gpus, cores = visible_gpus(), cpu_cores()
    accelerator = trainer.accelerator
    if accelerator is Accelerator.gpu and not gpus:
        raise ConfigError(
            "trainer.accelerator=gpu, but no GPU is visible here; use trainer=cpu, or check "
            "`nvidia-smi` and CUDA_VISIBLE_DEVICES"
        )
    if gpus and accelerator is not Accelerator.cpu:
        return _gpu_slots(trainer, runs, gpus, cores)
    if accelerator is Accelerator.auto and trainer.devices > cores:
        raise ConfigError(
            f"trainer.devices={trainer.devices}, but this machine has no GPU, and its {cores} CPU "
            f"cores can stand in for at most {cores}; use trainer.devices=1 to {cores}, or "
            "trainer.accelerator=cpu to crowd more processes onto the cores"
        )
    slots = min(trainer.parallel or max(1, cores // trainer.devices), runs)
    threads = trainer.threads or max(1, cores // (slots * trainer.devices))
    return [Slot("cpu", (), trainer.devices, threads)] * slots


def _gpu_slots(trainer: Trainer, runs: int, gpus: list[str], cores: int) -> list[Slot]:
    if trainer.devices > len(gpus):
        raise ConfigError(
            f"trainer.devices={trainer.devices}, but {len(gpus)} GPU(s) are visible here "
            f"({', '.join(gpus)}); use trainer.devices=1 to {len(gpus)}"
        )
    whole = len(gpus) // trainer.devices
    groups = [tuple(gpus[i * trainer.devices : (i + 1) * trainer.devices]) for i in range(whole)]
    slots = min(trainer.parallel or whole, runs)
    threads = trainer.threads or max(1, cores // (slots * trainer.devices))
    # More slots than groups of GPUs: several runs share a card that one does not fill.
    return [Slot("gpu", groups[i % whole], trainer.devices, threads) for i in range(slots)]
