"""The AlexNet ablation suite: every empirical claim of the 2012 paper, trained and decided."""

__version__ = "0.1.0"
