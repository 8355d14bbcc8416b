"""Runs on several processes, and how commands end, with gloo on the CPU in place of GPUs."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import (
    LONG,
    Interrupted,
    breaking,
    checkpoint,
    epoch,
    folder_of,
    has_begun,
    hook,
    numbers,
    records,
)
from rich.console import Console

from ablations.config import Accelerator, Job, Trainer
from ablations.launch.start import start as start_runs
from ablations.record import Record


def finish(command) -> None:
    assert command.finish().code == 0, command.out + command.err
    assert not command.left_over(5)


@pytest.mark.slow
def test_a_sweep_on_two_devices_agrees_with_one_device(start, tiny, record: Record, finished: Path):
    # The number of devices is not part of a run, so the first of the three is used.
    words = ("-m", *tiny, "seed=0,1", "trainer.devices=2,1,2", "hydra.job.chdir=true")
    finish(start(*words))
    found = records()
    assert {seed: one.hardware.devices for seed, one in found.items()} == {0: 2, 1: 2}
    assert {path.name for path in Path().iterdir()} == {"runs"}
    two = found[0]
    assert two.run_id == record.run_id == Job.load(Path("runs") / two.run_id).run.run_id
    assert [point.train.count for point in two.curve] == [48, 48]
    assert {view: scores.count for view, scores in two.test.items()} == {
        "center": 23,
        "ten_view": 23,
    }
    for view in ("center", "ten_view"):
        assert abs(record.test[view].top1 - two.test[view].top1) <= 1 / 23 + 1e-9
    expected, *weights = (
        checkpoint(folder)["state_dict"]
        for folder in (finished, *(Path("runs") / found[seed].run_id for seed in (0, 1)))
    )
    for name, value in expected.items():
        torch.testing.assert_close(value, weights[0][name], rtol=1e-3, atol=1e-5)
    assert not torch.equal(weights[0]["network.conv1.weight"], weights[1]["network.conv1.weight"])


@pytest.mark.slow
def test_ranks_that_fail_are_shown_and_the_next_job_runs(start, tiny):
    # Rank 0 before its first step, while rank 1 waits for it; rank 1 later; rank 1 by SIGKILL.
    when = "(rank, seed) == (0, 0) or rank == 1 and seed in (1, 2) and step >= 2"
    deed = (
        "if seed == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "            raise ArithmeticError(f'injected {seed}')"
    )
    words = ("-m", *tiny, "seed=0,1,2,3", "trainer.devices=2")
    command = start(*words, **breaking(deed, when)).finish()
    assert command.code == 1
    for said in (
        *("injected 0", "injected 1", "rank 0 failed first (exit code 1)"),
        "rank 1 failed first (ended by SIGKILL, perhaps for lack of memory)",
    ):
        assert said in command.out
    assert "3 of 4 runs failed" in command.err
    assert list(records()) == [3]
    assert not command.left_over(10)


@pytest.mark.slow
def test_what_is_stopped_leaves_no_orphan_and_the_same_command_continues(start, tiny):
    reached = 0.0
    for devices, number in ((1, signal.SIGINT), (2, signal.SIGTERM), (2, signal.SIGKILL)):
        command = start(*tiny, *LONG, f"trainer.devices={devices}")
        command.wait_until(has_begun(epochs=reached + 2))
        if number is signal.SIGKILL:
            command.process.kill()
            command.process.wait()
        else:
            os.killpg(command.process.pid, number)  # as a terminal or a service manager does
            assert command.finish(60).code == 128 + number, command.err
            assert command.err == "Interrupted. Run the same command to resume.\n"
        assert not command.left_over(5)
        folder = folder_of()
        assert folder is not None
        before, reached = Interrupted(folder), epoch(folder)
    command = start(*tiny, *LONG)
    command.wait_until(has_begun(epochs=reached + 2))
    # As part of a group: a run must not end with its fork server.
    (server,) = (
        pid
        for pid, line in command._alive().items()
        if "forkserver" in line and os.getpgid(pid) == command.process.pid
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        os.kill(server, number)
    finish(command)
    before.assert_continued(60)


@pytest.mark.slow
def test_a_server_that_still_imports_ends_with_its_command(start, tiny):
    command = start(*tiny)
    command.wait_until(folder_of)  # created right after the server was started
    command.process.kill()
    command.process.wait()
    assert not command.left_over(3)


@pytest.mark.slow
def test_ctrl_c_while_it_starts(start, tiny):
    command = start(*tiny, *LONG)
    command.wait_until(folder_of)  # its process is being started
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.finish(60).code == 130, command.err
    assert "Traceback" not in command.err
    assert not command.left_over(10)


@pytest.mark.slow
def test_sigterm_ends_everything_even_a_rank_that_is_stuck(start, tiny):
    stuck = "signal.signal(signal.SIGTERM, signal.SIG_IGN); open('stuck', 'w'); time.sleep(600)"
    command = start(*tiny, *LONG, "trainer.devices=2", **breaking(stuck))
    command.wait_until(Path("stuck").exists)
    command.process.send_signal(signal.SIGTERM)
    assert command.finish(90).code == 143, command.err
    assert not command.left_over(20)


@pytest.mark.slow
def test_two_sweeps_at_once_train_each_run_once(start, tiny):
    words = ("-m", *tiny, "seed=0,1", "trainer.devices=2", "trainer.parallel=4")
    commands = [start(*words) for _ in range(2)]
    for command in commands:
        finish(command)
        assert "finished  " in command.out  # the second command found the record
    assert sorted(records()) == [0, 1]
    tables = {command.out.partition("Test error")[2] for command in commands}
    assert len(tables) == 1
    for log in Path("runs").glob("*/log.txt"):
        assert "Traceback" not in log.read_text()


@pytest.mark.slow
def test_two_nodes_of_torchrun_train_as_two_devices_do_whatever_stops_them(
    start, tiny, tiny_config, tiny_job, port: int, runs_dir: Path, monkeypatch
):
    monkeypatch.delenv("OMP_NUM_THREADS")  # as on a node without a setting for threads
    trainer = Trainer(Accelerator.cpu, threads=1, num_nodes=2, checkpoint_steps=1)
    job = tiny_job(trainer=trainer, recipe=replace(tiny_config.recipe, epochs=30))
    console = Console(record=True)
    (state,) = start_runs(runs_dir, [job], console, print)
    (line,) = (one for one in console.export_text().splitlines() if one.startswith("torchrun "))
    words = line.replace("HOST:29500", f"127.0.0.1:{port}").split()[1:]

    def begin(**variables: str) -> list:
        program = ("-m", "torch.distributed.run")
        return [start(*words, program=program, **variables) for _ in range(2)]

    # A rank that fails ends both.
    commands = begin(**breaking("raise ArithmeticError('injected')"))
    for node in commands:
        assert node.finish(120).code == 1, node.out + node.err
        assert not node.left_over(10)
    assert "ArithmeticError: injected" in "".join(node.err for node in commands)

    # The loss of a node ends the other.
    first, lost = begin()
    first.wait_until(has_begun())
    lost.clear()  # its whole tree, with SIGKILL
    assert first.finish(120).code != 0
    assert not first.left_over(10)
    before = Interrupted(state.folder)

    # The same commands resume. A process that ends with an open connection sometimes aborts.
    look = hook(
        "import atexit, os, sys\n"
        "@atexit.register\n"
        "def look():\n"
        "    if 'torch' in sys.modules and 'RANK' in os.environ:\n"
        "        seen = sys.modules['torch'].distributed.is_initialized()\n"
        "        print(seen, file=open('seen', 'a'))\n"
    )
    for node in begin(**look):
        finish(node)
    assert Path("seen").read_text().split() == ["False", "False"]
    before.assert_continued(30)
    finish(start(*tiny, "recipe.epochs=30", "trainer.devices=2", "output=devices"))
    assert numbers() == numbers("devices")
    assert records()[0].hardware.threads == 1
