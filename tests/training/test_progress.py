import json

import pytest

from ablations.training import progress


@pytest.fixture
def written(monkeypatch) -> list[dict]:
    """All contents that are written to the file, in order."""
    seen = []
    write = progress.write_atomically

    def note(path, content, *, lasting=True):
        assert not lasting  # training does not wait for the disk
        seen.append(json.loads(content))
        write(path, content, lasting=lasting)

    monkeypatch.setattr(progress, "write_atomically", note)
    return seen


def test_it_counts_epochs_and_images(written, tiny_job, train_here, monkeypatch):
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.0)
    train_here(tiny_job())
    training = [state for state in written if state["stage"] == "train"]
    epochs = [round(state["epoch"], 3) for state in training]
    assert epochs == [0.333, 0.667, 1.0, 1.0, 1.333, 1.667, 2.0, 2.0]
    assert all(state["images_per_second"] > 0 for state in training)
    assert training[-1]["seconds_left"] > 0  # the evaluation is still to come
    assert ["val_top1" in state for state in training] == [False] * 3 + [True] * 5
    testing = [state for state in written if state["stage"] == "test"]
    assert testing[0]["seconds_left"] is None
    # 49 training and 11 validation images in batches of 16, 23 test images one by one.
    assert len(testing) == 1 + 4 + 1 + 23
    shares = [state["done"] for state in written]
    assert shares == sorted(shares)
    # In forward passes: 49 + 11 + 23 * 10 views; a training step on 16 images counts as 48.
    assert training[-1]["done"] == pytest.approx(6 * 48 / (6 * 48 + 290))
    assert testing[-1]["done"] == 1
