"""Node 0 of several: waits for the others, tells them what to train, and hears how it went."""

import secrets
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablations.config import ConfigError
from ablations.launch.nodes import JOIN_SECONDS, Link, Place

# What the others have to end in once the run is over here: time to leave by themselves, and to be
# ended if they do not.
OVER_SECONDS = 45.0
# Nodes that have not come by the end of a command with nothing to train are not waited for longer.
FAREWELL_SECONDS = 60.0


class Leader:
    """Node 0 of the nodes that train runs together; a context that ends with the command.

    The others prove that they see the folder of the runs: they read a word there that this node
    has written. Checkpoints and configurations are exchanged through that folder alone.

    Args:
        place: Place of this node.
        output: Folder of the runs, on a filesystem that the nodes share.
        say: Shows the user a line.

    Raises:
        ConfigError: The port is taken.
    """

    def __init__(self, place: Place, output: Path, say: Callable[[str], None] = print) -> None:
        self.place = place
        self.output = output
        self.say = say
        self.links: dict[int, Link] = {}
        self.busy: set[int] = set()
        self.trouble: list[str] = []
        self.strangers: list[Link] = []
        self.waiting_since: float | None = None
        self.code = 0  # that the others end with
        self.token = secrets.token_hex(16)
        self.door = self._listen()
        self.proof = output / f".node0-{secrets.token_hex(4)}"

    def __enter__(self) -> "Leader":
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            self.proof.write_text(self.token)
        except OSError as error:
            self.door.close()
            raise ConfigError(
                f"output={self.output}: cannot write there ({error.strerror})"
            ) from None
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        code = self.code if error is None else 1
        deadline = time.monotonic() + (FAREWELL_SECONDS if error is None else 0)
        with suppress(ConfigError):
            self.poll()
            while self.missing and time.monotonic() < deadline:
                time.sleep(0.1)
                self.poll()
        for link in self.links.values():
            link.send(end=code)
        for link in (*self.links.values(), *self.strangers):
            link.close()
        self.door.close()
        self.proof.unlink(missing_ok=True)

    @property
    def missing(self) -> list[int]:
        """Ranks of the nodes that are not there."""
        return [rank for rank in self.place.others if rank not in self.links]

    def poll(self) -> None:
        """Hear what there is to hear."""
        while select.select([self.door], [], [], 0)[0]:
            with suppress(OSError):
                link = Link(self.door.accept()[0])
                link.send(proof=self.proof.name)
                self.strangers.append(link)
        for link in list(self.strangers):
            message = link.receive(0)
            if message is not None or link.closed:
                self.strangers.remove(link)
            if message is not None:
                self._admit(link, message)
        for rank, link in list(self.links.items()):
            while (message := link.receive(0)) is not None:
                self._hear(rank, message)
            if link.closed:
                self._lose(rank)

    def ready(self) -> bool:
        """Whether all nodes are there; to be asked again while they are not.

        Raises:
            ConfigError: They did not come in time, or cannot work with this one.
        """
        self.poll()
        if not self.missing:
            self.waiting_since = None
            return True
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()
            self.say(f"waiting for {self._names()}, {self._call()}")
        if time.monotonic() - self.waiting_since > JOIN_SECONDS:
            raise ConfigError(
                f"{self._names()} did not come within {JOIN_SECONDS / 60:.0f} minutes; start the "
                f"same command there, {self._call()}"
            )
        return False

    def announce(self, folder: Path, accelerator: str) -> Place:
        """Let the others train the run in ``folder`` with this node.

        Returns:
            Where the processes of the run meet: a port of their own, so that nothing which an
            earlier run left behind is in the way.
        """
        with socket.socket() as probe:
            probe.bind(("", 0))
            meeting = replace(self.place, port=probe.getsockname()[1])
        self.trouble.clear()
        for rank, link in self.links.items():
            self.busy.add(rank)
            link.send(
                run=str(folder.relative_to(self.output)),
                port=meeting.port,
                accelerator=accelerator,
            )
        return meeting

    def conclude(self) -> str:
        """End the run on the other nodes, now that it has ended here.

        Returns:
            What went wrong there.
        """
        for rank in self.busy:
            self.links[rank].send(over=True)
        deadline = time.monotonic() + OVER_SECONDS
        while self.busy and time.monotonic() < deadline:
            time.sleep(0.1)
            self.poll()
        for rank in list(self.busy):
            self._lose(rank)
        return "\n".join(self.trouble)

    def _listen(self) -> socket.socket:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        try:
            return socket.create_server(
                ("", self.place.port), family=family, dualstack_ipv6=both, backlog=128
            )
        except OSError as error:
            raise ConfigError(
                f"MASTER_PORT={self.place.port}: node 0 cannot listen there ({error.strerror}); "
                "choose another port, the same on every node"
            ) from None

    def _admit(self, link: Link, message: dict[str, Any]) -> None:
        rank, nodes = message.get("node", -1), message.get("nodes")
        if said := message.get("error"):
            link.close()
            raise ConfigError(f"node {rank}: {said}")
        reason = ""
        if message.get("token") != self.token:
            reason = "it has not read the folder of the runs"
        elif nodes != self.place.nodes:
            reason = (
                f"it was started with trainer.num_nodes={nodes}, node 0 with {self.place.nodes}"
            )
        elif rank not in self.place.others:
            reason = f"NODE_RANK={rank} is not one of 1 to {self.place.nodes - 1}"
        elif rank in self.links:
            reason = f"there is a node with NODE_RANK={rank} already"
        if reason:
            link.send(refused=reason)
            link.close()
            return
        link.send(welcome=True)
        self.links[rank] = link

    def _hear(self, rank: int, message: dict[str, Any]) -> None:
        if "done" in message:
            self.busy.discard(rank)
            if message["done"]:
                self.trouble.append(f"node {rank}: {message.get('tail', '')}")

    def _lose(self, rank: int) -> None:
        self.links.pop(rank).close()
        self.say(f"node {rank} is lost")
        if rank in self.busy:
            self.busy.discard(rank)
            self.trouble.append(f"node {rank} was lost while it trained this run")

    def _names(self) -> str:
        ranks = ", ".join(map(str, self.missing))
        return f"node{'s' * (len(self.missing) > 1)} {ranks} of {self.place.nodes}"

    def _call(self) -> str:
        ranks = "|".join(map(str, self.missing))
        return (
            f"with MASTER_ADDR={self.place.address} MASTER_PORT={self.place.port} NODE_RANK={ranks}"
        )
