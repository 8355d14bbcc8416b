import os
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ablations.config import Accelerator, ConfigError, Job, Trainer
from ablations.launch import follower as module
from ablations.launch.devices import Slot
from ablations.launch.follower import Follower
from ablations.launch.leader import Leader
from ablations.launch.nodes import Place
from ablations.launch.worker import LOG
from ablations.record import Record, load

TWO = Trainer(Accelerator.cpu, num_nodes=2, threads=1)


class FakeProcess:
    """A run that ends when it is told to."""

    exitcode: int | None = None


@pytest.fixture
def forked(monkeypatch) -> list[tuple[Path, Slot, FakeProcess]]:
    """What the follower has started; nothing really runs."""
    found: list[tuple[Path, Slot, FakeProcess]] = []

    def fork(folder: Path, slot: Slot) -> FakeProcess:
        found.append((folder, slot, FakeProcess()))
        return found[-1][2]

    def end(processes: list[FakeProcess]) -> None:
        for process in processes:
            process.exitcode = -15

    monkeypatch.setattr(module, "fork", fork)
    monkeypatch.setattr(module, "end", end)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    return found


@pytest.fixture
def place(port: int) -> Place:
    return Place(2, 1, "127.0.0.1", port)


@pytest.fixture
def folder(tiny_job, runs_dir: Path) -> Path:
    """The folder of a run for two nodes, as node 0 leaves it."""
    job = tiny_job(trainer=TWO)
    folder = runs_dir / job.run.run_id
    folder.mkdir()
    job.save(folder)
    return folder


def until(condition: Callable[[], object], team: Leader) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        team.poll()
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def led(place: Place, output: Path, deed: Callable[[Leader], None]) -> threading.Thread:
    """Node 0 in a thread."""

    def lead() -> None:
        with Leader(replace(place, rank=0), output, lambda line: None) as team:
            until(team.ready, team)
            deed(team)

    thread = threading.Thread(target=lead)
    thread.start()
    return thread


def test_it_trains_what_node_0_says(forked, place: Place, tiny_job, runs_dir: Path):
    jobs = [tiny_job(seed=seed, trainer=TWO) for seed in (0, 1)]
    meetings: list[Place] = []

    def deed(team: Leader) -> None:
        for number, job in enumerate(jobs):
            folder = runs_dir / job.run.run_id
            folder.mkdir()
            job.save(folder)
            meetings.append(team.announce(folder, "cpu"))
            until(lambda: len(forked) > number, team)  # noqa: B023
            forked[-1][2].exitcode = 0
            assert team.conclude() == ""

    thread = led(place, runs_dir, deed)
    lines: list[str] = []
    assert Follower(place, runs_dir, lines.append).run() == 0
    thread.join()
    assert [folder for folder, *_ in forked] == [runs_dir / job.run.run_id for job in jobs]
    # The same meeting, and a rank of its own.
    assert [slot.place for _, slot, _ in forked] == [replace(one, rank=1) for one in meetings]
    assert lines[0] == f"node 1 of 2 follows 127.0.0.1:{place.port}"
    assert lines[1:] == ["trains baseline seed=0", "trains baseline seed=1"]


def test_a_failure_is_told_with_its_log(forked, place: Place, folder: Path, runs_dir: Path):
    (folder / "node1").mkdir()
    (folder / "node1" / LOG).write_text("ZeroDivisionError")
    said = []

    def deed(team: Leader) -> None:
        team.announce(folder, "cpu")
        until(lambda: forked, team)
        forked[0][2].exitcode = 1
        until(lambda: team.trouble, team)
        said.append(team.conclude())
        team.code = 1

    thread = led(place, runs_dir, deed)
    assert Follower(place, runs_dir, lambda line: None).run() == 1
    thread.join()
    assert said == ["node 1: ZeroDivisionError"]


def test_a_run_that_is_over_elsewhere_is_ended(
    forked, place: Place, folder: Path, runs_dir: Path, monkeypatch
):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.1)
    said = []

    def deed(team: Leader) -> None:
        team.announce(folder, "cpu")
        until(lambda: forked, team)
        said.append(team.conclude())

    thread = led(place, runs_dir, deed)
    assert Follower(place, runs_dir, lambda line: None).run() == 0
    thread.join()
    assert (said, forked[0][2].exitcode) == ([""], -15)


