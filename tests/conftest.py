"""Fixtures of all tests: a tiny run on built-in images, commands in processes, isolation."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from wandb_server import WandbServer, serve

# Set before torch is imported, because spinning threads slow down tests on shared cores.
os.environ["OMP_NUM_THREADS"] = "1"

from ablations.arms import difference
from ablations.config import (
    Accelerator,
    Config,
    DataConfig,
    Init,
    Job,
    Logger,
    LoggerKind,
    Recipe,
    Run,
    Trainer,
)
from ablations.data import synthetic
from ablations.data.store import prepare
from ablations.record import Record, load

REPOSITORY = Path(__file__).resolve().parents[1]

# The overrides of `tiny_config`, for commands; the data are in the fixture `cache`.
TINY = (
    "trainer=cpu",
    "trainer.threads=1",
    "logger=none",
    "width=0.1",
    "data.size=16",
    "data.crop=12",
    "data.val_size=11",
    "recipe.batch_size=16",
    "recipe.epochs=2",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first, so that parallel tests end at about the same time."""

    def minutes(item: pytest.Item) -> int:
        mark = item.get_closest_marker("slow")
        return mark.kwargs.get("minutes", 0) if mark else 0

    items.sort(key=minutes, reverse=True)


def pytest_collection_finish() -> None:
    """Exclude imported objects from garbage collection, which took a fifth of the time."""
    gc.freeze()


# Isolation


# Environment variables that other libraries set.
ALIEN = {
    "pytest": ["PYTEST_CURRENT_TEST"],
    "torch, on import": ["TORCHINDUCTOR_CACHE_DIR"],
    "Lightning and torch on a GPU": ["CUDA_DEVICE_ORDER", "CUDA_MODULE_LOADING"],
    "TensorFlow, which TensorBoard imports if it is installed": [
        "ENABLE_RUNTIME_UPTIME_TELEMETRY",
        "HDF5_PLUGIN_PATH",
        "TF2_BEHAVIOR",
        "TPU_ML_PLATFORM",
        "TPU_ML_PLATFORM_VERSION",
    ],
}


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Fail if a test changes the environment or leaves a process group initialized."""
    before = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)  # a training in this process replaces them
    after = dict(os.environ)
    for variables in (before, after):
        for name in chain.from_iterable(ALIEN.values()):
            variables.pop(name, None)
    os.environ.update(before)
    for name in after.keys() - before.keys():
        del os.environ[name]
    assert after == before
    if torch := sys.modules.get("torch"):
        assert not torch.distributed.is_initialized()


@pytest.fixture(autouse=True)
def own_place(
    nothing_leaks: None,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Isolate tests from other runs, caches and device locks, from W&B and from the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATIONS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("locks")))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a closed port
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: object) -> None:
        local = self.family == socket.AF_UNIX or address[0] in {"127.0.0.1", "::1", "localhost"}
        assert local, f"a test connects to {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


@pytest.fixture
def wandb_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A local W&B server, which the client in this process uses."""
    with serve() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        _forget_wandb()
        yield server
        _forget_wandb()
        assert not [asked for asked in server.requests if asked.startswith("unknown")]


def _forget_wandb() -> None:
    """Stop the client's service process, which keeps the server's address."""
    if client := sys.modules.get("wandb"):
        client.teardown()


# A tiny run


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder, with 60 training and 23 test images of 16 pixels."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "TRAIN_IMAGES", 60)
        patch.setattr(synthetic, "TEST_IMAGES", 23)
        prepare(DataConfig(size=16, crop=16), folder)
    return folder


def make_config() -> Config:
    return Config(
        width=0.1,
        init=Init.fan_in,
        data=DataConfig(size=16, crop=12, val_size=11),
        recipe=Recipe(epochs=2, batch_size=16, lr=0.01),
        trainer=Trainer(accelerator=Accelerator.cpu, threads=1),
        logger=Logger(kind=LoggerKind.none),
    )


