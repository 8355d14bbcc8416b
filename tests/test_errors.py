import errno
import re
from pathlib import Path

import pytest

from ablations.config import ConfigError
from ablations.errors import ended_in_words, explain_failure, writable


def test_a_folder_is_made_and_left_empty(tmp_path: Path):
    folder = tmp_path / "a" / "b"
    assert writable(folder, "output=a/b", "output=FOLDER") == folder
    assert list(folder.iterdir()) == []


def test_a_file_in_the_way_is_named_as_it_was_given(tmp_path: Path):
    (tmp_path / "file").touch()
    message = r"^--to x: cannot write there \(File exists\); .* choose another folder with --to F"
    with pytest.raises(ConfigError, match=message):
        writable(tmp_path / "file", "--to x", "--to F")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; next step"),
        (PermissionError(errno.EACCES, "denied", "/d/x"), "/d/x: denied; next step: free space"),
        (ConfigError("seed=-1: must be"), "seed=-1: must be"),
        (MemoryError(), r"not enough memory \(MemoryError\); next step: give it more"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory:\nyou"), "not enough memory"),
    ],
    ids=str,
)
def test_what_is_no_fault_of_the_code_is_explained_in_one_line(
    error: Exception, said: str, tmp_path: Path
):
    line = explain_failure(error, tmp_path)
    assert line is not None
    assert re.search(said, line)
    assert "\n" not in line


@pytest.mark.parametrize(
    "error", [ConnectionResetError(errno.ECONNRESET, "reset"), OSError("words"), RuntimeError("x")]
)
def test_other_errors_of_a_run_may_be_bugs(error: Exception, tmp_path: Path):
    assert explain_failure(error, tmp_path) is None


def test_a_command_that_lacks_memory_ends_with_one_line():
    with pytest.raises(SystemExit, match=r"^error: not enough memory"), ended_in_words():
        raise ImportError("x.so: failed to map segment")
    with pytest.raises(ImportError, match="typo"), ended_in_words():
        raise ImportError("typo")
