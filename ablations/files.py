"""Atomic writing of files."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: str | bytes, *, lasting: bool = True) -> None:
    """Replace ``path`` by ``content`` in one step that survives a kill.

    Args:
        path: The file.
        content: All of it.
        lasting: Wait for the disk, so that a power cut loses nothing.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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
        if isinstance(error, OSError):  # on a full disk it names no file
            error.filename = str(path)
        raise
