import errno
import os
from pathlib import Path

import pytest

from ablations.config import ConfigError
from ablations.errors import ended_in_words, error_line, plain, plain_errors, writable


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


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_error_is_wrapped_between_words_only_on_a_terminal(terminal: bool, monkeypatch):
    text = f"output=/{'long/' * 20}: not a folder;\n  next step: choose-another one {'again ' * 20}"
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "40")
    line = error_line(text)
    assert line.split() == f"error: {text}".split()
    assert (line == f"error: {text}") is not terminal
    if terminal:
        assert all(len(row) <= 40 or row.startswith("output=/") for row in line.splitlines())


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


def test_nothing_that_bears_a_name_of_its_own_decides_whether_a_folder_is_writable(tmp_path: Path):
    # Two commands at once used one name for what they tried to write.
    (tmp_path / ".probe").mkdir()
    assert writable(tmp_path, "output=x", "output=FOLDER") == tmp_path


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), ": No space .*: free space, then"),
        (OSError(errno.EIO, "Input/output error", "/d/x"), "/d/x: Input/output error; next step"),
        (PermissionError(errno.EACCES, "no"), "no; next step: fix this, then repeat the command"),
        (ConfigError("seed=-1: must be"), "seed=-1: must be"),
        (MemoryError(), r"not enough memory \(MemoryError\); next step: give it more"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory:\nyou"), "not enough memory"),
    ],
    ids=str,
)
def test_what_is_no_fault_of_the_code_ends_a_run_with_one_line(
    error: Exception, said: str, tmp_path: Path
):
    with pytest.raises(SystemExit, match=f"^error: .*{said}") as ended, plain_errors(tmp_path):
        raise error
    assert "\n" not in str(ended.value)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(errno.ECONNRESET, "reset"), OSError("words"), RuntimeError("x")]
)
def test_other_errors_of_a_run_keep_their_traceback(error: Exception, tmp_path: Path):
    with pytest.raises(type(error)), plain_errors(tmp_path):
        raise error


@pytest.mark.parametrize("error", [MemoryError(), ImportError("x.so: failed to map segment")])
def test_a_command_that_lacks_memory_ends_with_one_line(error: Exception):
    with pytest.raises(SystemExit, match=r"^error: not enough memory"), ended_in_words():
        raise error
    with pytest.raises(ImportError, match="typo"), ended_in_words():
        raise ImportError("typo")