def make_job(config: Config, cache: Path) -> Job:
    store = prepare(config.data, cache)
    arm = difference(config.run, make_config().run)
    return Job(
        run=config.run.on_data(store.fingerprint, store.name),
        experiment=config.experiment,
        arm=arm,
        label=arm,
        trainer=config.trainer,
        logger=config.logger,
        store=str(store.path),
        fast_dev_run=config.fast_dev_run,
    )


@pytest.fixture
def tiny_config() -> Config:
    """A configuration with two epochs of three steps, 16 images per step, 12-pixel crops."""
    return make_config()


@pytest.fixture
def tiny_run(tiny_config: Config) -> Run:
    """The run of ``tiny_config``."""
    return tiny_config.run


@pytest.fixture
def tiny_job(cache: Path) -> Callable[..., Job]:
    """Makes jobs like ``tiny_config``, with changed fields."""
    return lambda **changes: make_job(replace(make_config(), **changes), cache)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """An empty folder for runs."""
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


Train = Callable[[Job], Path]


@pytest.fixture
def train_here(runs_dir: Path) -> Train:
    """Trains a job in this process and returns its folder."""
    return lambda job: _train(job, runs_dir)


@pytest.fixture(scope="session")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ``tiny_config``'s run, trained in this process; read-only."""
    handler = signal.getsignal(signal.SIGTERM)
    folder = _train(make_job(make_config(), cache), tmp_path_factory.mktemp("finished"))
    signal.signal(signal.SIGTERM, handler)
    return folder


@pytest.fixture
def record(finished: Path) -> Record:
    """The record of ``tiny_config``'s run."""
    found = load(finished)
    assert found is not None
    return found


def _train(job: Job, output: Path) -> Path:
    import torch

    from ablations.training.fit import train

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = output / job.run.run_id
    folder.mkdir(exist_ok=True)
    job.save(folder)
    try:
        train(Job.load(folder), folder)
    finally:
        torch.set_num_threads(threads)
    return folder


# Commands


class Command:
    """A command in a separate process, with the data of ``cache``.

    Args:
        arguments: Arguments of the command.
        folder: Working directory.
        variables: Additional environment variables.
        before: A command that starts it, such as ``srun`` with its options.
        program: Arguments of Python that select the program.
    """

    def __init__(
        self,
        arguments: tuple[str, ...],
        folder: Path,
        variables: dict[str, str],
        before: tuple[str, ...] = (),
        program: tuple[str, ...] = (str(REPOSITORY / "ablations" / "run.py"),),
    ) -> None:
        self.tag = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [*before, sys.executable, *program, *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": "200", "TEST_TAG": self.tag, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Background processes of a shell ignore SIGINT, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def finish(self, timeout: float = 400) -> "Command":
        """Wait for the end, then set ``code``, ``out`` and ``err``."""
        self.out, self.err = self.process.communicate(timeout=timeout)
        self.code = self.process.returncode
        return self

    def wait_until(self, condition: Callable[[], object], timeout: float = 300) -> None:
        """Wait until ``condition`` holds while the command runs."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "timed out"
            time.sleep(0.05)

    def left_over(self, seconds: float) -> list[str]:
        """Return the command lines of its processes that are alive after ``seconds``."""
        deadline = time.monotonic() + seconds
        while (alive := self._alive()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return list(alive.values())

    def _alive(self) -> dict[int, str]:
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"TEST_TAG={self.tag}".encode() not in (entry / "environ").read_bytes():
                    continue
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if line:  # empty for a zombie process
                    found[int(entry.name)] = line
        return found

    def clear(self) -> None:
        """Kill remaining processes."""
        for pid in self._alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process.stdout and not self.process.stdout.closed:
            self.process.communicate()


Start = Callable[..., Command]


@pytest.fixture
def start(cache: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts ``ablations/run.py``; further keyword arguments are environment variables."""
    begun: list[Command] = []

    def start(*arguments: str, **rest: Any) -> Command:
        options = {name: rest.pop(name) for name in ("before", "program") if name in rest}
        begun.append(Command(arguments, tmp_path, rest, **options))
        return begun[-1]

    yield start
    for command in begun:
        command.clear()


@pytest.fixture
def tiny() -> tuple[str, ...]:
    """Arguments for a command that trains ``tiny_config``."""
    return TINY
