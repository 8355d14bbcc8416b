import hashlib
import io
import pickle
import sys
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from ablations.config import ConfigError, DataConfig, Source
from ablations.data import cifar10
from ablations.data.cifar10 import ARCHIVE
from ablations.data.store import prepare

NAMES = ["airplane", "automobile"]


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


class _Cut(_Silent):
    """Promises the whole file and hangs up half-way."""

    def copyfile(self, source, outputfile) -> None:
        outputfile.write(source.read()[:200])


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Two files of three images in the official layout; torchvision expects their checksums."""
    pixels = np.arange(3, dtype=np.uint8)[:, None].repeat(3072, 1)
    members = {
        "data_batch_1": {"data": pixels, "labels": [0, 1, 1]},
        "test_batch": {"data": pixels + 100, "labels": [1, 0, 0]},
        "batches.meta": {"label_names": NAMES},
    }
    file, sums = io.BytesIO(), {}
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, value in members.items():
            content = pickle.dumps(value)
            sums[name] = hashlib.md5(content).hexdigest()
            member = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(file.getvalue()).hexdigest())
    return file.getvalue()


@pytest.fixture
def site(tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A web server on this machine that serves the archive in place of the official one."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / ARCHIVE).write_bytes(archive)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=folder)) as server:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        address = f"http://127.0.0.1:{server.server_port}/{ARCHIVE}"
        monkeypatch.setattr(CIFAR10, "url", address)
        monkeypatch.setattr(cifar10, "URL", address)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


def _dataset(root: Path | None = None) -> DataConfig:
    return DataConfig(source=Source.cifar10, path=str(root) if root else None, size=32)


def _check(cache: Path, root: Path | None = None) -> None:
    store = prepare(_dataset(root), cache)
    assert (store.name, store.classes) == ("CIFAR-10", tuple(NAMES))
    assert store.train_labels.tolist() == [0, 1, 1]
    assert store.train_images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert store.test_images[:, 31, 31, 2].tolist() == [100, 101, 102]


def test_the_files_are_downloaded_once(site: Path, tmp_path: Path, capsys):
    _check(tmp_path / "cache")
    assert "100%" in capsys.readouterr().err
    (site / ARCHIVE).unlink()
    _check(tmp_path / "cache")


def test_the_archive_is_where_torchvision_looks_for_it():
    assert (CIFAR10.url, CIFAR10.filename) == (cifar10.URL, ARCHIVE)
    assert CIFAR10.base_folder == cifar10.FOLDER


def test_without_a_network_the_message_says_what_to_do(archive: bytes, tmp_path: Path, monkeypatch):
    folder = tmp_path / "mine"
    with pytest.raises(ConfigError, match="no such folder"):
        prepare(_dataset(folder), tmp_path / "cache")
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(cifar10, "URL", "http://127.0.0.1:1/" + ARCHIVE)
        # Nor is there any waiting for an import that takes seconds.
        patch.setitem(sys.modules, "torchvision.datasets", None)
        with pytest.raises(ConfigError, match=f"put {ARCHIVE} into that folder, or use") as error:
            prepare(_dataset(folder), tmp_path / "cache")
    assert str(folder) in str(error.value)
    # The next step of the message works.
    (folder / ARCHIVE).write_bytes(archive)
    _check(tmp_path / "cache", folder)


def test_a_download_that_breaks_off_is_told_and_begun_again(
    site: Path, tmp_path: Path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(_Silent, "copyfile", _Cut.copyfile)
        with pytest.raises(ConfigError, match="could not download CIFAR-10"):
            prepare(_dataset(), tmp_path / "cache")
    _check(tmp_path / "cache")
