"""The cache folder: where it is, and how one process at a time writes to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from ablations.config import ConfigError
from ablations.data.sources import Report


def cache_folder() -> Path:
    """``$ABLATIONS_CACHE``, or the user's cache folder on this system."""
    if folder := os.environ.get("ABLATIONS_CACHE"):
        return Path(folder).expanduser().absolute()
    return user_cache_path("alexnet-ablations")


@contextmanager
def writing_alone(path: Path, report: Report) -> Iterator[None]:
    """Hold the lock of one entry of the cache; wait while another process holds it.

    Args:
        path: The entry, in the cache folder, which is made if need be.
        report: Told when there is another process to wait for.

    Raises:
        ConfigError: The cache folder, or what the block writes into it, cannot be written.
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
            f"cannot write to the cache folder {path.parent} ({error.strerror or error}); next "
            "step: make room or give access there, or choose another folder with cache=FOLDER"
        ) from None
