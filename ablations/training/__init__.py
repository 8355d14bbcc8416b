"""Train a run with Lightning, and write its record.

``fit`` trains a frozen run: ``classifier`` is the LightningModule, ``optimizer`` its optimizer, and
``history``, ``checkpoints``, ``progress`` and ``loggers`` have the callbacks. ``result`` writes the
record.
"""
