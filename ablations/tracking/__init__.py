"""W&B dashboards of a project, built from local records and verdicts.

``workspace``  the workspace and the report
``agents``     sweep files for W&B agents, from the studies
"""
