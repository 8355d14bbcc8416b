import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ablations.config import ConfigError, DataConfig, Storage
from ablations.data import build
from ablations.data.progress import Progress
from ablations.data.sources import Images, Sample, Split
from ablations.data.store import Store, damage, prepare


def _images(pixels: np.ndarray) -> Images:
    def split() -> Split:
        samples = (Sample(image, str(n)) for n, image in enumerate(pixels))
        return Split(np.arange(len(pixels)) % 2, samples)

    return Images(["a", "b"], split(), split())


@pytest.mark.parametrize("chunk_bytes", [1, 600, 2**22])
def test_the_store_is_the_same_for_every_chunk_length(chunk_bytes, tmp_path: Path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (25, 8, 8, 3), np.uint8)
    monkeypatch.setattr(build, "CHUNK_BYTES", chunk_bytes)
    build.build(_images(pixels), tmp_path, DataConfig(size=8, crop=8), lambda line: None)
    assert (np.load(tmp_path / "train_images.npy") == pixels).all()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["fingerprint"].startswith("36b597dff20b13e1")


def test_the_fingerprint_depends_on_pixels_labels_and_splits(tmp_path: Path):
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    changed = pixels.copy()
    changed[3, 7, 7, 2] = 1
    plain, other = _images(pixels), _images(changed)
    relabelled = Split(np.array([0, 1, 0, 0]), _images(pixels).test.samples)
    variants = [
        plain,
        Images(["a", "b"], other.train, _images(pixels).test),
        Images(["a", "b"], _images(pixels).train, other.test),
        Images(["a", "b"], _images(pixels).train, relabelled),
        _images(pixels[:3]),
    ]
    found = set()
    for n, images in enumerate(variants):
        (tmp_path / str(n)).mkdir()
        build.build(images, tmp_path / str(n), DataConfig(size=8, crop=8), lambda line: None)
        found.add(json.loads((tmp_path / str(n) / "manifest.json").read_text())["fingerprint"])
    assert len(found) == len(variants)


def test_a_disk_that_is_too_small_is_told_before_the_work(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(ConfigError, match="a larger disk with cache=FOLDER"):
        build.build(
            _images(np.zeros((9, 8, 8, 3), np.uint8)), tmp_path, DataConfig(size=8, crop=8), print
        )


def test_progress_is_reported_about_once_a_second(tmp_path: Path, monkeypatch):
    clock = iter(np.arange(0, 1000, 0.4))
    monkeypatch.setattr(build.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(build, "CHUNK_BYTES", 1)
    lines: list[str] = []
    pixels = np.zeros((10, 8, 8, 3), np.uint8)
    build.build(_images(pixels), tmp_path, DataConfig(size=8, crop=8), lines.append)
    assert lines[0] == "decoding train images: 3 of 10, less than a minute left"
    assert len(lines) == 7
    assert lines[-1] == "decoded 10 training and 10 test images"


def test_few_chunks_are_decoded_ahead(monkeypatch):
    monkeypatch.setattr(build, "CHUNK_BYTES", 1)
    taken: list[int] = []

    def samples():
        for n in range(1000):
            taken.append(n)
            yield Sample(np.zeros((8, 8, 3), np.uint8), str(n))

    packed = build._packed(Split(np.zeros(1000), samples()), 0, DataConfig(size=8, crop=8))
    assert next(packed).kept == [0]
    assert len(taken) < 200
    packed.close()


# Prepares `plain_folders` in processes, one image at a time, and tells what is safely written.
CHILD = """
import sys
from pathlib import Path
from ablations.config import DataConfig, Source, Storage
from ablations.data import build, store
from ablations.data.progress import Progress
build.CHUNK_BYTES, build.SAVE_SECONDS = 1, -1
save = Progress.save
def told(self, path):
    save(self, path)
    print(path.name, self.done, flush=True)
Progress.save = told
data = DataConfig(source=Source.imagenet, root=sys.argv[1], storage=Storage.jpeg, size=64, crop=64,
                  skip_broken=True)
print(store.prepare(data, Path(sys.argv[2]), print).fingerprint)
"""


def _child(data: DataConfig, cache: Path, tag: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(data.root), str(cache)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TEST_TAG": tag},
    )


def _alive(tag: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"TEST_TAG={tag}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def test_a_build_killed_at_a_third_continues_to_the_same_checksums(
    plain_folders: DataConfig, reference: Store, tmp_path: Path
):
    tag = uuid.uuid4().hex
    child = _child(plain_folders, tmp_path, tag)
    assert child.stdout is not None
    for line in child.stdout:
        if line.split()[-1] == "4":
            break
    child.kill()
    child.communicate()
    deadline = time.monotonic() + 20
    while _alive(tag) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(tag)  # the processes that decoded have ended, too

    lines: list[str] = []
    store = prepare(plain_folders, tmp_path, lines.append)
    begun = re.fullmatch(r"continuing after (\d+) of 13 train images", lines[0])
    assert begun
    assert 4 <= int(begun[1]) < 13
    # Threads in one process before, several processes here, and a break: the same to the last bit.
    assert (store.path / "manifest.json").read_bytes() == (
        reference.path / "manifest.json"
    ).read_bytes()
    assert damage(store.path) is None
    assert sorted(path.name for path in store.path.iterdir()) == sorted(
        path.name for path in reference.path.iterdir()
    )


@pytest.mark.slow
def test_two_processes_pack_once(plain_folders: DataConfig, reference: Store, tmp_path: Path):
    children = [_child(plain_folders, tmp_path, "") for _ in range(2)]
    outputs = [child.communicate(timeout=120)[0].splitlines() for child in children]
    assert [lines[-1] for lines in outputs] == [reference.fingerprint] * 2
    saved = [line for lines in outputs for line in lines if "progress" in line]
    assert len(saved) == len(set(saved)) + 2  # once after the last image, once at the end


@pytest.mark.parametrize("storage", list(Storage))
def test_a_full_disk_is_told_and_the_work_kept(storage, plain_folders, tmp_path, monkeypatch):
    data = replace(plain_folders, storage=storage)
    whole = prepare(data, tmp_path / "whole")
    monkeypatch.setattr(build, "processes", build.threads)
    monkeypatch.setattr(build, "CHUNK_BYTES", 1)
    monkeypatch.setattr(build, "SAVE_SECONDS", -1)
    calls = iter(range(100))

    def full(progress: Progress, path: Path) -> None:
        if next(calls) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(progress, path)

    save = Progress.save
    monkeypatch.setattr(Progress, "save", full)
    with pytest.raises(ConfigError, match=r"cannot write to .* \(No space left on device\)"):
        prepare(data, tmp_path / "cache")
    lines: list[str] = []
    store = prepare(data, tmp_path / "cache", lines.append)
    assert lines[0] == "continuing after 5 of 13 train images"
    assert store.fingerprint == whole.fingerprint
    assert damage(store.path) is None
