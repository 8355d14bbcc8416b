import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from commands import (
    LONG,
    Interrupted,
    checkpoint,
    folder_of,
    has_begun,
    kill_process_of,
    numbers,
    records,
)

from ablations.config import Accelerator, Job, Trainer
from ablations.launch import devices
from ablations.launch import pool as module
from ablations.launch.devices import Devices
from ablations.launch.nodes import Nodes
from ablations.launch.pool import Pool, RunState
from ablations.launch.worker import LOG
from ablations.record import Record, load

AUTO = Trainer(threads=1)


def unwatched(states: list[RunState]) -> None:
    pass


class FakeProcess:
    """A run that takes as many rounds as its seed says, then leaves its record or fails."""

    log: list[str] = []  # noqa: RUF012
    gpus: list[str] = []  # noqa: RUF012
    fails: int | None = None
    record: Record | None = None

    def __init__(self, target, args) -> None:
        self.folder, slot, self.nodes, _ = args
        self.sentinel = id(self)
        self.pid = 0
        self.job = Job.load(self.folder)
        self.gpus.extend(slot.gpus)

    def start(self) -> None:
        self.left = 1 + self.job.run.seed
        self.code: int | None = None
        self.log.append(f"start {self.job.run.seed}")

    @property
    def exitcode(self) -> int | None:
        if self.code is None:
            self.left -= 1
            if self.left <= 0:
                self.code = self.end()
        return self.code

    def end(self) -> int:
        self.log.append(f"end {self.job.run.seed}")
        if self.job.run.seed == self.fails:
            (self.folder / LOG).write_text("\n".join(f"line {n}" for n in range(100)))
            return 1
        if not self.job.fast_dev_run:
            assert self.record is not None
            run = self.job.run
            replace(
                self.record, run_id=run.run_id, differences=run.differences, seed=run.seed
            ).save(self.folder)
        return 0


@pytest.fixture
def fakes(monkeypatch, record):
    """Replaces processes; calling it sets the cores of the machine and the seed that fails."""

    def fakes(cores: int, fails: int | None = None, gpus: str = "") -> list[str]:
        monkeypatch.setattr(FakeProcess, "fails", fails)
        monkeypatch.setattr(FakeProcess, "record", record)
        FakeProcess.log, FakeProcess.gpus = [], []
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
        monkeypatch.setattr(devices, "cpu_cores", lambda: cores)
        monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
        monkeypatch.setattr(module._context, "Process", FakeProcess, raising=False)
        monkeypatch.setattr(module, "wait", lambda sentinels, timeout: None)
        return FakeProcess.log

    return fakes


