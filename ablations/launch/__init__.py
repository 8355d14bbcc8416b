"""Launch composed configurations as runs on devices.

Hydra calls ``task``; ``plan`` finds the runs to train; ``start`` hands them to ``pool`` on this
machine or to ``slurm``. ``worker`` is the process of one run; ``frozen`` trains it.
"""

# Environment variable that holds the process ID of a command, for its fork server.
COMMAND = "ABLATIONS_COMMAND"
