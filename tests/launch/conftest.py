"""Fixtures of the launcher's tests: ports, and the nodes that meet there."""

import socket
from collections.abc import Iterator

import pytest
from slurm_cluster import Cluster, Unavailable, serve


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A SLURM cluster of two nodes with a CPU each."""
    try:
        with serve(nodes=2, cpus=1) as cluster:
            yield cluster
    except Unavailable as error:
        pytest.skip(f"no SLURM here: {error}")
