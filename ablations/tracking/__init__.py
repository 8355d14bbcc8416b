"""The W&B workspace and report of a project, built from local records and verdicts."""
