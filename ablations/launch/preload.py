"""Modules that the fork server imports once, before it forks the runs.

On Linux, the kernel is told to kill the server when its command ends: the server itself would not
notice the end during these imports, and would then need seconds to tear down torch.
"""

import ctypes
import os
import signal
import sys
from importlib import import_module

from ablations.launch import COMMAND

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)

if COMMAND in os.environ:
    if hasattr(libc := ctypes.CDLL(None), "prctl"):
        libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.environ[COMMAND] != str(os.getppid()):
        sys.exit()  # the command has already ended
    for name in ("launch.task", "models.initialization", "training.fit"):
        import_module(f"ablations.{name}")
