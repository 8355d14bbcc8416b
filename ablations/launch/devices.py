"""Which devices this machine has, and how the runs of a sweep share them."""

import os
from dataclasses import dataclass

import pynvml

from ablations.config import Accelerator, ConfigError, Trainer
from ablations.data.executors import cpu_cores
from ablations.launch.nodes import Place


@dataclass(frozen=True)
class Slot:
    """What one run at a time may use.

    Attributes:
        accelerator: ``cpu`` or ``gpu``.
        gpus: Values for ``CUDA_VISIBLE_DEVICES``, empty on a CPU.
        processes: Processes that train a run together.
        threads: CPU threads of each process.
        place: Which of several nodes this is, and where they meet; none on one.
    """

    accelerator: str
    gpus: tuple[str, ...]
    processes: int
    threads: int
    place: Place | None = None


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


def allot(trainer: Trainer, runs: int) -> list[Slot]:
    """Divide the machine into slots for ``runs`` runs.

    Raises:
        ConfigError: The machine does not have what ``trainer`` asks for.
    """
    gpus, cores = visible_gpus(), cpu_cores()
    if trainer.nodes > 1:
        runs = 1  # nodes that train a run together have one at a time
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
