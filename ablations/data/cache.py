"""Locate the cache folder, and lock its entries while they are written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from ablations.config import ConfigError
from ablations.data.sources import Report


def cache_folder() -> Path:
    """Return ``$ABLATIONS_CACHE`` or, if unset, the user's cache folder on this system."""
    if folder := os.environ.get("ABLATIONS_CACHE"):
        return Path(folder).expanduser().absolute()
    return user_cache_path("alexnet-ablations")


@contextmanager
def writing_alone(path: Path, report: Report) -> Iterator[None]:
    """Hold the lock of one entry of the cache; wait while another process holds it.

    Args:
        path: The entry; its parent, the cache folder, is created if missing.
        report: Called if another process holds the lock.

    Raises:
        ConfigError: The cache folder cannot be written, or the ``with`` block raised an OSError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            report("waiting for another process that prepares the same data")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        raise ConfigError(
            f"cache={path.parent}: cannot write there ({error.strerror or error}); next step: free "
            "space or give access, or choose another folder with cache=FOLDER"
        ) from None
