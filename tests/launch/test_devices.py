from collections.abc import Callable
from dataclasses import replace

import pynvml
import pytest

from ablations.config import Accelerator, ConfigError, Precision, Slurm, Trainer
from ablations.launch import devices
from ablations.launch.devices import Slot, allot, slow_precision, threads_for, visible_gpus

Machine = Callable[[int, int], None]


@pytest.fixture
def machine(monkeypatch) -> Machine:
    """Pretends to have so many GPUs and cores."""

    def machine(gpus: int, cores: int) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: gpus)
        monkeypatch.setattr(devices, "cpu_cores", lambda: cores)
        monkeypatch.setattr(devices, "physical_cores", lambda: cores // 2)

    return machine


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert visible_gpus() == []


@pytest.mark.parametrize(
    ("value", "names"),
    [("", []), ("-1", []), ("3", ["3"]), ("0, 2", ["0", "2"]), ("GPU-a,GPU-b", ["GPU-a", "GPU-b"])],
)
def test_chosen_gpus_are_the_visible_ones(value: str, names: list[str], machine, monkeypatch):
    machine(8, 16)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == names


def test_eight_gpus_train_eight_runs_side_by_side(machine):
    machine(8, 32)
    assert allot(Trainer(), 20) == [Slot("gpu", (str(i),), 1) for i in range(8)]


def test_eight_gpus_train_two_runs_of_four(machine):
    machine(8, 32)
    assert [slot.gpus for slot in allot(Trainer(devices=4), 5)] == [tuple("0123"), tuple("4567")]


def test_a_rest_of_gpus_that_no_run_fills_stays_free(machine):
    machine(8, 8)
    assert [slot.gpus for slot in allot(Trainer(devices=3), 5)] == [tuple("012"), tuple("345")]


def test_no_more_slots_than_runs(machine):
    machine(8, 32)
    assert len(allot(Trainer(), 2)) == 2


def test_several_runs_may_share_a_gpu(machine):
    machine(1, 8)
    assert allot(Trainer(parallel=3), 5) == [Slot("gpu", ("0",), 1)] * 3


def test_the_cpu_on_request_where_there_are_gpus(machine):
    machine(8, 4)
    assert allot(Trainer(Accelerator.cpu), 9) == [Slot("cpu", (), 1)] * 4


def test_cores_are_shared_out(machine):
    machine(0, 8)
    assert allot(Trainer(), 1) == [Slot("cpu", (), 1)]
    assert allot(Trainer(), 9) == [Slot("cpu", (), 1)] * 8
    assert allot(Trainer(devices=2), 9) == [Slot("cpu", (), 2)] * 4
    assert allot(Trainer(parallel=2), 9) == [Slot("cpu", (), 1)] * 2
    assert allot(Trainer(threads=3), 9) == [Slot("cpu", (), 1)] * 2
    assert allot(Trainer(devices=2, threads=2), 9) == [Slot("cpu", (), 2)] * 2
    assert allot(Trainer(threads=16), 9) == [Slot("cpu", (), 1)]


def test_more_devices_than_gpus(machine):
    machine(1, 64)
    with pytest.raises(ConfigError, match=r"trainer.devices=8, but 1 GPU.* trainer.devices=1 to 1"):
        allot(Trainer(devices=8), 1)


def test_more_devices_than_cores(machine):
    machine(0, 2)
    with pytest.raises(ConfigError, match=r"trainer.devices=8, but this machine has no GPU"):
        allot(Trainer(devices=8), 1)
    # Asked for by name, processes may crowd.
    assert allot(Trainer(Accelerator.cpu, devices=8), 1) == [Slot("cpu", (), 8)]


def test_a_gpu_where_there_is_none(machine):
    machine(0, 2)
    with pytest.raises(ConfigError, match="no GPU is visible here; use trainer=cpu"):
        allot(Trainer(Accelerator.gpu), 1)


def test_nodes_that_share_a_run_train_one_at_a_time(machine):
    machine(8, 32)
    assert allot(Trainer(devices=4, num_nodes=2), 5) == [Slot("gpu", tuple("0123"), 4)]
    machine(0, 8)
    assert allot(Trainer(num_nodes=2), 5) == [Slot("cpu", (), 1)]


# CPU threads of each process


@pytest.mark.parametrize("accelerator", [Accelerator.auto, Accelerator.cpu])
@pytest.mark.parametrize("parallel", [None, 1, 2, 8])
def test_small_images_are_trained_on_one_thread(accelerator, parallel, machine):
    machine(0, 16)
    assert threads_for(Trainer(accelerator, parallel=parallel), crop=127) == 1


@pytest.mark.parametrize("parallel", [None, 1, 2, 8])
def test_large_images_take_the_physical_cores_whatever_runs_beside(parallel, machine):
    machine(0, 16)
    assert threads_for(Trainer(parallel=parallel), crop=128) == 8
    assert threads_for(Trainer(parallel=parallel, devices=3), crop=128) == 2
    assert threads_for(Trainer(Accelerator.cpu, devices=20), crop=128) == 1


@pytest.mark.parametrize("crop", [24, 224])
def test_a_number_of_threads_that_is_given_wins(crop: int, machine):
    machine(0, 16)
    assert threads_for(Trainer(threads=3), crop) == 3
    machine(8, 16)
    assert threads_for(Trainer(threads=3), crop) == 3


@pytest.mark.parametrize("crop", [24, 224])
def test_each_gpu_has_its_share_of_the_physical_cores(crop: int, machine):
    machine(2, 16)
    assert threads_for(Trainer(), crop) == 4
    assert threads_for(Trainer(devices=2, parallel=2), crop) == 4
    machine(16, 8)
    assert threads_for(Trainer(), crop) == 1
    # GPUs that are not used leave the CPU as it is.
    assert threads_for(Trainer(Accelerator.cpu), 24) == 1


def test_a_job_of_slurm_has_the_cores_that_it_asks_for(machine):
    machine(0, 64)
    slurm = Slurm(submit=True, cpus=6)
    assert threads_for(Trainer(Accelerator.gpu, slurm=slurm), 24) == 6
    for accelerator in (Accelerator.auto, Accelerator.cpu):  # neither is given a GPU
        assert threads_for(Trainer(accelerator, slurm=slurm), 24) == 1
        assert threads_for(Trainer(accelerator, slurm=slurm), 224) == 6
    several = Trainer(Accelerator.cpu, devices=2, slurm=slurm)  # so many for each device
    assert threads_for(several, 224) == 6


@pytest.mark.parametrize(
    ("flags", "gpus", "precision", "warned"),
    [
        (["avx2", "avx512f"], 0, "bf16", True),
        (["avx2", "avx512f"], 0, "fp32", False),
        (["avx2", "avx512_bf16"], 0, "bf16", False),
        (["amx_bf16"], 0, "bf16", False),
        (["avx2"], 1, "bf16", False),
        ([], 0, "bf16", False),  # nothing is known of this processor
    ],
)
def test_bf16_on_a_cpu_without_it_is_warned_of(
    machine, monkeypatch, tiny_job, flags, gpus, precision, warned
):
    machine(gpus, 2)
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    job = tiny_job()
    recipe = replace(job.run.recipe, precision=Precision(precision))
    job = replace(job, run=replace(job.run, recipe=recipe), trainer=Trainer())
    assert bool(slow_precision([job])) is warned


def test_jobs_for_slurm_are_not_judged_by_the_cpu_of_this_machine(machine, monkeypatch, tiny_job):
    machine(0, 2)
    monkeypatch.setattr(devices, "cpu_flags", lambda: ["avx2"])
    job = tiny_job()
    recipe = replace(job.run.recipe, precision=Precision.bf16)
    trainer = Trainer(slurm=Slurm(submit=True))
    assert not slow_precision([replace(job, run=replace(job.run, recipe=recipe), trainer=trainer)])
