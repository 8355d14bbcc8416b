"""Several processes for one run: gloo on the CPU stands in for GPUs."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch

from ablations.callbacks import CHECKPOINT
from ablations.config import Job
from ablations.record import Record, load

pytestmark = pytest.mark.slow

LONG = ("recipe.epochs=100", "trainer.checkpoint_steps=1")

# Imported by every python that is started; only the server that forks all others is touched.
BREAKS = """
import os, sys
if "forkserver" in " ".join(sys.orig_argv):
    import signal, time
    from ablations.classifier import Classifier
    step = Classifier.training_step
    def broken(self, batch, batch_idx):
        here = os.environ.get("RANK") == "{rank}" and self.run.seed == {seed}
        if here and self.trainer.global_step >= 2:
            {deed}
        return step(self, batch, batch_idx)
    Classifier.training_step = broken
"""


def breaking(deed: str, rank: int = 1, seed: int = 0) -> dict[str, str]:
    """Environment of a command in which a rank does ``deed`` in its third step."""
    Path("breaks").mkdir(exist_ok=True)
    source = BREAKS.format(rank=rank, seed=seed, deed=deed)
    Path("breaks/sitecustomize.py").write_text(source)
    return {"PYTHONPATH": str(Path("breaks").resolve())}


def records(output: str = "runs") -> dict[int, Record]:
    """Records by seed."""
    found = [load(path.parent) for path in Path(output).glob("*/record.json")]
    return {record.seed: record for record in found if record is not None}


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / CHECKPOINT, weights_only=False)


def has_begun(output: str = "runs", epochs: float = 2.0):
    """Whether a run has a checkpoint, and has trained for some epochs."""

    def begun() -> bool:
        for path in Path(output).glob("*/progress.json"):
            state = json.loads(path.read_text())
            if state.get("epoch", 0) >= epochs and (path.parent / CHECKPOINT).exists():
                return True
        return False

    return begun


def test_one_run_on_two_devices_agrees_with_one_device(start, tiny):
    for devices in (1, 2):
        command = start(*tiny, f"trainer.devices={devices}", f"output=runs{devices}").finish()
        assert command.code == 0, command.err
    one, two = records("runs1")[0], records("runs2")[0]
    assert one.run_id == two.run_id
    assert (one.hardware.devices, two.hardware.devices) == (1, 2)
    assert [p.train.count for p in two.curve] == [48, 48]
    assert {view: scores.count for view, scores in two.test.items()} == {
        "center": 23,
        "ten_view": 23,
    }
    weights = [checkpoint(Path(f"runs{n}") / one.run_id)["state_dict"] for n in (1, 2)]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-5)
    for view in ("center", "ten_view"):
        assert abs(one.test[view].top1 - two.test[view].top1) <= 1 / 23 + 1e-9
    assert not command.left_over(5)


def test_ranks_are_forked_and_load_nothing_again(start, tiny):
    starts = Path("starts").resolve()
    starts.mkdir()
    Path("starts/sitecustomize.py").write_text(
        f"import sys\nopen({str(starts / 'argv')!r}, 'a').write(' '.join(sys.orig_argv) + '\\n')\n"
    )
    started = []
    for devices in (1, 2):
        (starts / "argv").write_text("")
        arguments = (f"trainer.devices={devices}", "trainer.threads=2", f"output=runs{devices}")
        assert start(*tiny, *arguments, PYTHONPATH=str(starts)).finish().code == 0
        started.append(len((starts / "argv").read_text().splitlines()))
        assert records(f"runs{devices}")[0].hardware.threads == 2
    assert started[0] == started[1] > 1


def test_one_two_and_one_devices_in_one_sweep(start, tiny):
    # Each device count is a job of its own; the runs differ in their seed here.
    command = start(*tiny, "-m", "seed=0,1", "trainer.devices=1,2,1").finish()
    assert command.code == 0, command.err
    assert sorted(records()) == [0, 1]
    assert "Traceback" not in command.out + command.err


def test_a_sweep_of_two_runs_on_two_ranks_each(start, tiny):
    command = start(*tiny, "-m", "seed=0,1", "trainer.devices=2", "hydra.job.chdir=true").finish()
    assert command.code == 0, command.err
    found = records()
    assert {seed: record.hardware.devices for seed, record in found.items()} == {0: 2, 1: 2}
    weights = [checkpoint(Path("runs") / r.run_id)["state_dict"] for r in found.values()]
    assert not torch.equal(weights[0]["network.conv1.weight"], weights[1]["network.conv1.weight"])
    assert {path.name for path in Path().iterdir()} == {"runs"}
    assert len([path for path in Path("runs").iterdir() if path.is_dir()]) == 2
    again = start(*tiny, "-m", "seed=0,1", "trainer.devices=2").finish()
    assert again.code == 0
    assert "2 runs, 2 finished before" in again.out
    assert again.out.partition("Test error")[2] == command.out.partition("Test error")[2]


def test_an_exception_in_a_rank_is_shown_and_the_next_job_runs(start, tiny):
    broken = breaking("raise ArithmeticError('injected')")
    command = start(*tiny, "-m", "seed=0,1", "trainer.devices=2", **broken).finish()
    assert command.code == 1
    assert re.search(r"of 2 ranks failed, rank \d first", command.out)
    assert "ArithmeticError: injected" in command.out
    assert "1 of 2 runs failed" in command.out
    assert list(records()) == [1]
    assert not command.left_over(10)


def test_a_rank_that_is_killed_ends_its_run_only(start, tiny):
    broken = breaking("os.kill(os.getpid(), signal.SIGKILL)")
    command = start(*tiny, "-m", "seed=0,1", "trainer.devices=2", **broken).finish()
    assert command.code == 1
    assert "rank 1 first (exit code -9)" in command.out
    assert "ProcessExitedException" not in command.out
    assert list(records()) == [1]
    assert not command.left_over(10)


@pytest.mark.parametrize("devices", [1, 2])
def test_ctrl_c_ends_everything_and_the_same_command_continues(devices: int, start, tiny):
    arguments = (*tiny, *LONG, f"trainer.devices={devices}")
    command = start(*arguments)
    command.wait_until(has_begun())
    stopped = time.monotonic()
    os.killpg(command.process.pid, signal.SIGINT)  # as a terminal does
    assert command.finish(120).code == 130, command.err
    assert time.monotonic() - stopped < 30
    assert not command.left_over(5)
    assert "Traceback" not in command.err
    assert records() == {}
    (folder,) = (path.parent for path in Path("runs").glob(f"*/{CHECKPOINT}"))
    kept = checkpoint(folder)["ablations"]["curve"]
    assert len(kept) >= 2
    again = start(*arguments).finish()
    assert again.code == 0, again.err
    curve = records()[0].curve
    assert len(curve) == 100
    # Training times are measured: equal ones were not measured again.
    assert [point.seconds for point in curve[: len(kept)]] == [p["seconds"] for p in kept]


def test_ctrl_c_while_it_starts(start, tiny):
    command = start(*tiny, *LONG)
    time.sleep(1.5)
    os.killpg(command.process.pid, signal.SIGINT)
    command.finish(120)
    assert command.code != 0  # which one, depends on what it was loading
    assert not command.left_over(10)


def test_sigterm_ends_everything_even_a_rank_that_is_stuck(start, tiny):
    stuck = breaking("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    command = start(*tiny, *LONG, "trainer.devices=2", **stuck)
    command.wait_until(lambda: list(Path("runs").glob(f"*/{CHECKPOINT}")))
    time.sleep(1)
    command.process.send_signal(signal.SIGTERM)
    assert command.finish(90).code == 143, command.err
    assert not command.left_over(20)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_killed_command_leaves_no_orphan_and_the_same_command_continues(
    devices: int, start, tiny
):
    arguments = (*tiny, *LONG, f"trainer.devices={devices}")
    command = start(*arguments)
    command.wait_until(has_begun())
    command.process.kill()
    command.process.wait()
    assert not command.left_over(20)
    (folder,) = (path.parent for path in Path("runs").glob(f"*/{CHECKPOINT}"))
    kept = checkpoint(folder)["ablations"]["curve"]
    assert load(folder) is None
    again = start(*arguments).finish()
    assert again.code == 0, again.err
    curve = records()[0].curve
    assert [point.seconds for point in curve[: len(kept)]] == [p["seconds"] for p in kept]
    assert len(curve) == 100


def test_two_sweeps_at_once(start, tiny):
    commands = [start(*tiny, "trainer.devices=2", f"seed={seed}", "output=runs") for seed in (0, 1)]
    for command in commands:
        assert command.finish().code == 0, command.err
    assert sorted(records()) == [0, 1]


def test_torchrun_around_the_command_is_refused(start, tiny):
    command = start(*tiny, "trainer.devices=2", RANK="0", LOCAL_RANK="0", WORLD_SIZE="2").finish()
    assert command.code == 1
    assert command.err.startswith("error: RANK=0 is set, as torchrun does; start the command once")
    assert command.err.count("\n") == 1


def test_the_frozen_run_is_what_the_ranks_read(start, tiny):
    command = start(*tiny, "trainer.devices=2", "pooling=nonoverlap").finish()
    assert command.code == 0, command.err
    (folder,) = (path.parent for path in Path("runs").glob("*/record.json"))
    run = Job.load(folder).run
    assert (run.run_id, run.differences) == (records()[0].run_id, records()[0].differences)
    assert len(list((folder / "ranks").rglob("std*.log"))) == 4