@pytest.mark.parametrize("what", ["data", "devices"])
def test_what_this_node_lacks_fails_the_run(
    what: str, forked, place: Place, folder: Path, runs_dir: Path, monkeypatch
):
    if what == "data":
        replace(Job.load(folder), store="/nowhere").save(folder)
    said = []

    def deed(team: Leader) -> None:
        team.announce(folder, "cpu" if what == "data" else "gpu")
        until(lambda: team.trouble, team)
        said.append(team.conclude())

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    thread = led(place, runs_dir, deed)
    Follower(place, runs_dir, lambda line: None).run()
    thread.join()
    expected = "data in /nowhere are not there" if what == "data" else "no GPU is visible here"
    assert said[0].startswith("node 1: error: ")
    assert expected in said[0]
    assert forked == []


def test_node_0_that_dies_ends_this_one(forked, place: Place, folder: Path, runs_dir: Path):

    def deed(team: Leader) -> None:
        team.announce(folder, "cpu")
        until(lambda: forked, team)
        team.links[1].close()
        team.place = replace(place, nodes=1)  # nobody to say farewell to

    thread = led(place, runs_dir, deed)
    with pytest.raises(ConfigError, match=r"node 0 \(127.0.0.1:\d+\) is gone, so this node ends"):
        Follower(place, runs_dir, lambda line: None).run()
    thread.join()
    assert forked[0][2].exitcode == -15


def test_a_folder_that_is_not_shared_ends_both(
    forked, place: Place, runs_dir: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(module, "SHARED_SECONDS", 0.1)
    (tmp_path / "elsewhere").mkdir()
    said = []

    def lead() -> None:
        with (
            pytest.raises(ConfigError) as error,
            Leader(replace(place, rank=0), runs_dir, lambda line: None) as team,
        ):
            until(team.ready, team)
        said.append(str(error.value))

    thread = threading.Thread(target=lead)
    thread.start()
    with pytest.raises(
        ConfigError, match=r"cannot be read here .* filesystem that all nodes share"
    ):
        Follower(place, tmp_path / "elsewhere", lambda line: None).run()
    thread.join()
    assert said[0].startswith("node 1: ")
    assert "must lie on a filesystem that all nodes share" in said[0]


def test_node_0_that_is_not_there(place: Place, runs_dir: Path, monkeypatch):
    monkeypatch.setattr(module, "JOIN_SECONDS", 0.0)
    with pytest.raises(ConfigError, match=f"node 0 did not answer at 127.0.0.1:{place.port} "):
        Follower(place, runs_dir).run()


def test_a_node_that_is_refused_says_why(place: Place, runs_dir: Path):
    thread = led(place, runs_dir, lambda team: None)
    with pytest.raises(ConfigError, match=r"does not take this node: it was started with .*=3"):
        Follower(replace(place, nodes=3), runs_dir, lambda line: None).run()
    assert Follower(place, runs_dir, lambda line: None).run() == 0
    thread.join()


def test_a_signal_ends_the_run_and_tells_node_0(forked, place: Place, folder: Path, runs_dir: Path):
    said = []

    def deed(team: Leader) -> None:
        team.announce(folder, "cpu")
        until(lambda: forked, team)
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: team.trouble, team)
        said.append(team.conclude())
        team.place = replace(place, nodes=1)

    thread = led(place, runs_dir, deed)
    with pytest.raises(SystemExit) as stopped:
        Follower(place, runs_dir, lambda line: None).run()
    thread.join()
    assert stopped.value.code == 128 + signal.SIGTERM
    assert said == ["node 1 was lost while it trained this run"]
    assert forked[0][2].exitcode == -15


# Two nodes on this machine, gloo between them


@pytest.fixture
def start_node(start, tiny, port: int):
    """Starts the command of one of two nodes."""

    def start_node(rank: int, *arguments: str, **variables: str):
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(rank)}
        return start(*tiny, "trainer.num_nodes=2", *arguments, **where, **variables)

    return start_node


def records(output: str) -> dict[int, Record]:
    """Records by seed."""
    found = [load(path.parent) for path in Path(output).glob("*/record.json")]
    return {record.seed: record for record in found if record is not None}


def losses(record: Record) -> list[float]:
    return [point.train.loss for point in record.curve]


