"""Launching: from composed configurations to runs on devices.

``task`` is what Hydra calls, ``plan`` what is to be done, ``start`` who does it: ``pool`` on this
machine, ``slurm`` on others. ``worker`` is a run's own process, ``ranks`` a run on several devices.
"""

# The variable that names the process of a command to the server that forks its runs.
COMMAND = "ABLATIONS_COMMAND"