@pytest.mark.parametrize(
    ("chosen", "seen"), [({}, module.SPINS), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_threads_of_runs_wait_awake_for_a_moment_only(chosen, seen, monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    found = []
    monkeypatch.setattr(
        module.multiprocessing.forkserver,
        "ensure_running",
        lambda: found.append(os.environ.get("GOMP_SPINCOUNT")),
    )
    monkeypatch.setattr(module._context, "set_forkserver_preload", lambda names: None)
    module.warm_up()
    assert found == [seen]
    assert "GOMP_SPINCOUNT" not in os.environ


def test_one_slot_takes_the_runs_in_order(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=1)
    states = Pool(runs_dir, unwatched).run([tiny_job(seed=seed) for seed in (2, 0, 1)])
    assert log == ["start 2", "end 2", "start 0", "end 0", "start 1", "end 1"]
    assert [state.status for state in states] == ["finished"] * 3
    assert [state.record.run_id for state in states if state.record] == [
        state.job.run.run_id for state in states
    ]


def test_two_slots_are_filled_as_they_come_free(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=2)
    Pool(runs_dir, unwatched).run([tiny_job(seed=seed) for seed in (4, 0, 1, 2)])
    assert log[:4] == ["start 4", "start 0", "end 0", "start 1"]
    assert sorted(log) == sorted(f"{what} {n}" for n in (4, 0, 1, 2) for what in ("start", "end"))
    starts = [entry for entry in log if entry.startswith("start")]
    assert starts == ["start 4", "start 0", "start 1", "start 2"]


def test_runs_share_a_gpu_where_they_are_told_to(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=1, gpus="5,GPU-b")
    jobs = [tiny_job(seed=seed, trainer=replace(AUTO, parallel=3)) for seed in range(1, 5)]
    Pool(runs_dir, unwatched).run(jobs)
    assert log[:3] == ["start 1", "start 2", "start 3"]
    assert FakeProcess.gpus[:3] == ["5", "GPU-b", "5"]


def test_more_runs_than_cores_where_they_are_told_to(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=1)
    with_room = replace(AUTO, parallel=2)
    elsewhere = Devices(AUTO)
    assert elsewhere.take()
    Pool(runs_dir, unwatched).run([tiny_job(seed=seed, trainer=with_room) for seed in (1, 2)])
    assert log == ["start 1", "end 1", "start 2", "end 2"]  # the other slot is another command's
    elsewhere.held.clear()
    del log[:]
    Pool(runs_dir, unwatched).run([tiny_job(seed=seed, trainer=with_room) for seed in (3, 4)])
    assert log[:2] == ["start 3", "start 4"]


@pytest.mark.parametrize("gpus", ["", "0"])
def test_a_run_waits_for_a_device_that_another_command_holds(gpus, fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=1, gpus=gpus)
    elsewhere = Devices(AUTO)
    slot = elsewhere.take()
    seen = []

    def watch(states: list[RunState]) -> None:
        seen.append(states[0].status)
        if len(seen) == 3:
            assert log == []
            elsewhere.give_back(slot)

    Pool(runs_dir, watch).run([tiny_job(seed=2, trainer=AUTO)])
    assert seen[:3] == ["waiting"] * 3
    assert log == ["start 2", "end 2"]
    assert elsewhere.take()  # nothing is held afterwards


def test_who_waits_for_a_device_can_be_stopped(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=1)
    elsewhere = Devices(AUTO)
    assert elsewhere.take()
    with pytest.raises(SystemExit):
        Pool(runs_dir, lambda states: os.kill(os.getpid(), signal.SIGINT)).run([tiny_job()])
    assert log == []


@pytest.mark.parametrize("rank", [0, 1])
def test_nodes_train_one_run_after_the_other(rank, fakes, tiny_job, runs_dir: Path, monkeypatch):
    log = fakes(cores=8)
    frozen = []
    monkeypatch.setattr(Job, "save", lambda job, folder: frozen.append(job.run.seed))
    jobs = [tiny_job(seed=seed) for seed in (2, 1)]
    for job in jobs:  # as node 0 has
        (runs_dir / job.run.run_id).mkdir()
    monkeypatch.setattr(
        Job, "load", lambda folder: next(j for j in jobs if j.run.run_id == folder.name)
    )
    Pool(runs_dir, unwatched, nodes=Nodes(2, rank, "a", "1")).run(jobs)
    assert log == ["start 2", "end 2", "start 1", "end 1"]
    assert frozen == ([2, 1] if rank == 0 else [])


def test_a_run_that_fails_shows_its_tail_and_the_others_go_on(fakes, tiny_job, runs_dir: Path):
    fakes(cores=1, fails=1)
    seen: list[list[str]] = []

    def watch(states: list[RunState]) -> None:
        seen.append([state.status for state in states])

    states = Pool(runs_dir, watch).run([tiny_job(seed=seed) for seed in (1, 0)])
    assert [state.status for state in states] == ["failed", "finished"]
    assert states[0].tail.splitlines()[-1] == "line 99"
    assert len(states[0].tail.splitlines()) == 15
    assert ["failed", "waiting"] in seen or ["failed", "running"] in seen  # told at once


def test_a_process_that_dies_without_a_word_has_failed(fakes, tiny_job, runs_dir, monkeypatch):
    fakes(cores=1)
    monkeypatch.setattr(FakeProcess, "exitcode", -9)
    (state,) = Pool(runs_dir, unwatched).run([tiny_job()])
    assert (state.status, state.tail) == ("failed", "it ended before it wrote a log")


def test_a_fast_dev_run_needs_no_record_and_touches_no_run(fakes, tiny_job, runs_dir: Path):
    fakes(cores=1)
    job = tiny_job()
    Pool(runs_dir, unwatched).run([job])
    before = {path: path.read_bytes() for path in (runs_dir / job.run.run_id).iterdir()}
    (state,) = Pool(runs_dir, unwatched).run([replace(job, fast_dev_run=True)])
    assert (state.status, state.record) == ("finished", None)
    assert {path: path.read_bytes() for path in (runs_dir / job.run.run_id).iterdir()} == before
    assert load(state.folder) is None


def test_runs_on_other_hardware_follow_one_another(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=8)
    two = Trainer(Accelerator.cpu, devices=2)
    jobs = [tiny_job(seed=0), tiny_job(seed=1, trainer=two), tiny_job(seed=2)]
    Pool(runs_dir, unwatched).run(jobs)
    assert log.index("start 1") > log.index("end 2") > log.index("start 2")


def test_no_run_begins_after_the_deadline(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=1)
    (state,) = Pool(runs_dir, unwatched, deadline=time.monotonic() - 1).run([tiny_job()])
    assert (state.status, log) == ("waiting", [])


def test_progress_is_passed_on(fakes, tiny_job, runs_dir: Path):
    fakes(cores=1)
    seen = []

    def watch(states: list[RunState]) -> None:
        (states[0].folder / "progress.json").write_text('{"stage": "test"}')
        seen.append(states[0].progress)

    Pool(runs_dir, watch).run([tiny_job(seed=3)])
    assert seen[0] == {}  # not that of an earlier attempt
    assert seen[-1] == {"stage": "test"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_a_run_stops_the_rest(number, fakes, tiny_job, runs_dir: Path, capsys):
    log = fakes(cores=1)
    before = signal.getsignal(number)

    def watch(states: list[RunState]) -> None:
        if states[0].status == "finished":
            os.kill(os.getpid(), number)

    with pytest.raises(SystemExit) as stopped:
        Pool(runs_dir, watch).run([tiny_job(seed=0), tiny_job(seed=1)])
    assert stopped.value.code == 128 + number
    assert capsys.readouterr().err == "interrupted: the same command continues\n"
    assert "end 1" not in log
    assert signal.getsignal(number) is before


# Commands beside each other


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_second_command_waits_for_the_devices_of_the_first(number: int, start, tiny):
    one_core = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))
    first = start(*tiny, "recipe.epochs=5000", "seed=0", before=one_core)
    first.wait_until(has_begun(seed=0))
    second = start(*tiny, "seed=1", before=one_core)
    second.wait_until(lambda: len(list(Path("runs/.hydra").iterdir())) == 2)
    time.sleep(5)
    assert second.process.poll() is None
    assert folder_of(seed=1) is None
    first.process.send_signal(number)
    assert second.finish(60).code == 0, second.err
    assert list(records()) == [1]


# Threads: results depend on their number, and hence on nothing that runs beside


def free(words: tuple[str, ...]) -> list[str]:
    """Without a number of threads."""
    return [word for word in words if not word.startswith("trainer.threads")]


def finish(command) -> None:
    assert command.finish().code == 0, command.err


@pytest.mark.slow
def test_a_run_beside_another_gives_what_it_gives_alone(start, tiny):
    for seed in (0, 1):
        finish(start(*free(tiny), f"seed={seed}", "output=alone"))
    finish(start("-m", *free(tiny), "seed=0,1", "trainer.parallel=2", "output=beside"))
    assert sorted(numbers("alone")) == [0, 1]
    assert numbers("alone") == numbers("beside")


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [((), ()), (("2",), ("1",))], ids=["same", "threads"])
def test_a_sweep_that_loses_a_process_ends_with_the_numbers_of_one_that_does_not(
    first: tuple[str, ...], then: tuple[str, ...], start, tiny
):
    words = ("-m", *free(tiny), "seed=0,1", "trainer.parallel=2", *LONG, "recipe.epochs=40")
    first, then = ([f"trainer.threads={n}" for n in threads] for threads in (first, then))
    finish(start(*words, *first, "output=whole"))
    broken = start(*words, *first)
    broken.wait_until(has_begun(seed=1))
    folder = folder_of(seed=1)
    assert folder is not None
    kill_process_of(folder)
    assert broken.finish().code == 1
    assert load(folder) is None
    assert 0 < checkpoint(folder)["global_step"] < 120
    assert list(records()) == [0]  # it has gone on alone
    before = Interrupted(folder)
    finish(start(*words, *then))
    before.assert_continued(40)
    assert {record.hardware.threads for record in records().values()} == {2 if first else 1}
    assert numbers() == numbers("whole")
