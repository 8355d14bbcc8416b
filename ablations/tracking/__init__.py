"""W&B dashboards of a project, built from the local records and verdicts.

``layout``  the workspace and the report
``agents``  sweep files for W&B's agents, from the studies
"""
