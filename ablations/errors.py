"""End a command or a run with one line for the user."""

import errno
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablations.config import ConfigError
from ablations.files import remove_partial

# Phrases of libraries that report a lack of memory without a MemoryError.
_MEMORY = (
    *("allocate memory", "out of memory", "failed to map segment", "start new thread"),
    "memory exhausted",
)
MORE_MEMORY = "give it more memory, or train one run at a time with trainer.parallel=1"


class RunsFailed(ConfigError):
    """Runs that ended without a record; the message counts them and names the next step."""


@contextmanager
def ended_in_words() -> Iterator[None]:
    """Exit with one line instead of a traceback after an error that is not a bug.

    Raises:
        SystemExit: With that line; 130 after Ctrl-C, 141 if standard output was closed.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # as by `| head`; the interpreter must not flush at exit again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if not isinstance(error, ConfigError | OSError) and not lacks_memory(error):
            raise
        sys.exit(f"error: {plain(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


def explain_failure(error: Exception, folder: Path) -> str | None:
    """Return why a run failed, in one line; None if the error may be a bug.

    Args:
        error: The error that ended the run.
        folder: The run's folder.
    """
    if isinstance(error, ConfigError) or lacks_memory(error):
        return plain(error)
    # Connection errors are caused by other processes; errors without errno come from libraries.
    if not isinstance(error, OSError) or isinstance(error, ConnectionError) or not error.errno:
        return None
    return (
        f"{folder}: {plain(error)}; next step: free space or fix this, then repeat the command to "
        "resume from the checkpoint"
    )


def lacks_memory(error: Exception) -> bool:
    """Return whether an error means too little memory, of this machine or of a GPU."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    known = isinstance(error, ImportError | OSError | RuntimeError)
    return known and any(words in str(error).lower() for words in _MEMORY)


def describe_end(exitcode: int) -> str:
    """Return how a process ended: its exit code, or the signal with a likely cause.

    Args:
        exitcode: As in :mod:`multiprocessing`: minus the number of the signal; or 128 plus the
            number, as from a shell.

    Examples:
        >>> describe_end(3), describe_end(-11), describe_end(137)
        ('exit code 3', 'ended by SIGSEGV', 'ended by SIGKILL, perhaps for lack of memory')
    """
    try:
        name = signal.Signals(-exitcode if exitcode < 0 else exitcode - 128).name
    except ValueError:
        return f"exit code {exitcode}"
    return f"ended by {name}{', perhaps for lack of memory' if name == 'SIGKILL' else ''}"


def plain(error: Exception) -> str:
    """Return an error as one line for the user; an OSError includes its file."""
    if lacks_memory(error):
        said = " ".join(str(error).split()) or type(error).__name__
        return f"not enough memory ({said[:200]}); next step: {MORE_MEMORY}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def writable(folder: Path, given: str, other: str) -> Path:
    """Create a folder, check that it is writable, and remove half-written files from it.

    Args:
        folder: The folder.
        given: How the user gave it, such as ``--to report``.
        other: How to choose another, such as ``--to FOLDER``.

    Returns:
        Its absolute path.

    Raises:
        ConfigError: Nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(bytes(4096))
        remove_partial(folder)
    except OSError as error:
        raise ConfigError(
            f"{given}: cannot write there ({error.strerror}); next step: free space or give "
            f"access, or choose another folder with {other}"
        ) from None
    return folder.resolve()
