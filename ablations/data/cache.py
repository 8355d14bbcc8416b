"""Locate the cache folder, and lock its entries while they are written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from ablations.config import ConfigError


def cache_folder() -> Path:
    """Return ``$ABLATIONS_CACHE`` or, if unset, the user's cache folder on this system."""
    if folder := os.environ.get("ABLATIONS_CACHE"):
        return Path(folder).expanduser().absolute()
    return user_cache_path("alexnet-ablations")


@contextmanager
def writing_alone(path: Path) -> Iterator[None]:
    """Hold the lock of one entry of the cache; wait while another process holds it.

    Args:
        path: The entry; its parent, the cache folder, is created if missing.

    Raises:
        ConfigError: The cache folder cannot be written, or the ``with`` block raised an OSError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            yield
    except OSError as error:
        raise ConfigError(
            f"cache={path.parent}: cannot write there ({error.strerror or error}); next step: free "
            "space or give access, or choose another folder with cache=FOLDER"
        ) from None
