"""The other nodes of several: each trains what node 0 says, and tells it how that went."""

import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from ablations.config import Accelerator, ConfigError, Job
from ablations.launch.devices import allot
from ablations.launch.nodes import JOIN_SECONDS, Link, Place
from ablations.launch.pool import POLL_SECONDS, collect_signals, end, fork, tail
from ablations.launch.worker import home_of

# A shared filesystem may show a file a little after it was written elsewhere.
SHARED_SECONDS = 30.0
# What a process gets to leave by itself when its run is over on node 0.
LEAVE_SECONDS = 15.0


class Follower:
    """A node that trains runs with node 0, until node 0 says that there are no more.

    Args:
        place: Place of this node.
        output: Folder of the runs, on a filesystem that the nodes share.
        say: Shows the user a line.
    """

    def __init__(self, place: Place, output: Path, say: Callable[[str], None] = print) -> None:
        self.place = place
        self.output = output
        self.say = say
        self.process: ForkServerProcess | None = None
        self.folder = output
        self.leave_by: float | None = None

    def run(self) -> int:
        """Follow node 0 to its end.

        Returns:
            0, or 1 where node 0 ended with an error.

        Raises:
            ConfigError: Node 0 cannot be found, refuses this node, or is gone.
            SystemExit: SIGINT or SIGTERM came: 128 plus its number.
        """
        link = self._join()
        self.say(f"node {self.place.rank} of {self.place.nodes} follows {self._leader}")
        try:
            with collect_signals() as received:
                code = self._follow(link, received)
        finally:
            self._stop()
            link.close()
        if received:
            sys.exit(128 + received[0])
        if code is None:
            raise ConfigError(
                f"node 0 ({self._leader}) is gone, so this node ends too; its output says why. The "
                "same command on every node continues"
            )
        return code

    @property
    def _leader(self) -> str:
        return f"{self.place.address}:{self.place.port}"

    def _join(self) -> Link:
        deadline = time.monotonic() + JOIN_SECONDS
        while True:
            try:
                to = (self.place.address, self.place.port)
                link = Link(socket.create_connection(to, timeout=10))
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ConfigError(
                        f"node 0 did not answer at {self._leader} within "
                        f"{JOIN_SECONDS / 60:.0f} minutes ({error.strerror or error}); start the "
                        "same command there with NODE_RANK=0, and check MASTER_ADDR and MASTER_PORT"
                    ) from None
                time.sleep(0.5)
        try:
            self._introduce(link)
        except ConfigError:
            link.close()
            raise
        return link

    def _introduce(self, link: Link) -> None:
        # Node 0 may be preparing data for hours: it answers when it is done.
        who = {"node": self.place.rank, "nodes": self.place.nodes}
        proof = self.output / str(_answer(link).get("proof"))
        try:
            link.send(**who, token=_await_text(proof))
        except ConfigError as error:
            link.send(**who, error=str(error))
            raise
        said = _answer(link)
        if "welcome" not in said:
            reason = said.get("refused", f"it has ended; see the output of {self._leader}")
            raise ConfigError(f"node 0 does not take this node: {reason}")

    def _follow(self, link: Link, received: list[int]) -> int | None:
        while not received:
            message = link.receive(POLL_SECONDS)
            if message is None and link.closed:
                return None
            if message and "end" in message:
                return int(message["end"])
            if message and "run" in message:
                try:
                    self._begin(message)
                except (ConfigError, OSError) as error:
                    link.send(done=1, tail=f"error: {error}")
            if message and "over" in message:
                self.leave_by = time.monotonic() + LEAVE_SECONDS
            if self.process is not None:
                self._look(link)
        return None

    def _begin(self, message: dict[str, Any]) -> None:
        self.folder = self.output / message["run"]
        _await_text(self.folder / "config.yaml")
        job = Job.load(self.folder)
        if not Path(job.store).exists():
            raise ConfigError(f"the prepared data in {job.store} are not there; share the cache")
        trainer = replace(job.trainer, accelerator=Accelerator(message["accelerator"]))
        slot = replace(allot(trainer, 1)[0], place=replace(self.place, port=message["port"]))
        self.say(f"trains {job.label} seed={job.run.seed}")
        self.leave_by = None
        self.process = fork(self.folder, slot)

    def _look(self, link: Link) -> None:
        assert self.process is not None
        code = self.process.exitcode
        if code is not None:
            self.process = None
            said = "" if code == 0 else tail(home_of(self.folder, self.place))
            if code:
                self.say(f"failed here: {said}")
            link.send(done=code, tail=said)
        elif self.leave_by is not None and time.monotonic() > self.leave_by:
            self._stop()
            link.send(done=0)  # node 0 knows better how the run has ended

    def _stop(self) -> None:
        if self.process is not None:
            end([self.process])
            self.process = None


def _answer(link: Link) -> dict[str, Any]:
    while (message := link.receive(1.0)) is None and not link.closed:
        pass
    return message or {}


def _await_text(path: Path) -> str:
    deadline = time.monotonic() + SHARED_SECONDS
    while True:
        try:
            os.listdir(path.parent)  # NFS keeps the list of a folder for a while otherwise
            return path.read_text()
        except OSError as error:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"{path}, which node 0 has written, cannot be read here ({error.strerror}); "
                    "output=FOLDER and the cache must lie on a filesystem that all nodes share"
                ) from None
            time.sleep(0.5)
