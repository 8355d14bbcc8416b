import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from commands import (
    Interrupted,
    checkpoint,
    folder_of,
    has_begun,
    kill_process_of,
    numbers,
    numbers_of,
    records,
)

from ablations.config import Accelerator, Job, Trainer
from ablations.errors import MORE_MEMORY
from ablations.launch import COMMAND
from ablations.launch import pool as module
from ablations.launch.devices import allocate, take
from ablations.launch.pool import Pool, RunState, tail
from ablations.launch.worker import LOG
from ablations.record import Record, load

AUTO = Trainer(threads=1)


def unwatched(states: list[RunState]) -> None:
    pass


class FakeProcess:
    """A run that ends after as many polls as its seed, with its record or a failure."""

    log: list[str] = []  # noqa: RUF012
    fails: int | None = None
    record: Record

    def __init__(self, target, args) -> None:
        self.folder = args[0]
        self.sentinel, self.pid = id(self), 2**30
        self.code = None

    def terminate(self) -> None:
        pass

    def join(self, timeout: float | None = None) -> None:
        pass

    def start(self) -> None:
        self.job = Job.load(self.folder)
        self.left = 1 + self.job.run.seed
        self.log.append(f"start {self.job.run.seed}")

    @property
    def exitcode(self) -> int | None:
        self.left -= 1
        if self.left <= 0 and self.code is None:
            self.code = self.end()
        return self.code

    def end(self) -> int:
        run = self.job.run
        self.log.append(f"end {run.seed}")
        if run.seed == self.fails:
            (self.folder / LOG).write_text("\n".join(f"line {n}" for n in range(100)))
            return 1
        if not self.job.fast_dev_run:
            values = {"run_id": run.run_id, "differences": run.differences, "seed": run.seed}
            replace(self.record, **values).save(self.folder)
        return 0


@pytest.fixture
def fakes(monkeypatch, record):
    """Replace processes; a call sets the number of cores and the seed of the run that fails."""

    def fakes(cores: int, fails: int | None = None) -> list[str]:
        monkeypatch.setattr(FakeProcess, "fails", fails)
        monkeypatch.setattr(FakeProcess, "record", record, raising=False)
        FakeProcess.log = []
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
        monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
        monkeypatch.setattr(module._context, "Process", FakeProcess, raising=False)
        monkeypatch.setattr(module, "wait", lambda sentinels, timeout: None)
        return FakeProcess.log

    return fakes


