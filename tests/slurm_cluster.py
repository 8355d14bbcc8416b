"""A SLURM cluster on this machine: munge, a controller, and a daemon for each node.

As ``python tests/slurm_cluster.py [NODES]`` it runs until Ctrl-C or SIGTERM, and says how to speak
to it. It needs Debian's packages slurmctld, slurmd, slurm-client and munge, and no rights:
everything lies in a temporary folder, listens on loopback, and runs as the user who starts it.
"""

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = (
    *("munged", "slurmctld", "slurmd"),
    *("sbatch", "squeue", "scontrol", "scancel", "srun", "sinfo"),
)
START_SECONDS = 60.0

# Node names that every resolver knows: on a cluster, the first is MASTER_ADDR.
_NAME = "127.0.0.{}"

# `config_overrides`: nodes may have more CPUs than the machine. `cred_expire`: a job that is queued
# again waits for its old credential to expire, two minutes otherwise.
_CONF = """\
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
ReturnToService=2
KillWait=10
MinJobAge=600
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
PlugStackConfig=/dev/null
{nodes}
PartitionName=all Nodes=ALL Default=YES State=UP
"""


class Unavailable(RuntimeError):
    """There can be no cluster here; the message says why."""


class Cluster:
    """A cluster that is up.

    Attributes:
        environment: Variables by which SLURM's commands find it.
        nodes: Names of its nodes.
    """

    def __init__(self, environment: dict[str, str], nodes: list[str]) -> None:
        self.environment = environment
        self.nodes = nodes

    def ask(self, *words: str) -> str:
        """Output of one of SLURM's commands."""
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def ended(self) -> dict[str, str]:
        """As :meth:`queue`, once no job is queued or running: one outlives its record a little."""
        deadline = time.monotonic() + START_SECONDS
        while self.ask("squeue", "--noheader"):
            assert time.monotonic() < deadline, self.queue()
            time.sleep(0.2)
        return self.queue()

    def queue(self) -> dict[str, str]:
        """State and node of every job that SLURM remembers, by its name."""
        lines = self.ask("squeue", "--array", "--states=all", "--noheader", "--format=%i %T %N")
        return {line.split()[0]: " ".join(line.split()[1:]) for line in lines.splitlines()}


@contextlib.contextmanager
def serve(nodes: int = 2, cpus: int = 1) -> Iterator[Cluster]:
    """Start a cluster, and stop it with all that runs there.

    Args:
        nodes: How many nodes it has.
        cpus: How many CPUs each of them has.

    Raises:
        Unavailable: A program is missing or does not start.
    """
    where = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    programs = {name: shutil.which(name, path=where) for name in PROGRAMS}
    if missing := [name for name, path in programs.items() if path is None]:
        raise Unavailable(f"not installed: {', '.join(missing)}")
    # A short path: that of munge's socket has a limit.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    names = [_NAME.format(number + 1) for number in range(nodes)]
    controller, *ports = _free_ports(nodes + 1)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    (folder / "state").mkdir()
    lines = [
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={cpus}"
        for name, port in zip(names, ports, strict=True)
    ]
    (folder / "slurm.conf").write_text(
        _CONF.format(
            controller=controller, nodes="\n".join(lines), folder=folder, user=getpass.getuser()
        )
    )
    cluster = Cluster({"SLURM_CONF": str(folder / "slurm.conf")}, names)
    daemons: list[subprocess.Popen] = []

    def start(name: str, *words: str) -> None:
        with (folder / f"{name}.out").open("wb") as out:
            daemon = subprocess.Popen(
                [str(programs[name]), *words],
                env={**os.environ, **cluster.environment},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        daemons.append(daemon)

    def until(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            dead = any(daemon.poll() is not None for daemon in daemons)
            if dead or time.monotonic() > deadline:
                said = [file.read_text(errors="replace")[-500:] for file in folder.glob("*.out")]
                raise Unavailable(f"{what} did not start: {' '.join(said)}")
            time.sleep(0.1)

    try:
        files = ("key-file", "socket", "pid-file", "log-file", "seed-file")
        places = ("munge.key", "munge.sock", "munge.pid", "munge.log", "munge.seed")
        pairs = zip(files, places, strict=True)
        options = [f"--{file}={folder / place}" for file, place in pairs]
        start("munged", "--foreground", "--force", *options)
        until((folder / "munge.sock").exists, "munged")
        start("slurmctld", "-D")
        for name in names:
            (folder / "spool" / name).mkdir(parents=True)
            start("slurmd", "-D", "-N", name)
        until(lambda: _idle(cluster) == nodes, "slurmctld or slurmd")
        yield cluster
    finally:
        with contextlib.suppress(AssertionError):  # jobs first: their daemons clean up after them
            cluster.ask("scancel", "--user", getpass.getuser())
            cluster.ended()
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _idle(cluster: Cluster) -> int:
    with contextlib.suppress(AssertionError):
        return cluster.ask("sinfo", "--noheader", "--Node", "--format=%T").split().count("idle")
    return 0


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background shells ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    with serve(int(sys.argv[1]) if len(sys.argv) > 1 else 2) as running:
        for variable, value in running.environment.items():
            print(f"export {variable}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
