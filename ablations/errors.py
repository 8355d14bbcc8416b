"""Errors that end a command or a run with one line for the user."""

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablations.config import ConfigError

UNREAD = 141  # exit code of a program that SIGPIPE ends


class RunsFailed(RuntimeError):
    """Runs that ended without a record; the message counts them and names the next step."""


@contextmanager
def ended_in_words() -> Iterator[None]:
    """End a command that cannot go on with one line for a user, and no traceback.

    Raises:
        SystemExit: With that line; 130 after Ctrl-C, 141 where standard output was closed.
    """
    try:
        yield
        sys.stdout.flush()
    except (ConfigError, OSError) as error:
        sys.exit(UNREAD if stdout_closed(error) else f"error: {plain(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def plain_errors(folder: Path) -> Iterator[None]:
    """End a run with one line, and no traceback, after an error that is no fault of the code.

    Args:
        folder: The run's folder. On a full disk its half-written checkpoint goes, whose room the
            log needs to say so.

    Raises:
        SystemExit: With that line.
    """
    try:
        yield
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        for path in folder.glob("*.tmp"):
            path.unlink()
        sys.exit(
            f"error: {folder}: {error.strerror}; next step: make room, then the same command "
            "continues from the last checkpoint"
        )


def stdout_closed(error: Exception) -> bool:
    """Return whether standard output was closed, as by `| head`; further output is then dropped.

    A broken pipe to another process or node is the same error, and is not hidden.
    """
    if not isinstance(error, BrokenPipeError):
        return False
    output = select.poll()
    output.register(sys.stdout, 0)  # POLLERR is reported without being asked for
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def plain(error: Exception) -> str:
    """Return an error as one line for a user; one of the system names its file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def writable(folder: Path, given: str, other: str) -> Path:
    """Make a folder, and check that it can be written to.

    Args:
        folder: The folder.
        given: How the user named it.
        other: How to name another one.

    Returns:
        Its absolute path.

    Raises:
        ConfigError: Nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(bytes(4096))
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"{given}: cannot write there ({error.strerror}); make room or give access, or choose "
            f"another folder with {other}"
        ) from None
    return folder.resolve()
