"""Training: a LightningModule, what accompanies it, and the record that it leaves.

``fit`` trains a frozen run with the ``classifier`` and its ``optimizer``, ``history``,
``checkpoints`` and ``loggers``; ``result`` writes the record.
"""
