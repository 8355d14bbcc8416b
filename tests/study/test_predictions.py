from dataclasses import replace

import numpy as np
import pytest
import torch

from ablations.config import ConfigError
from ablations.metrics import true_class_rank
from ablations.study import predictions


@pytest.fixture
def jobs(tiny_job, runs_dir):
    """Two runs on 23 test images: the first is wrong on two of them, the second on three."""
    base = tiny_job()
    labels = predictions._labels(base.store)
    jobs = [replace(base, run=replace(base.run, seed=seed)) for seed in (0, 1)]
    for job, wrong, weight in zip(jobs, ([0, 1], [1, 2, 3]), (0.6, 0.9), strict=True):
        guess = labels.copy()
        guess[wrong] = (guess[wrong] + 1) % 10
        table = np.full((23, 10), (1 - weight) / 9, np.float16)
        table[np.arange(23), guess] = weight
        folder = runs_dir / job.run.run_id
        folder.mkdir()
        np.savez_compressed(folder / "predictions.npz", center=table, ten_view=table[:, ::-1])
    return jobs


def test_an_ensemble_averages_probabilities(jobs, runs_dir):
    # Where the two disagree the second is surer.
    together = predictions.wrong_together(runs_dir, jobs, "center", 1)
    assert list(np.flatnonzero(together)) == [1, 2, 3]


def test_views_are_kept_apart(jobs, runs_dir):
    center = predictions.wrong_together(runs_dir, jobs, "center", 1)
    assert (predictions.wrong_together(runs_dir, jobs, "ten_view", 1) != center).any()


def test_the_right_class_may_be_among_five(jobs):
    table = np.zeros((23, 10), np.float16)
    labels = predictions._labels(jobs[0].store)
    table[np.arange(23)[:, None], (labels[:, None] + np.arange(10)) % 10] = np.linspace(0, 0.9, 10)
    assert predictions._misses(table, labels, 5).all()  # the right class comes last
    table[np.arange(23), labels] = 0.55
    assert not predictions._misses(table, labels, 5).any()  # four are above it
    assert predictions._misses(table, labels, 1).all()


def test_ties_and_what_is_no_number_count_as_for_single_runs():
    random = np.random.default_rng(0)
    table = random.integers(0, 3, (200, 10)).astype(np.float32)
    table[::7, 3] = np.nan
    labels = random.integers(0, 10, 200)
    rank = true_class_rank(torch.from_numpy(table), torch.from_numpy(labels)).numpy()
    for k in (1, 5):
        assert (predictions._misses(table, labels, k) == (rank >= k)).all()


def test_lost_predictions_are_named_with_the_way_out(jobs, runs_dir):
    lost = replace(jobs[0], run=replace(jobs[0].run, seed=9))
    with pytest.raises(ConfigError, match=r"predictions\.npz is gone.*delete that folder"):
        predictions.wrong_together(runs_dir, [lost, jobs[1]], "center", 1)
