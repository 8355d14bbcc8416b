import subprocess
import sys

import numpy as np
import pytest

from benchmarks.processes import peak_memory

CHILD = "import numpy; from benchmarks.processes import peak_memory; print(peak_memory())"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_of_a_process_is_not_that_of_its_parent(pytestconfig):
    held = np.ones(2**26)  # 512 MiB
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(child.stdout) < 300 < held.nbytes / 2**20 < peak_memory()
