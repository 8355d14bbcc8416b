"""Several processes for one run: gloo on the CPU stands in for GPUs."""

import os
import signal
import time
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
    numbers,
    records,
)
from torch.distributed import DistBackendError

from ablations.config import Job
from ablations.launch import ranks as module


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (DistBackendError("NCCL error: remote process exited"), True),
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("gloo"), False),
    ],
)
def test_a_rank_that_has_lost_another_lets_that_one_be_seen_first(
    error, waits, monkeypatch, tmp_path: Path
):
    def fail(folder: Path) -> None:
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGTERM, signal.SIG_IGN if waits else signal.SIG_DFL)  # as it does
        raise error

    waited = []
    monkeypatch.setattr(module, "train_folder", fail)
    monkeypatch.setattr(module, "end_with_parent", lambda parent: None)
    monkeypatch.setattr(os, "setpgid", lambda *arguments: None)
    monkeypatch.setattr(module.time, "sleep", waited.append)
    with pytest.raises(type(error)):
        module._train_rank(tmp_path, 4711)
    assert bool(waited) is waits
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # the agent may end it meanwhile


def finish(command) -> None:
    assert command.finish().code == 0, command.out + command.err
    assert not command.left_over(5)


@pytest.mark.slow
def test_one_run_on_two_devices_agrees_with_one_device(start, tiny):
    for devices in (1, 2):
        finish(start(*tiny, f"trainer.devices={devices}", f"output=runs{devices}"))
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
    # What the ranks have read is what was asked for.
    frozen = Job.load(Path("runs2") / two.run_id).run
    assert (frozen.run_id, frozen.differences) == (two.run_id, two.differences)
    assert len(list((Path("runs2") / two.run_id / "ranks").rglob("std*.log"))) == 4


@pytest.mark.slow
def test_ranks_are_forked_and_load_nothing_again(start, tiny):
    starts = Path("starts").resolve()
    starts.mkdir()
    (starts / "sitecustomize.py").write_text(
        f"import sys\nopen({str(starts / 'argv')!r}, 'a').write(' '.join(sys.orig_argv) + '\\n')\n"
    )
    started = []
    for devices in (1, 2):
        (starts / "argv").write_text("")
        arguments = (f"trainer.devices={devices}", "trainer.threads=2", f"output=runs{devices}")
        finish(start(*tiny, *arguments, PYTHONPATH=str(starts)))
        started.append(len((starts / "argv").read_text().splitlines()))
        assert records(f"runs{devices}")[0].hardware.threads == 2
    assert started[0] == started[1] > 1


@pytest.mark.slow
def test_one_two_and_one_devices_in_one_sweep(start, tiny):
    # Each device count is a job of its own; the runs differ in their seed here.
    command = start("-m", *tiny, "seed=0,1", "trainer.devices=1,2,1")
    finish(command)
    assert sorted(records()) == [0, 1]
    assert "Traceback" not in command.out + command.err


@pytest.mark.slow
def test_a_sweep_of_two_runs_on_two_ranks_each(start, tiny):
    arguments = ("-m", *tiny, "seed=0,1", "trainer.devices=2")
    command = start(*arguments, "hydra.job.chdir=true")
    finish(command)
    found = records()
    assert {seed: record.hardware.devices for seed, record in found.items()} == {0: 2, 1: 2}
    weights = [checkpoint(Path("runs") / r.run_id)["state_dict"] for r in found.values()]
    assert not torch.equal(weights[0]["network.conv1.weight"], weights[1]["network.conv1.weight"])
    assert {path.name for path in Path().iterdir()} == {"runs"}
    assert len([path for path in Path("runs").iterdir() if path.name[0] != "."]) == 2
    again = start(*arguments)
    finish(again)
    assert "2 runs, 2 finished before" in again.out
    assert again.out.partition("Test error")[2] == command.out.partition("Test error")[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("raise ArithmeticError('injected')", "ArithmeticError: injected"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "rank 1 first (exit code -9)"),
    ],
    ids=["exception", "killed"],
)
def test_a_rank_that_fails_is_shown_and_the_next_job_runs(deed: str, said: str, start, tiny):
    words = ("-m", *tiny, "seed=0,1", "trainer.devices=2")
    command = start(*words, **breaking(deed)).finish()
    assert command.code == 1
    assert said in command.out
    assert "of 2 ranks failed, rank 1 first" in command.out
    assert "ProcessExitedException" not in command.out
    assert "1 of 2 runs failed" in command.err
    assert list(records()) == [1]
    assert not command.left_over(10)
    finish(start(*words))
    assert sorted(records()) == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("killed", [False, True], ids=["ctrl-c", "killed"])
def test_what_is_stopped_leaves_no_orphan_and_the_same_command_continues(
    devices: int, killed: bool, start, tiny
):
    arguments = (*tiny, *LONG, f"trainer.devices={devices}")
    command = start(*arguments)
    command.wait_until(has_begun())
    stopped = time.monotonic()
    if killed:
        command.process.kill()
        command.process.wait()
    else:
        os.killpg(command.process.pid, signal.SIGINT)  # as a terminal does
        assert command.finish(120).code == 130, command.err
        assert "Traceback" not in command.err
    assert not command.left_over(20)
    assert time.monotonic() - stopped < 30
    folder = folder_of()
    assert folder is not None
    before = Interrupted(folder)
    finish(start(*arguments))
    before.assert_continued(100)


