"""The official CIFAR-10 files, downloaded and checked by torchvision."""

import http.client
import urllib.request
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ablations.config import ConfigError, DataConfig
from ablations.data.sources import Images, Report, Sample, Split

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
TIMEOUT_SECONDS = 5


def read(data: DataConfig, cache: Path, scratch: Path, report: Report) -> Images:
    """Load both splits; what is missing is downloaded with a progress bar.

    Args:
        data: Its ``path`` is the folder of the files; None takes ``cache``.
        cache: Folder for downloads.
        scratch: Not used.
        report: Not used.

    Raises:
        ConfigError: The files are not there and cannot be downloaded.
    """
    root = Path(data.path).expanduser() if data.path else cache / "cifar10"
    if data.path and not root.is_dir():
        raise ConfigError(
            f"data.path={data.path}: no such folder, which data.source=cifar10 reads or downloads "
            f"{ARCHIVE} in; next step: make it, or add data.source=huggingface for another data set"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not any((root / name).exists() for name in (ARCHIVE, FOLDER)):
            # Asked before the import: torchvision loads for seconds, and without a network in vain.
            urllib.request.urlopen(URL, timeout=TIMEOUT_SECONDS).close()
        from torchvision.datasets import CIFAR10

        with warnings.catch_warnings():
            # The files are pickles of 2009, from before numpy's `align` was a bool.
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            train = CIFAR10(root, train=True, download=True)
            test = CIFAR10(root, train=False, download=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise ConfigError(
            f"could not download CIFAR-10 from {URL} into {root} ({error}); next step: put "
            f"{ARCHIVE} into that folder, or use files that you have: "
            "data.source=huggingface data.train=[FILE] data.test=[FILE]"
        ) from None
    return Images("CIFAR-10", list(train.classes), _split("train", train), _split("test", test))


def _split(name: str, data: "CIFAR10") -> Split:
    samples = (Sample(image, f"CIFAR-10 {name} row {n}") for n, image in enumerate(data.data))
    return Split(np.array(data.targets, np.int64), samples)
