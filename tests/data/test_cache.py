import errno
import threading
from pathlib import Path

import platformdirs
import pytest

from ablations.config import ConfigError, DataConfig
from ablations.data import cache, store


def test_the_folder_is_the_variable_or_the_users_cache(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ABLATIONS_CACHE", str(tmp_path))
    assert cache.cache_folder() == tmp_path
    monkeypatch.delenv("ABLATIONS_CACHE")
    assert cache.cache_folder() == platformdirs.user_cache_path("alexnet-ablations")


def test_a_second_writer_waits_and_says_so(tmp_path: Path):
    lines: list[str] = []
    order: list[str] = []
    waiting = threading.Event()

    def report(line: str) -> None:
        lines.append(line)
        waiting.set()

    def second() -> None:
        with cache.writing_alone(tmp_path / "entry", report):
            order.append("second")

    thread = threading.Thread(target=second)
    with cache.writing_alone(tmp_path / "entry", print):
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert lines == ["waiting for another process that prepares the same data"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cache folder .*/file/cache .*cache=FOLDER"):
        store.prepare(DataConfig(), tmp_path / "file/cache")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_named(
    few_synthetic, tmp_path: Path, monkeypatch, number: int
):
    def fail(*arguments: object) -> None:
        raise OSError(number, "the reason of the system")

    monkeypatch.setattr("ablations.data.build._write_header", fail)
    with pytest.raises(ConfigError, match=r"cannot write .*the reason of the system.*next step"):
        store.prepare(DataConfig(size=8, crop=8), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*px-*/"))