@pytest.mark.slow
def test_ctrl_c_while_it_starts(start, tiny):
    command = start(*tiny, *LONG)
    time.sleep(1.5)
    os.killpg(command.process.pid, signal.SIGINT)
    command.finish(120)
    assert command.code != 0  # which one, depends on what it was loading
    assert not command.left_over(10)


@pytest.mark.slow
def test_sigterm_ends_everything_even_a_rank_that_is_stuck(start, tiny):
    stuck = breaking("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    command = start(*tiny, *LONG, "trainer.devices=2", **stuck)
    command.wait_until(lambda: list(Path("runs").glob("*/last.ckpt")))
    time.sleep(1)
    command.process.send_signal(signal.SIGTERM)
    assert command.finish(90).code == 143, command.err
    assert not command.left_over(20)


@pytest.mark.slow
def test_two_sweeps_at_once(start, tiny):
    words = ("-m", *tiny, "trainer.devices=1,2")
    commands = [start(*words, f"seed={seed},{seed + 1}") for seed in (0, 2)]
    for command in commands:
        finish(command)
    assert sorted(records()) == [0, 1, 2, 3]


@pytest.mark.slow
def test_torchrun_around_the_command_is_refused(start, tiny):
    command = start(*tiny, "trainer.devices=2", RANK="0", LOCAL_RANK="0", WORLD_SIZE="2").finish()
    assert command.code == 1
    assert command.err.startswith("error: RANK=0 is set, as torchrun does; start the command once")
    assert command.err.count("\n") == 1


# A frozen run alone, and under torchrun


class Nodes:
    """Nodes on this machine, each with the command that ``run.py`` prints for torchrun.

    Args:
        start: See the fixture of that name.
        port: Where they meet.
        words: Arguments of ``run.py``.
    """

    def __init__(self, start, port: int, words: tuple[str, ...]) -> None:
        self.start = start
        self.command = start(*words)
        finish(self.command)
        (line,) = (one for one in self.command.out.splitlines() if one.startswith("torchrun "))
        self.words = line.replace("HOST:29500", f"127.0.0.1:{port}").split()[1:]
        self.folder = Path(self.words[-1])

    def begin(self, **variables: str) -> list:
        """Start the command on two nodes."""
        torchrun = ("-m", "torch.distributed.run")
        return [self.start(*self.words, program=torchrun, **variables) for _ in range(2)]


@pytest.fixture
def nodes(start, tiny, port: int):
    """Freezes a run for two nodes."""
    return lambda *words: Nodes(start, port, (*tiny, "trainer.num_nodes=2", *words))


@pytest.mark.slow
def test_two_nodes_of_torchrun_train_as_two_devices_do(nodes, start, tiny):
    two = nodes("output=nodes")
    assert records("nodes") == {}
    assert two.folder.parent == Path("nodes").resolve()
    for node in two.begin():
        finish(node)
    finish(start(*tiny, "trainer.devices=2", "output=devices"))
    assert list(numbers("nodes")) == [0]
    assert numbers("nodes") == numbers("devices")
    assert records("nodes")[0].hardware.threads == 1
    shown = start(*tiny, "trainer.num_nodes=2", "output=nodes")
    finish(shown)
    assert "1 run, 1 finished before" in shown.out
    assert "Test error" in shown.out
    assert "torchrun --" not in shown.out


@pytest.mark.slow
def test_no_thread_of_the_ranks_connection_outlives_the_run(nodes):
    # A process that ends with one may abort, now and then.
    hooks = Path("hooks").resolve()
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(
        "import atexit, os, sys\n"
        "@atexit.register\n"
        "def look():\n"
        "    torch = sys.modules.get('torch')\n"
        "    if torch and 'RANK' in os.environ:\n"
        f"        with open({str(hooks / 'seen')!r}, 'a') as file:\n"
        "            print(torch.distributed.is_initialized(), file=file)\n"
    )
    for node in nodes().begin(PYTHONPATH=str(hooks)):
        finish(node)
    assert (hooks / "seen").read_text().split() == ["False", "False"]


@pytest.mark.slow
def test_a_lost_node_ends_the_other_and_the_same_commands_continue(nodes):
    two = nodes(*LONG)
    first, lost = two.begin()
    first.wait_until(has_begun())
    lost.clear()  # its whole tree, with SIGKILL
    assert first.finish(120).code != 0
    assert not first.left_over(10)
    before = Interrupted(two.folder)
    for node in two.begin():
        finish(node)
    before.assert_continued(100)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_on_one_node_ends_both(rank: int, nodes):
    broken = breaking("raise ArithmeticError('injected')", when=f"rank == {rank} and step >= 2")
    commands = nodes().begin(**broken)
    for node in commands:
        assert node.finish(120).code == 1, node.out + node.err
        assert not node.left_over(10)
    assert "ArithmeticError: injected" in "".join(node.err for node in commands)
    assert records() == {}


@pytest.mark.slow
def test_sigterm_to_one_node_ends_both_soon(nodes):
    two = nodes(*LONG)
    first, second = two.begin()
    first.wait_until(has_begun())
    first.process.send_signal(signal.SIGTERM)
    for node in (first, second):
        assert node.finish(120).code != 0
        assert not node.left_over(10)
    assert epoch(two.folder) >= 2
    assert records() == {}
