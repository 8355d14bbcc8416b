"""What the server that forks the runs imports once, ahead of them.

Imports take seconds, in which the server does not look whether its command is alive: meanwhile the
kernel ends it together with the command, where it can.
"""

import atexit
import ctypes
import os
import signal
import sys

from ablations.launch import COMMAND

_PARENT_DEATH_SIGNAL = 1  # of prctl(2), which Linux has


def _end_with_parent(number: int) -> None:
    if COMMAND in os.environ and hasattr(libc := ctypes.CDLL(None), "prctl"):
        libc.prctl(_PARENT_DEATH_SIGNAL, number)


_end_with_parent(signal.SIGKILL)
if os.environ.get(COMMAND, str(os.getppid())) != str(os.getppid()):
    sys.exit()  # it has died before
try:
    import ablations.launch.ranks
    import ablations.launch.task
    import ablations.models.initialization  # noqa: F401  # it imports Triton
except (ImportError, MemoryError) as error:
    from ablations.errors import lacks_memory, plain

    if lacks_memory(error):  # a run in this process would fail in other words
        sys.exit(f"error: {plain(error)}")
    raise
finally:
    _end_with_parent(0)
if os.environ.pop(COMMAND, None):
    atexit.register(os._exit, 0)  # to take torch apart would take seconds
