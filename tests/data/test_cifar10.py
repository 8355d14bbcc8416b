import hashlib
import io
import pickle
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
from ablations.data.store import prepare

NAMES = ["airplane", "automobile"]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve two files of three images in the official layout as the official archive."""
    pixels = np.arange(3, dtype=np.uint8)[:, None].repeat(3072, 1)
    members = {
        "data_batch_1": {"data": pixels, "labels": [0, 1, 1]},
        "test_batch": {"data": pixels + 100, "labels": [1, 0, 0]},
        "batches.meta": {"label_names": NAMES},
    }
    path = tmp_path / "site" / CIFAR10.filename
    path.parent.mkdir()
    sums = {}
    with tarfile.open(path, mode="w:gz") as tar:
        for name, value in members.items():
            content = pickle.dumps(value)
            sums[name] = hashlib.md5(content).hexdigest()
            member = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    for name, value in {
        "tgz_md5": hashlib.md5(path.read_bytes()).hexdigest(),
        "train_list": [["data_batch_1", sums["data_batch_1"]]],
        "test_list": [["test_batch", sums["test_batch"]]],
        "meta": meta,
    }.items():
        monkeypatch.setattr(CIFAR10, name, value)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(SimpleHTTPRequestHandler, directory=path.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{path.name}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def _data(root: Path | None = None) -> DataConfig:
    return DataConfig(source=Source.cifar10, path=str(root) if root else None, size=32)


def _check(cache: Path, root: Path | None = None) -> None:
    store = prepare(_data(root), cache)
    assert (store.name, store.classes) == ("CIFAR-10", tuple(NAMES))
    assert store.train_labels.tolist() == [0, 1, 1]
    assert store.train_images[:][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert store.test_images[:][:, 31, 31, 2].tolist() == [100, 101, 102]


def test_the_files_are_downloaded_once(archive: Path, tmp_path: Path):
    _check(tmp_path / "cache")
    archive.unlink()
    _check(tmp_path / "cache")


def test_a_download_that_breaks_off_is_told_and_begun_again(archive: Path, tmp_path: Path):
    whole = archive.read_bytes()
    archive.write_bytes(whole[:200])
    with pytest.raises(ConfigError, match=r"^data.source=cifar10: cannot download"):
        prepare(_data(), tmp_path / "cache")
    archive.write_bytes(whole)
    _check(tmp_path / "cache")


def test_without_a_network_the_next_step_works(archive: Path, tmp_path: Path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "cat.png").touch()
    _check(tmp_path / "cache")  # its images are not taken for those of the folder
    with pytest.raises(ConfigError, match=r"^data.path=.*cifar-10-python.*data.source=huggingface"):
        prepare(_data(folder), tmp_path / "cache")
    archive.rename(folder / CIFAR10.filename)
    with pytest.raises(ConfigError, match=rf"put {CIFAR10.filename} into"):
        prepare(_data(), tmp_path / "other")
    _check(tmp_path / "other", folder)
