"""What W&B shows of the records: a mirror that can be built anew at any time.

``sync``    finished runs and verdicts, each W&B run rebuilt from what lies on disk
``layout``  the workspace and the report; the one file with ``wandb_workspaces``
``agents``  sweeps of W&B's own agents, written from the claims
"""
