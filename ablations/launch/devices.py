"""Which devices this machine has, and how the runs of a sweep share them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import pynvml

from ablations.config import Accelerator, ConfigError, Job, Precision, Trainer
from ablations.data.executors import cpu_cores, cpu_flags, physical_cores
from ablations.launch.nodes import Place

# From this crop on a step is long enough for several threads to pay, in pixels.
LARGE_CROP = 128


@dataclass(frozen=True)
class Slot:
    """What one run at a time may use.

    Attributes:
        accelerator: ``cpu`` or ``gpu``.
        gpus: Values for ``CUDA_VISIBLE_DEVICES``, empty on a CPU.
        processes: Processes that train a run together.
        place: Which of several nodes this is, and where they meet; none on one.
    """

    accelerator: str
    gpus: tuple[str, ...]
    processes: int
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


def threads_for(trainer: Trainer, crop: int) -> int:
    """Choose the CPU threads of each process of a run; other runs never change the number.

    Results depend on it in the order of floating-point sums.

    Args:
        trainer: Its ``threads`` wins if it is set.
        crop: Height and width of the network's inputs, in pixels.
    """
    if trainer.threads:
        return trainer.threads
    if trainer.slurm.submit:  # the cores of this machine are not those of the nodes
        cores = trainer.slurm.cpus * trainer.devices
        gpus = trainer.devices if trainer.accelerator is Accelerator.gpu else 0
    else:
        cores, gpus = physical_cores(), len(visible_gpus())
    if gpus and trainer.accelerator is not Accelerator.cpu:
        return max(1, cores // gpus)
    return 1 if crop < LARGE_CROP else max(1, cores // trainer.devices)


def slow_precision(jobs: Iterable[Job]) -> str:
    """Return a warning for jobs in bf16 on a CPU that would emulate it; empty if there is none."""
    flags = cpu_flags()
    if not flags or any("bf16" in flag for flag in flags):
        return ""
    gpus = bool(visible_gpus())
    for job in jobs:
        trainer = job.trainer
        on_cpu = trainer.accelerator is Accelerator.cpu or not gpus
        if job.run.recipe.precision is Precision.bf16 and on_cpu and not trainer.slurm.submit:
            return (
                "recipe.precision=bf16: this CPU has no bf16 instructions (avx512_bf16, amx_bf16); "
                "a step takes several times as long as in float32; next step: another machine, or "
                "recipe.precision=fp32, which is another run"
            )
    return ""


def allot(trainer: Trainer, runs: int) -> list[Slot]:
    """Divide the machine into slots for ``runs`` runs.

    Raises:
        ConfigError: The machine does not have what ``trainer`` asks for.
    """
    gpus, cores = visible_gpus(), cpu_cores()
    if trainer.num_nodes > 1:
        runs = 1  # nodes that train a run together have one at a time
    accelerator = trainer.accelerator
    if accelerator is Accelerator.gpu and not gpus:
        raise ConfigError(
            "trainer.accelerator=gpu, but no GPU is visible here; use trainer=cpu, or check "
            "`nvidia-smi` and CUDA_VISIBLE_DEVICES"
        )
    if gpus and accelerator is not Accelerator.cpu:
        return _gpu_slots(trainer, runs, gpus)
    if accelerator is Accelerator.auto and trainer.devices > cores:
        raise ConfigError(
            f"trainer.devices={trainer.devices}, but this machine has no GPU, and its {cores} CPU "
            f"cores can stand in for at most {cores}; use trainer.devices=1 to {cores}, or "
            "trainer.accelerator=cpu to crowd more processes onto the cores"
        )
    threads = trainer.threads or 1
    slots = min(trainer.parallel or max(1, cores // (trainer.devices * threads)), runs)
    return [Slot("cpu", (), trainer.devices)] * slots


def _gpu_slots(trainer: Trainer, runs: int, gpus: list[str]) -> list[Slot]:
    if trainer.devices > len(gpus):
        raise ConfigError(
            f"trainer.devices={trainer.devices}, but {len(gpus)} GPU(s) are visible here "
            f"({', '.join(gpus)}); use trainer.devices=1 to {len(gpus)}"
        )
    whole = len(gpus) // trainer.devices
    groups = [tuple(gpus[i * trainer.devices : (i + 1) * trainer.devices]) for i in range(whole)]
    slots = min(trainer.parallel or whole, runs)
    # More slots than groups of GPUs: several runs share a card that one does not fill.
    return [Slot("gpu", groups[i % whole], trainer.devices) for i in range(slots)]
