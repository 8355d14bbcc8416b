"""Modules that the fork server imports once, before it forks the runs.

The imports take seconds, during which the server does not notice that its command has ended. On
Linux, the kernel kills it in that case.
"""

import atexit
import ctypes
import os
import signal
import sys

from ablations.launch import COMMAND

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2), on Linux only


def _end_with_parent(number: int) -> None:
    if COMMAND in os.environ and hasattr(libc := ctypes.CDLL(None), "prctl"):
        libc.prctl(_PARENT_DEATH_SIGNAL, number)


_end_with_parent(signal.SIGKILL)
if os.environ.get(COMMAND, str(os.getppid())) != str(os.getppid()):
    sys.exit()  # the command has already ended
try:
    import ablations.launch.ranks
    import ablations.launch.task
    import ablations.models.initialization  # noqa: F401  # imports Triton
except (ImportError, MemoryError) as error:
    from ablations.errors import lacks_memory, plain

    if lacks_memory(error):  # otherwise each run would fail with a less clear error
        sys.exit(f"error: {plain(error)}")
    raise
finally:
    _end_with_parent(0)
if os.environ.pop(COMMAND, None):
    atexit.register(os._exit, 0)  # skip the teardown of torch, which takes seconds
