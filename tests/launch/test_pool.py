import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ablations.config import Accelerator, Job, Trainer
from ablations.launch import pool as module
from ablations.launch.devices import Slot
from ablations.launch.nodes import Place
from ablations.launch.pool import Pool, RunState
from ablations.launch.worker import LOG
from ablations.record import CHECKPOINT, Record, load, load_all

SLOT = Slot("cpu", (), 1)


class FakeProcess:
    """A run that takes as many rounds as its seed says, then leaves its record or fails."""

    log: list[str] = []  # noqa: RUF012
    fails: int | None = None
    record: Record | None = None

    def __init__(self, target, args) -> None:
        self.folder, self.slot, self.wandb_mode = args
        self.sentinel = id(self)
        self.pid = 0
        self.job = Job.load(self.folder)

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
    """Replaces processes; calling it sets the number of slots and the seed that fails."""

    def fakes(slots: int, fails: int | None = None) -> list[str]:
        monkeypatch.setattr(FakeProcess, "fails", fails)
        monkeypatch.setattr(FakeProcess, "record", record)
        FakeProcess.log = []
        monkeypatch.setattr(module, "allot", lambda trainer, runs: [SLOT] * min(slots, runs))
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
    log = fakes(slots=1)
    states = Pool(runs_dir, lambda states: None).run([tiny_job(seed=seed) for seed in (2, 0, 1)])
    assert log == ["start 2", "end 2", "start 0", "end 0", "start 1", "end 1"]
    assert [state.status for state in states] == ["finished"] * 3
    assert [state.record.run_id for state in states if state.record] == [
        state.job.run.run_id for state in states
    ]


def test_two_slots_are_filled_as_they_come_free(fakes, tiny_job, runs_dir: Path):
    log = fakes(slots=2)
    Pool(runs_dir, lambda states: None).run([tiny_job(seed=seed) for seed in (4, 0, 1, 2)])
    assert log[:4] == ["start 4", "start 0", "end 0", "start 1"]
    assert sorted(log) == sorted(f"{what} {n}" for n in (4, 0, 1, 2) for what in ("start", "end"))
    starts = [entry for entry in log if entry.startswith("start")]
    assert starts == ["start 4", "start 0", "start 1", "start 2"]


def test_a_run_that_fails_shows_its_tail_and_the_others_go_on(fakes, tiny_job, runs_dir: Path):
    fakes(slots=1, fails=1)
    seen: list[list[str]] = []

    def watch(states: list[RunState]) -> None:
        seen.append([state.status for state in states])

    states = Pool(runs_dir, watch).run([tiny_job(seed=seed) for seed in (1, 0)])
    assert [state.status for state in states] == ["failed", "finished"]
    assert states[0].tail.splitlines()[-1] == "line 99"
    assert len(states[0].tail.splitlines()) == 15
    assert ["failed", "waiting"] in seen or ["failed", "running"] in seen  # told at once


def test_a_process_that_dies_without_a_word_has_failed(fakes, tiny_job, runs_dir, monkeypatch):
    fakes(slots=1)
    monkeypatch.setattr(FakeProcess, "exitcode", -9)
    (state,) = Pool(runs_dir, lambda states: None).run([tiny_job()])
    assert (state.status, state.tail) == ("failed", "it ended before it wrote a log")


def test_a_fast_dev_run_needs_no_record_and_touches_no_run(fakes, tiny_job, runs_dir: Path):
    fakes(slots=1)
    job = tiny_job()
    Pool(runs_dir, lambda states: None).run([job])
    before = {path: path.read_bytes() for path in (runs_dir / job.run.run_id).iterdir()}
    (state,) = Pool(runs_dir, lambda states: None).run([replace(job, fast_dev_run=True)])
    assert (state.status, state.record) == ("finished", None)
    assert {path: path.read_bytes() for path in (runs_dir / job.run.run_id).iterdir()} == before
    assert load(state.folder) is None


def test_runs_on_other_hardware_follow_one_another(fakes, tiny_job, runs_dir: Path):
    log = fakes(slots=8)
    two = Trainer(Accelerator.cpu, devices=2)
    jobs = [tiny_job(seed=0), tiny_job(seed=1, trainer=two), tiny_job(seed=2)]
    Pool(runs_dir, lambda states: None).run(jobs)
    assert log.index("start 1") > log.index("end 2") > log.index("start 2")


def test_no_run_begins_after_the_deadline(fakes, tiny_job, runs_dir: Path):
    log = fakes(slots=1)
    pool = Pool(runs_dir, lambda states: None, deadline=time.monotonic() - 1)
    (state,) = pool.run([tiny_job()])
    assert (state.status, log) == ("waiting", [])


