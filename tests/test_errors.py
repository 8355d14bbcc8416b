import errno
import os
from pathlib import Path

import pytest

from ablations.config import ConfigError
from ablations.errors import ended_in_words, plain, plain_errors, writable


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/full/file"), "/full/file: No space"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError("no words of the system"), "no words of the system"),
        (ConfigError("seed=-1: must be"), "seed=-1: must be"),
    ],
)
def test_an_error_is_one_line_without_its_number(error: Exception, said: str):
    assert plain(error).startswith(said)


def test_a_folder_is_made_and_left_empty(tmp_path: Path):
    folder = tmp_path / "a" / "b"
    assert writable(folder, "output=a/b", "output=FOLDER") == folder
    assert list(folder.iterdir()) == []


def test_a_file_in_the_way_is_named_as_it_was_given(tmp_path: Path):
    (tmp_path / "file").touch()
    message = r"^--to x: cannot write there \(File exists\); .* choose another folder with --to F"
    with pytest.raises(ConfigError, match=message):
        writable(tmp_path / "file", "--to x", "--to F")


@pytest.mark.parametrize(("read", "code"), [(True, "error: Broken pipe"), (False, 141)])
def test_only_a_broken_standard_output_is_silent(monkeypatch, read, code):
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as output:
        if not read:
            os.dup2(writer, reader)  # no descriptor reads the pipe any more
        monkeypatch.setattr("sys.stdout", output)
        with pytest.raises(SystemExit) as ended, ended_in_words():
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")  # of a worker, or of `| head`
    assert ended.value.code == code


def test_a_full_disk_is_told_in_one_line_and_keeps_no_half_checkpoint(tmp_path: Path):
    (tmp_path / "last.ckpt").write_text("whole")
    (tmp_path / "last.tmp").write_text("half")
    with (
        pytest.raises(SystemExit, match=r"^error: .*No space left on device; next step: make room"),
        plain_errors(tmp_path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_other_errors_of_a_run_keep_their_traceback(tmp_path: Path):
    with pytest.raises(PermissionError), plain_errors(tmp_path):
        raise PermissionError(errno.EACCES, "no")