@pytest.mark.slow
def test_two_nodes_train_as_two_devices_do(start, start_node, tiny):
    sweep = ("-m", "seed=0,1", "output=nodes")
    nodes = [start_node(rank, *sweep) for rank in (0, 1)]
    for node in nodes:
        assert node.finish().code == 0, node.out + node.err
    assert "Test error" in nodes[0].out
    assert re.findall(r"trains .* seed=(\d)", nodes[1].out) == ["0", "1"]
    # The same again: nothing to train, and no node is left waiting.
    nodes = [start_node(rank, *sweep) for rank in (0, 1)]
    for node in nodes:
        assert node.finish().code == 0, node.out + node.err
        assert not node.left_over(5)
    assert "2 runs, 2 finished before" in nodes[0].out
    one = start(*tiny, "trainer.devices=2", "seed=0", "output=devices").finish()
    assert one.code == 0, one.err
    theirs, ours = records("nodes"), records("devices")[0]
    assert sorted(theirs) == [0, 1]
    assert theirs[0].run_id == ours.run_id
    assert (theirs[0].hardware.devices, ours.hardware.devices) == (2, 2)
    assert losses(theirs[0]) == losses(ours)
    assert theirs[0].test == ours.test


@pytest.mark.slow
def test_a_lost_node_ends_its_run_and_the_sweep_goes_on_when_it_is_back(start_node, tmp_path):
    # Seed 0 never ends; node 1 is lost meanwhile.
    Path("breaks").mkdir()
    Path("breaks/sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'forkserver' in ' '.join(sys.orig_argv):\n"
        "    import time\n"
        "    from ablations.classifier import Classifier\n"
        "    step = Classifier.training_step\n"
        "    def slow(self, batch, batch_idx):\n"
        "        if self.run.seed == 0:\n"
        "            open('training', 'w').close()\n"
        "            time.sleep(600)\n"
        "        return step(self, batch, batch_idx)\n"
        "    Classifier.training_step = slow\n"
    )
    breaks = {"PYTHONPATH": str(Path("breaks").resolve())}
    arguments = ("-m", "seed=0,1", "trainer.parallel=1")
    first, lost = (start_node(rank, *arguments, **breaks) for rank in (0, 1))
    first.wait_until(lambda: (tmp_path / "training").exists())
    lost.clear()  # its whole tree, with SIGKILL
    gone = time.monotonic()
    first.wait_until(lambda: not list(Path("runs").glob("*/never")) and not _training(first), 60)
    assert time.monotonic() - gone < 40
    back = start_node(1, *arguments, **breaks)
    assert first.finish().code == 1
    assert back.finish().code == 1, back.out + back.err
    assert "node 1 is lost" in first.out
    assert "node 1 was lost while it trained this run" in first.out
    assert "1 of 2 runs failed; the same command repeats them" in first.out
    assert sorted(records("runs")) == [1]
    assert not first.left_over(10)
    assert not back.left_over(10)


def _training(command) -> bool:
    """Whether there is more than the server that forks the runs."""
    return sum("forkserver" in line for line in command.left_over(0)) > 1


@pytest.mark.slow
def test_node_0_that_is_killed_takes_the_others_with_it(start_node):
    arguments = ("recipe.epochs=2000",)
    first, other = (start_node(rank, *arguments) for rank in (0, 1))
    first.wait_until(lambda: list(Path("runs").glob("*/last.ckpt")))
    first.clear()
    assert other.finish(60).code == 1
    assert re.search(r"error: node 0 \(127.0.0.1:\d+\) is gone, so this node ends too", other.err)
    assert not other.left_over(10)


@pytest.mark.slow
@pytest.mark.parametrize("broken", [0, 1])
def test_a_rank_that_fails_on_one_node_ends_the_run_on_both(broken: int, start_node):
    Path("breaks").mkdir()
    Path("breaks/sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'forkserver' in ' '.join(sys.orig_argv):\n"
        "    from ablations.classifier import Classifier\n"
        "    step = Classifier.training_step\n"
        "    def fail(self, batch, batch_idx):\n"
        f"        if self.run.seed == 0 and os.environ['GROUP_RANK'] == '{broken}':\n"
        "            raise ArithmeticError('injected')\n"
        "        return step(self, batch, batch_idx)\n"
        "    Classifier.training_step = fail\n"
    )
    breaks = {"PYTHONPATH": str(Path("breaks").resolve())}
    nodes = [start_node(rank, "-m", "seed=0,1", **breaks) for rank in (0, 1)]
    for node in nodes:
        assert node.finish().code == 1, node.out + node.err
        assert not node.left_over(10)
    assert "ArithmeticError: injected" in nodes[0].out
    assert sorted(records("runs")) == [1]


@pytest.mark.slow
def test_nodes_that_are_not_told_which_they_are(start, tiny):
    command = start(*tiny, "trainer.num_nodes=2").finish()
    assert command.code == 1
    assert command.err.startswith(
        "error: trainer.num_nodes=2 needs the command on each node to know"
    )
    assert command.err.count("\n") == 1
