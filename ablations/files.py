"""Write files atomically."""

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

_PARTIAL = ".partial"


def write_atomically(path: Path, content: str | bytes, *, lasting: bool = True) -> None:
    """Replace a file atomically, so that a killed process leaves the old or the new content.

    Args:
        path: The file.
        content: The whole content.
        lasting: Wait for the disk, so that a power failure loses nothing.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(_PARTIAL, f".{path.name}.", path.parent)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)  # held until closed, see remove_partial
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):  # the error of a full disk has no file name
            error.filename = str(path)
        raise


def remove_partial(folder: Path) -> None:
    """Remove partial files of killed processes; a file that is being written is kept."""
    for path in folder.glob(f".*{_PARTIAL}"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
