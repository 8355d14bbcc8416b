import stat
from pathlib import Path

import pytest

from ablations.files import write_atomically


def test_a_file_has_all_of_its_content(tmp_path: Path):
    write_atomically(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
    write_atomically(tmp_path / "file", b"bytes", lasting=False)
    assert (tmp_path / "file").read_bytes() == b"bytes"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=f"No space left on device.*{path}"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_while_it_is_written_leaves_the_old_content(tmp_path: Path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def killed(*arguments: object) -> None:
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"


def test_others_may_read_what_is_written(tmp_path: Path):
    write_atomically(tmp_path / "file", b"bytes")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
