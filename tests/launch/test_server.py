import os
import signal
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_signal_to_the_whole_group_spares_the_server(start, tiny):
    command = start(*tiny, "recipe.epochs=2000")
    command.wait_until(lambda: list(Path("runs").glob("*/last.ckpt")))
    groups = {os.getpgid(pid) for pid, line in command._alive().items() if "forkserver" in line}
    assert groups
    assert command.process.pid not in groups
    os.killpg(command.process.pid, signal.SIGTERM)
    assert command.finish(120).code == 143, (command.out, command.err)
    assert not command.left_over(5)
