"""What the system refuses, in words for a user."""

from pathlib import Path

from ablations.config import ConfigError


def plain(error: Exception) -> str:
    """An error in one line for a user; of the system, with the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def writable(folder: Path, given: str, other: str) -> Path:
    """Make a folder, and try it.

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
