"""Train a run with Lightning, and write its record.

``fit`` trains a frozen run: ``classifier`` is the LightningModule, ``optimizer`` its optimizer, and
``history``, ``checkpoints`` and ``progress`` its callbacks, and ``loggers`` its loggers.
``callbacks`` builds a user's own callbacks. ``result`` writes the record.
"""