@pytest.mark.parametrize(
    ("chosen", "seen"), [({}, module.SPINS), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_waiting_threads_of_runs_spin_only_briefly(chosen, seen, monkeypatch):
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


def test_slots_are_filled_in_order_as_they_come_free(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=2)
    states = Pool(runs_dir, unwatched).run([tiny_job(seed=seed) for seed in (4, 0, 1, 2)])
    assert log[:4] == ["start 4", "start 0", "end 0", "start 1"]
    assert [word for word in log if "start" in word] == [f"start {n}" for n in (4, 0, 1, 2)]
    assert [state.status for state in states] == ["finished"] * 4
    assert [state.record.run_id for state in states if state.record] == [
        state.job.run.run_id for state in states
    ]


def test_a_run_waits_for_a_device_that_another_command_holds(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=1)
    taken = take(allocate(AUTO))
    assert taken is not None
    seen = []

    def watch(states: list[RunState]) -> None:
        seen.append((states[0].status, states[0].awaits))
        if len(seen) == 3:
            assert log == []
            taken[1].close()

    Pool(runs_dir, watch).run([tiny_job(seed=2, trainer=AUTO)])
    assert seen[:3] == [("waiting", "core")] * 3
    assert {awaits for status, awaits in seen if status != "waiting"} == {""}
    assert log == ["start 2", "end 2"]
    taken = take(allocate(AUTO))  # nothing is held afterwards
    assert taken is not None
    with pytest.raises(SystemExit):  # a waiting command can be stopped
        Pool(runs_dir, lambda states: os.kill(os.getpid(), signal.SIGINT)).run([tiny_job()])
    assert log == ["start 2", "end 2"]


def test_a_run_that_fails_shows_its_tail_and_the_others_continue(fakes, tiny_job, runs_dir: Path):
    fakes(cores=1, fails=1)
    seen: list[list[str]] = []

    def watch(states: list[RunState]) -> None:
        seen.append([state.status for state in states])

    states = Pool(runs_dir, watch).run([tiny_job(seed=seed) for seed in (1, 0)])
    assert [state.status for state in states] == ["failed", "finished"]
    assert states[0].tail.splitlines() == [f"line {n}" for n in range(85, 100)]
    assert ["failed", "waiting"] in seen or ["failed", "running"] in seen  # at once


KILLED = "error: process of the run: ended by SIGKILL, perhaps for lack of memory"


@pytest.mark.parametrize(
    ("exitcode", "log", "last"),
    [
        (-11, "a line", "error: process of the run: ended by SIGSEGV"),
        (-9, "a line", f"{KILLED}; next step: {MORE_MEMORY}"),
        (3, "", "error: process of the run: exit code 3"),
        (1, "ValueError: its own words", "ValueError: its own words"),
    ],
)
def test_the_tail_says_how_a_process_ended_unless_the_log_has_the_error(
    exitcode, log, last, tmp_path: Path
):
    (tmp_path / LOG).write_text(log)
    assert tail(tmp_path, exitcode).splitlines()[-1] == last


@pytest.mark.parametrize("name", [None, "config.yaml"])
def test_a_run_that_cannot_start_has_failed_and_the_others_continue(
    name, fakes, tiny_job, runs_dir: Path
):
    fakes(cores=1)
    jobs = [tiny_job(seed=seed) for seed in (0, 1)]
    path = runs_dir / jobs[0].run.run_id
    if name is None:
        path.touch()
    else:
        path = path / name
        path.mkdir(parents=True)
    states = Pool(runs_dir, unwatched).run(jobs)
    assert [state.status for state in states] == ["failed", "finished"]
    assert states[0].tail.startswith(f"error: {path}: ")
    assert "\n" not in states[0].tail


def test_a_server_whose_command_has_ended_imports_nothing():
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('torch' in sys.modules))\n"
        "import ablations.launch.preload\n"
    )
    environment = {**os.environ, COMMAND: "1234567890"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_runs_with_other_hardware_settings_share_the_machine(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=4)
    two = Trainer(Accelerator.cpu, devices=2, threads=1)
    jobs = [tiny_job(seed=1), tiny_job(seed=2, trainer=two), tiny_job(seed=3, trainer=two)]
    Pool(runs_dir, unwatched).run(jobs)
    assert log == ["start 1", "start 2", "end 1", "start 3", "end 2", "end 3"]


def test_no_run_begins_after_the_deadline(fakes, tiny_job, runs_dir: Path):
    log = fakes(cores=1)
    (state,) = Pool(runs_dir, unwatched, deadline=time.monotonic() - 1).run([tiny_job()])
    assert (state.status, log) == ("waiting", [])


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
    assert capsys.readouterr().err == "Interrupted. Run the same command to resume.\n"
    assert "end 1" not in log
    assert signal.getsignal(number) is before


# Several commands or runs at once


@pytest.mark.slow
@pytest.mark.usefixtures(
    "finished"
)  # trains in this process, where Lightning sets environment variables
def test_a_sweep_that_loses_a_process_ends_with_the_numbers_of_runs_alone(
    start, tiny, tiny_config, tiny_job, train_here
):
    recipe = replace(tiny_config.recipe, epochs=40)
    alone = [load(train_here(tiny_job(seed=seed, recipe=recipe))) for seed in (0, 1)]
    # Results depend on the number of threads, which must not depend on other runs.
    free = [word for word in tiny if not word.startswith("trainer.threads")]
    steps = ("recipe.epochs=40", "trainer.checkpoint_steps=1")
    words = ("-m", *free, "seed=0,1", "trainer.parallel=2", "output=swept", *steps)
    broken = start(*words)
    broken.wait_until(has_begun(seed=1, output="swept"))
    folder = folder_of(seed=1, output="swept")
    assert folder is not None
    kill_process_of(folder)
    assert broken.finish().code == 1
    assert "1 of 2 runs failed" in broken.err
    assert 0 < checkpoint(folder)["global_step"] < 120
    assert list(records("swept")) == [0]  # the other run continued
    before = Interrupted(folder)
    again = start(*words).finish()
    assert again.code == 0, again.err
    before.assert_continued(40)
    assert numbers("swept") == {one.seed: numbers_of(one) for one in alone if one}
