"""What happens to files that lie on a disk: every function changes one file in place."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

Damage = Callable[[Path, Random], None]


def flip_bit(path: Path, random: Random) -> None:
    """Flip one bit anywhere."""
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    _write(path, content)


def zero_block(path: Path, random: Random) -> None:
    """Zero the 4 kB of one block, or all of a shorter file."""
    content = bytearray(path.read_bytes())
    start = random.randrange(-(-len(content) // 4096)) * 4096
    content[start : start + 4096] = bytes(len(content[start : start + 4096]))
    _write(path, content)


def truncate(path: Path, random: Random) -> None:
    """Cut off the end, somewhere."""
    _write(path, path.read_bytes()[: random.randrange(1, path.stat().st_size)])


def remove(path: Path, random: Random) -> None:
    """Remove the file."""
    path.unlink()


def make_folder(path: Path, random: Random) -> None:
    """Put a folder in the file's place."""
    path.unlink()
    path.mkdir()


def link_nowhere(path: Path, random: Random) -> None:
    """Put a link to a missing file in its place."""
    path.unlink()
    path.symlink_to(path.with_name("gone"))


def replace_by(content: bytes) -> Damage:
    """Put another file's content in its place."""

    def replaced(path: Path, random: Random) -> None:
        _write(path, content)

    return replaced


class Hostile:
    """A pickle that makes a file when it is loaded as a program."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.proof),)


def hostile_checkpoint(path: Path, random: Random) -> None:
    """Put a checkpoint whose pickle makes the folder ``hacked`` beside it in its place."""
    import torch

    path.unlink(missing_ok=True)
    torch.save({"state_dict": Hostile(path.with_name("hacked"))}, path)


def hostile_pickle(path: Path, random: Random) -> None:
    """Put a bare pickle that makes the folder ``hacked`` beside it in its place."""
    _write(path, pickle.dumps(Hostile(path.with_name("hacked"))))


def hostile_yaml(path: Path, random: Random) -> None:
    """Let YAML make the folder ``hacked`` beside it."""
    proof = path.with_name("hacked")
    _write(path, f"!!python/object/apply:os.mkdir [{proof}]\n".encode())


def clear(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, content: bytes | bytearray) -> None:
    # The times stay: what is damaged by a disk is not newer.
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