def test_progress_is_passed_on(fakes, tiny_job, runs_dir: Path):
    fakes(slots=1)
    seen = []

    def watch(states: list[RunState]) -> None:
        (states[0].folder / "progress.json").write_text('{"stage": "test"}')
        seen.append(states[0].progress)

    Pool(runs_dir, watch).run([tiny_job(seed=3)])
    assert seen[0] == {}  # not that of an earlier attempt
    assert seen[-1] == {"stage": "test"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_handlers_are_given_back(number: int, fakes, tiny_job, runs_dir: Path):
    fakes(slots=1)
    before = signal.getsignal(number)
    Pool(runs_dir, lambda states: None).run([tiny_job()])
    assert signal.getsignal(number) is before


def test_a_signal_before_a_run_stops_the_rest(fakes, tiny_job, runs_dir: Path, capsys):
    log = fakes(slots=1)

    def watch(states: list[RunState]) -> None:
        if states[0].status == "finished" and threading.current_thread() is threading.main_thread():
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as stopped:
        Pool(runs_dir, watch).run([tiny_job(seed=0), tiny_job(seed=1)])
    assert stopped.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "interrupted: the same command continues\n"
    assert "end 1" not in log


class FakeTeam:
    """Node 0 of two; the other node has trouble with a seed."""

    def __init__(self, fails: int | None = None) -> None:
        self.fails, self.trouble, self.code, self.asked = fails, [], 0, 0
        self.log: list[str] = []

    def ready(self) -> bool:
        self.asked += 1
        return self.asked > 3  # the other node is late

    def poll(self) -> None:
        if self.log and self.log[-1] == f"announce {self.fails}":
            self.trouble = ["node 1: ZeroDivisionError"]

    def announce(self, folder: Path, accelerator: str) -> Place:
        self.trouble = []
        self.log.append(f"announce {Job.load(folder).run.seed}")
        return Place(2, 0, "a", 1)

    def conclude(self) -> str:
        self.log.append("conclude")
        return "\n".join(self.trouble)


def test_runs_on_several_nodes_are_announced_and_concluded(fakes, tiny_job, runs_dir: Path):
    log = fakes(slots=1)
    team = FakeTeam()
    jobs = [tiny_job(seed=seed) for seed in (0, 1)]
    Pool(runs_dir, lambda states: None, team=team).run(jobs)
    assert team.log == ["announce 0", "conclude", "announce 1", "conclude"]
    assert log == ["start 0", "end 0", "start 1", "end 1"]
    assert (team.asked, team.code) == (5, 0)


def test_trouble_on_another_node_ends_the_run_here(fakes, tiny_job, runs_dir, monkeypatch):
    fakes(slots=1)
    team = FakeTeam(fails=1000)

    def end(processes) -> None:
        for process in processes:
            process.code = -15

    monkeypatch.setattr(module, "end", end)
    jobs = [tiny_job(seed=seed) for seed in (1000, 0)]
    states = Pool(runs_dir, lambda states: None, team=team).run(jobs)
    assert [state.status for state in states] == ["failed", "finished"]
    assert states[0].tail.endswith("node 1: ZeroDivisionError")
    assert team.code == 1  # that of the other nodes' commands


# Threads: results depend on their number, and hence on nothing that runs beside


def numbers(output: str) -> dict[int, dict[str, Any]]:
    """By seed, all of the records but times and where they are from."""
    found = {}
    for record in load_all(Path(output)):
        values = asdict(record)
        for name in ("seconds", "evaluation_seconds", "images_per_second", "provenance"):
            del values[name]
        for point in values["curve"]:
            del point["seconds"]
        found[record.seed] = values
    return found


def plain(words: tuple[str, ...]) -> list[str]:
    """Without a number of threads."""
    return [word for word in words if not word.startswith("trainer.threads")]


def kill_worker(output: str, seed: int) -> Path:
    """End the process of a run as a system out of memory does; returns the run's folder."""
    (folder,) = (
        path.parent
        for path in Path(output).resolve().glob("*/config.yaml")
        if Job.load(path.parent).run.seed == seed
    )
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "fd" / "1").resolve() == folder / LOG:  # a run writes into its log
                os.kill(int(entry.name), signal.SIGKILL)
    return folder


def has_checkpoint(output: str, seed: int) -> bool:
    folders = [path.parent for path in Path(output).glob(f"*/{CHECKPOINT}")]
    return any(Job.load(folder).run.seed == seed for folder in folders)


@pytest.mark.slow
def test_a_run_beside_another_gives_what_it_gives_alone(start, tiny):
    for seed in (0, 1):
        alone = start(*plain(tiny), f"seed={seed}", "output=alone").finish()
        assert alone.code == 0, alone.err
    beside = start(*plain(tiny), "-m", "seed=0,1", "trainer.parallel=2", "output=beside").finish()
    assert beside.code == 0, beside.err
    assert sorted(numbers("alone")) == [0, 1]
    assert numbers("alone") == numbers("beside")


# Long enough to be killed in the middle.
LONG = ("-m", "seed=0,1", "trainer.parallel=2", "trainer.checkpoint_steps=1", "recipe.epochs=40")


@pytest.mark.slow
def test_a_sweep_that_loses_a_process_ends_with_the_numbers_of_one_that_does_not(start, tiny):
    whole = start(*plain(tiny), *LONG, "output=whole").finish()
    assert whole.code == 0, whole.err
    broken = start(*plain(tiny), *LONG, "output=broken")
    broken.wait_until(lambda: has_checkpoint("broken", seed=1))
    folder = kill_worker("broken", seed=1)
    assert broken.finish().code == 1
    assert load(folder) is None
    assert 0 < torch.load(folder / CHECKPOINT, weights_only=False)["global_step"] < 120
    assert sorted(numbers("broken")) == [0]  # it has gone on alone
    again = start(*plain(tiny), *LONG, "output=broken").finish()
    assert again.code == 0, again.err
    assert sorted(numbers("broken")) == [0, 1]
    assert numbers("broken") == numbers("whole")


@pytest.mark.slow
def test_a_run_that_goes_on_with_other_threads_gives_the_numbers_of_its_start(start, tiny):
    words = (*plain(tiny), *LONG, "output=broken")
    whole = start(*plain(tiny), *LONG, "trainer.threads=2", "output=whole").finish()
    assert whole.code == 0, whole.err
    broken = start(*words, "trainer.threads=2")
    broken.wait_until(lambda: has_checkpoint("broken", seed=1))
    kill_worker("broken", seed=1)
    assert broken.finish().code == 1
    again = start(*words, "trainer.threads=1").finish()
    assert again.code == 0, again.err
    assert {seed: values["hardware"]["threads"] for seed, values in numbers("broken").items()} == {
        0: 2,
        1: 2,
    }
    assert numbers("broken") == numbers("whole")
