import os
import stat
from pathlib import Path

import pytest

from ablations.files import remove_partial, write_atomically


def test_a_file_has_all_of_its_content_and_others_may_read_it(tmp_path: Path):
    path = tmp_path / "file"
    write_atomically(path, "text")
    assert path.read_text() == "text"
    write_atomically(path, b"bytes", lasting=False)
    assert path.read_bytes() == b"bytes"
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("step", "error"),
    [("os.fsync", OSError(28, "No space left on device")), ("os.replace", KeyboardInterrupt())],
    ids=["full disk", "kill"],
)
def test_a_write_that_fails_leaves_the_old_content(
    step: str, error: BaseException, tmp_path: Path, monkeypatch
):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*arguments: object) -> None:
        assert path.read_text() == "old"
        raise error

    monkeypatch.setattr(step, fail)
    with pytest.raises(type(error)) as raised:
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    if isinstance(raised.value, OSError):
        assert raised.value.filename == str(path)


def test_what_a_killed_writer_left_is_removed_and_what_is_being_written_stays(
    tmp_path: Path, monkeypatch
):
    path = tmp_path / "file"
    replace = os.replace

    def killed(*arguments: object) -> None:
        replace(next(tmp_path.glob(".file.*")), tmp_path / ".file.old.partial")
        raise OSError(5, "killed")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(OSError, match="killed"):
            write_atomically(path, "half")

    def meanwhile(handle: int) -> None:
        remove_partial(tmp_path)  # another process

    monkeypatch.setattr("os.fsync", meanwhile)
    assert len(list(tmp_path.iterdir())) == 1
    write_atomically(path, "whole")
    assert list(tmp_path.iterdir()) == [path]
