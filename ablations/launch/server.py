"""Loaded by the server that forks the runs, before all else; importing it is its effect.

The server leaves the process group of its command. A signal to the whole group, as from ``timeout``
or a service manager, would end it beside the command, and with it what the command knows of its
runs: they would be killed before their checkpoints are written.
"""

import os

os.setpgid(0, 0)
