"""Read the official CIFAR-10 files, which torchvision downloads and verifies."""

import http.client
import urllib.request
import warnings
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10

from ablations.config import ConfigError, DataConfig
from ablations.data.sources import CIFAR10_FILES, Report, Sample, SourceData, Split

TIMEOUT_SECONDS = 5


def read(data: DataConfig, cache: Path, scratch: Path, report: Report) -> SourceData:
    """Load both splits from ``data.path`` or ``cache``, after downloading missing files.

    Raises:
        ConfigError: The files are missing and cannot be downloaded.
    """
    root = Path(data.path).expanduser() if data.path else cache / "cifar10"
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not any((root / name).exists() for name in CIFAR10_FILES):
            # Fail early, because torchvision waits without a timeout.
            urllib.request.urlopen(CIFAR10.url, timeout=TIMEOUT_SECONDS).close()
        with warnings.catch_warnings():
            # numpy warns about the `align` of these pickles of 2009, which is not a bool.
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            train = CIFAR10(root, train=True, download=True)
            test = CIFAR10(root, train=False, download=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise ConfigError(
            f"data.source=cifar10: cannot download {CIFAR10.url} into {root} ({error}); next step: "
            f"put {CIFAR10.filename} into that folder, or use files of your own with "
            "data.source=huggingface data.train=[FILE] data.test=[FILE]"
        ) from None
    return SourceData("CIFAR-10", list(train.classes), _split("train", train), _split("test", test))


def _split(name: str, data: CIFAR10) -> Split:
    samples = (Sample(image, f"CIFAR-10 {name} row {n}") for n, image in enumerate(data.data))
    return Split(np.array(data.targets, np.int64), samples)
