"""Fixtures for the tests of the launchers: a free port and a SLURM cluster."""

import socket
from collections.abc import Iterator

import pytest
from slurm_cluster import Cluster, Unavailable, serve


@pytest.fixture
def port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A SLURM cluster of two nodes with one CPU each."""
    try:
        with serve(nodes=2, cpus=1) as cluster:
            yield cluster
    except Unavailable as error:
        pytest.skip(f"no SLURM here: {error}")
