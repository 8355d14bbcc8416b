"""Brings about one fault at one moment, in whichever process of a command comes to it first.

A whole command reads this module as its ``sitecustomize``, and the fault from its environment.

A moment is a step of writing a file, found by a part of its name, or a step of the run:

- ``open NAME``, ``half NAME``: before the file is opened for writing, and half-way through it;
- ``rename NAME``, ``renamed NAME``: before and after a file or folder gets its final name;
- ``train N``: in training step N; ``validate`` and ``test``: in a step of evaluation.
"""

import builtins
import errno
import io
import itertools
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "FAULT"
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int twice": signal.SIGINT}
DAY = 86_400.0


@dataclass(frozen=True)
class Fault:
    """What happens, and when.

    Attributes:
        deed: ``kill``, ``term``, ``int twice``, a name of ``errno``, ``memory`` or ``clock``.
        moment: See this module.
        target: Whom a signal is sent to: ``self``, the ``command``, the ``server`` that forks its
            runs, or the ``group`` of the terminal.
        nth: Which time the moment comes.
        once: File that the process which comes first makes; others do nothing.
    """

    deed: str
    moment: str
    target: str = "self"
    nth: int = 1
    once: str = ""


def install(fault: Fault) -> None:
    """Let this process and its forks bring about the fault."""
    times = itertools.count(1)

    def reached() -> None:
        if next(times) == fault.nth and _is_first(fault.once):
            _happen(fault)

    where, _, name = fault.moment.partition(" ")
    if where in {"open", "half"}:
        _watch_writing(where, name, reached)
    elif where in {"rename", "renamed"}:
        _watch_renaming(where, name, reached)
    elif "torch" in sys.modules or "forkserver" in " ".join(sys.orig_argv):
        _watch_steps(where, name, reached)


def _is_first(mark: str) -> bool:
    if not mark:
        return True
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


# Deeds


def _happen(fault: Fault) -> None:
    if fault.deed in SIGNALS:
        _send(fault)
    elif fault.deed == "clock":
        now = time.time
        time.time = lambda: now() - DAY
    elif fault.deed == "memory":
        import torch

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, resource.RLIM_INFINITY))
        torch.ones(2**28)
    else:
        number = getattr(errno, fault.deed)
        if number == errno.ENOSPC:  # a disk that is full stays full
            _watch_writing("open", "", lambda: _fail(number))
        _fail(number)


def _fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


def _send(fault: Fault) -> None:
    number = SIGNALS[fault.deed]
    command = multiprocessing.parent_process()
    pid = {
        "self": os.getpid(),
        "command": command.pid if command else os.getpid(),
        "server": os.getppid(),
        "group": -(command.pid if command and command.pid else os.getpid()),
    }[fault.target]
    assert pid
    if fault.deed == "int twice":
        # By another process: the first one may be raised here before the second is sent.
        line = f"kill -INT -- {pid}; sleep 0.3; kill -INT -- {pid}"
        subprocess.Popen(["sh", "-c", line], start_new_session=True, stderr=subprocess.DEVNULL)
    elif pid < 0:
        os.killpg(-pid, number)
    else:
        os.kill(pid, number)
    if number != signal.SIGKILL or fault.target != "self":
        time.sleep(0.2)


# Moments


class _Halved:
    """A file that comes to its moment when half of its first write is on the disk."""

    def __init__(self, file: Any, reached: Callable[[], None]) -> None:
        self._file, self._reached = file, reached

    def write(self, content: Any) -> int:
        if (reached := self._reached) is None:
            return self._file.write(content)
        self._reached = None
        half = len(content) // 2
        self._file.write(content[:half])
        self._file.flush()
        reached()
        return half + self._file.write(content[half:])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Halved":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def _watch_writing(where: str, name: str, reached: Callable[[], None]) -> None:
    plain, by_number = io.open, os.fdopen

    def opened(path: Any, mode: str, make: Callable[[], Any]) -> Any:
        writes = "w" in mode or "a" in mode or "x" in mode
        if isinstance(path, int) or not writes or name not in Path(os.fsdecode(path)).as_posix():
            return make()
        if where == "open":
            reached()
            return make()
        return _Halved(make(), reached)

    def open_watched(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        return opened(file, mode, lambda: plain(file, mode, *rest, **more))

    def fdopen_watched(handle: int, mode: str = "r", *rest: Any, **more: Any) -> Any:
        path = os.readlink(f"/proc/self/fd/{handle}")
        return opened(path, mode, lambda: by_number(handle, mode, *rest, **more))

    builtins.open = io.open = open_watched  # type: ignore[assignment]
    os.fdopen = fdopen_watched  # type: ignore[assignment]


def _watch_renaming(where: str, name: str, reached: Callable[[], None]) -> None:
    def watched(plain: Callable[..., None]) -> Callable[..., None]:
        def rename(source: Any, target: Any, **more: Any) -> None:
            mine = name in Path(os.fsdecode(target)).name
            if mine and where == "rename":
                reached()
            plain(source, target, **more)
            if mine and where == "renamed":
                reached()

        return rename

    os.rename, os.replace = watched(os.rename), watched(os.replace)


def _watch_steps(where: str, step: str, reached: Callable[[], None]) -> None:
    from ablations.training.classifier import Classifier

    method = {"train": "training_step", "validate": "validation_step", "test": "test_step"}[where]
    plain = getattr(Classifier, method)

    def watched(self: Any, *given: Any, **more: Any) -> Any:
        if not step or self.trainer.global_step == int(step):
            reached()
        return plain(self, *given, **more)

    setattr(Classifier, method, watched)


if fault := os.environ.get(VARIABLE):
    install(Fault(**json.loads(fault)))
