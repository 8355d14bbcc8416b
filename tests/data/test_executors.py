import os

import pytest

from ablations.data.executors import cpu_cores, processes, threads


def test_a_thread_per_core():
    with threads() as pool:
        assert pool._max_workers == cpu_cores()
        assert list(pool.map(abs, [-1, 2])) == [1, 2]


@pytest.mark.slow
def test_work_is_done_in_other_processes():
    with processes() as pool:
        assert pool.submit(os.getpid).result() != os.getpid()
