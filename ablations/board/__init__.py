"""The mirror of the records in W&B; it can be rebuilt from them at any time.

``sync``    sends finished runs, verdicts and report
``layout``  the workspace and the report; the one file with ``wandb_workspaces``
``agents``  sweep files for W&B's own agents, from the studies
"""
