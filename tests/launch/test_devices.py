import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import pynvml
import pytest

from ablations.config import Accelerator, ConfigError, Slurm, Trainer
from ablations.launch import devices as module
from ablations.launch.devices import Slot, allocate, threads_for, visible_gpus

Machine = Callable[[int, int], None]
CPU = Accelerator.cpu


@pytest.fixture
def machine(monkeypatch) -> Machine:
    """Pretend to have the given numbers of GPUs and cores."""

    def machine(gpus: int, cores: int) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: gpus)
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
        monkeypatch.setattr(module, "physical_cores", lambda: cores // 2)

    return machine


def _no_driver() -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", _no_driver)
    assert visible_gpus() == []


def test_a_mac_trains_on_its_cores(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", _no_driver)
    monkeypatch.delattr(os, "sched_getaffinity")  # Linux's
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    slots = allocate(Trainer())
    assert ({slot.gpus for slot in slots}, len(slots)) == ({()}, 8)
    assert (threads_for(Trainer(), 24), threads_for(Trainer(), 224)) == (1, 8)
    with pytest.raises(ConfigError, match=r"no GPU is visible; .* use trainer=cpu"):
        allocate(Trainer(Accelerator.gpu))


@pytest.mark.parametrize(
    ("value", "names"),
    [("", []), ("-1", []), ("0, 2", ["0", "2"]), ("GPU-a", ["GPU-a"])],
)
def test_chosen_gpus_are_the_visible_ones(value: str, names: list[str], machine, monkeypatch):
    machine(8, 16)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == names


# The slots of a machine


@pytest.mark.parametrize(
    ("gpus", "trainer", "slots"),
    [
        (8, Trainer(), list("01234567")),
        (8, Trainer(devices=3), ["012", "345"]),  # GPUs that no run fills stay free
        (8, Trainer(parallel=2), list("01234567")),
        (2, Trainer(parallel=3), ["0", "1", "0"]),  # several runs share a GPU
        (4, Trainer(devices=2, parallel=4), ["01", "23", "01", "23"]),
    ],
)
def test_gpus_are_shared_out(gpus, trainer, slots, machine):
    machine(gpus, 32)
    found = allocate(trainer)
    assert ["".join(slot.gpus) for slot in found] == slots
    assert_disjoint(found)


@pytest.mark.parametrize(
    ("gpus", "cores", "trainer", "slots"),
    [
        (8, 4, Trainer(CPU), 4),  # on request where there are GPUs
        (0, 8, Trainer(devices=2), 4),
        (0, 8, Trainer(threads=3), 2),
        (0, 8, Trainer(threads=16), 1),
        (0, 2, Trainer(parallel=5), 5),  # more runs than cores
        (0, 2, Trainer(CPU, devices=8), 1),  # several processes per core
    ],
)
def test_cores_are_shared_out(gpus, cores, trainer, slots, machine):
    machine(gpus, cores)
    found = allocate(trainer)
    assert len(found) == slots
    assert {slot.gpus for slot in found} == {()}
    assert_disjoint(found)


def assert_disjoint(slots) -> None:
    names = list(chain.from_iterable(slot.names for slot in slots))
    assert len(names) == len(set(names)) >= len(slots)


@pytest.mark.parametrize(
    ("gpus", "trainer", "message"),
    [
        (1, Trainer(devices=8), r"trainer.devices=8: .* 1 GPU.* trainer.devices=1 to 1$"),
        (
            0,
            Trainer(devices=8),
            r"trainer.devices=8: .* 2 CPU cores; .* trainer.devices=1 to 2, or trainer.accel",
        ),
        (0, Trainer(Accelerator.gpu), "trainer.accelerator=gpu: .*nvidia-smi.* trainer=cpu$"),
    ],
)
def test_what_the_machine_does_not_have(gpus, trainer, message, machine):
    machine(gpus, 2)
    with pytest.raises(ConfigError, match=message):
        allocate(trainer)


# Several runs at once


@pytest.fixture
def take() -> Iterator[Callable[[list[Slot]], list[Slot]]]:
    """Takes a slot of each argument, until the end of the test."""
    with ExitStack() as held:

        def take(*slots: list[Slot]) -> list[Slot]:
            taken = [module.take(one) for one in slots]
            for found in filter(None, taken):
                held.enter_context(found[1])
            return [found[0] for found in filter(None, taken)]

        yield take


def test_slurm_allocates_the_devices_of_several_nodes(machine, take):
    machine(0, 2)
    slots = allocate(Trainer(Accelerator.gpu, devices=8, num_nodes=2))
    assert [slot.gpus for slot in take(slots)] == [None]
    assert take(slots) == []  # one run at a time


@pytest.mark.parametrize("gpus", [0, 2])
def test_two_runs_never_have_one_device(gpus, machine, take):
    machine(gpus, 2)
    slots = allocate(Trainer())
    taken = module.take(slots)
    assert taken is not None
    assert len(take(slots)) == 1
    assert take(slots, allocate(Trainer(devices=2))) == []
    taken[1].close()
    assert take(slots) == [taken[0]]


def test_commands_on_other_cores_do_not_wait_for_each_other(machine, monkeypatch, take):
    machine(0, 2)
    take(allocate(Trainer()))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    assert take(allocate(Trainer())) == []
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1})
    assert take(allocate(Trainer())) != []


@pytest.mark.parametrize("place", ["", "/nowhere/1000"])
def test_a_place_for_locks_that_is_not_there(place, machine, monkeypatch, tmp_path: Path, take):
    machine(0, 1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", place)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert take(allocate(Trainer()))
    assert list(tmp_path.rglob("*.lock"))


def test_a_job_of_slurm_shares_its_devices_with_nobody_else(machine, monkeypatch, take):
    machine(0, 1)
    slots = allocate(Trainer())
    assert take(slots)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert take(slots)
    assert not take(slots)


# CPU threads of each process

CLUSTER = Slurm(submit=True, cpus=6)


@pytest.mark.parametrize(
    ("gpus", "cores", "trainer", "crop", "threads"),
    [
        (0, 16, Trainer(), 127, 1),
        (0, 16, Trainer(), 128, 8),
        (0, 16, Trainer(devices=3), 128, 2),
        (0, 16, Trainer(CPU, devices=20), 128, 1),
        (0, 16, Trainer(threads=3), 224, 3),
        (2, 16, Trainer(), 24, 4),  # each GPU has its share of the physical cores
        (16, 8, Trainer(), 24, 1),
        (16, 8, Trainer(CPU), 24, 1),  # unused GPUs do not matter
        # A SLURM job has the requested cores for each of its devices.
        (0, 64, Trainer(Accelerator.gpu, slurm=CLUSTER), 24, 6),
        (0, 64, Trainer(slurm=CLUSTER), 24, 1),  # it has no GPU
        (0, 64, Trainer(CPU, devices=2, slurm=CLUSTER), 224, 6),
    ],
)
def test_threads(gpus, cores, trainer, crop, threads, machine):
    machine(gpus, cores)
    assert threads_for(trainer, crop) == threads
