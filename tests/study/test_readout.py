from dataclasses import replace
from math import inf, isnan, log

import numpy as np
import pytest

from ablations.record import Scores
from ablations.study.readout import compare, measured
from ablations.study.tuning import choice_of, tune

TIMED = {
    "kind": "time_to_target",
    "measure": {"split": "running", "target": 0.3, "target_at": {"imagenet": 0.01}},
    "paper": {"says": "6 times", "effect": 6.0, "data": "CIFAR-10"},
    "decision": {"margin": 2.45, "why": "root"},
}


@pytest.fixture
def run(study, claim, record_of):
    (job,) = study(claim()).cases[0].arms["with"].candidates.values()
    record = record_of(job, error=0.2)
    return replace(
        record,
        colors=[0.7, 0.4],
        train=Scores(0.04, 0.01, 0.1, 500),
        test={"center": Scores(0.24, 0.12, 1.0, 800), "ten_view": Scores(0.22, 0.1, 1.0, 800)},
    )


@pytest.mark.parametrize(
    ("changes", "view", "value"),
    [
        ({}, "ten_view", 0.22),
        ({}, "center", 0.24),
        ({"measure": {"metric": "top5"}}, "center", 0.12),
        ({"measure": {"split": "val"}}, "ten_view", 0.2),
        ({"measure": {"split": "train"}}, "ten_view", 0.04),
        ({"measure": {"split": "running"}}, "ten_view", 1 / 7),
        ({"measure": {"split": "running", "epoch": 1}}, "ten_view", 1 / 2),
        ({"measure": {"split": "running", "metric": "loss", "epoch": 1}}, "ten_view", 0.4),
        ({"measure": {"split": "val", "epoch": 99}}, "ten_view", 0.2),
        ({"kind": "gap", "measure": {}}, "ten_view", 0.24 - 0.04),
        ({"measure": {"metric": "color"}}, "ten_view", 0.3),
        # 1/3 after epoch 2, 1/4 after epoch 3, and below from there on.
        (TIMED, "ten_view", 2.4),
    ],
)
def test_the_measure_of_a_run(claim, run, changes, view, value):
    assert measured(claim(**changes), "smoke", view, run) == pytest.approx(value)


def test_a_target_may_be_the_experiments_own_and_may_not_be_reached(claim, run):
    assert measured(claim(**TIMED), "imagenet", "ten_view", run) == inf


def test_a_diverged_run_has_no_measure(claim, run):
    assert isnan(measured(claim(), "smoke", "ten_view", replace(run, status="diverged")))


def compared(planned, hand, pairs=2):
    (case,) = planned.cases
    choice = choice_of(tune(case, planned.experiment, hand))
    jobs = [
        replace(job, run=replace(job.run, seed=seed))
        for arm in case.arms.values()
        for job in arm.candidates.values()
        for seed in range(pairs)
    ]
    hand.train(jobs)
    return compare(case, planned.experiment, choice, pairs, hand)


def test_a_comparison_holds_what_the_claim_says(study, claim, runner):
    hand = runner(lambda job: 0.3 if "nonoverlap" in job.label else 0.2 + job.run.seed / 100)
    found = compared(study(claim()), hand)
    assert found.without == {0: 0.3, 1: 0.3}
    assert found.with_technique == pytest.approx({0: 0.2, 1: 0.21})
    assert (found.paper, found.margin, found.looks) == (0.004, 0.002, (3, 5, 8))
    assert found.resolution == 1 / 1000
    assert found.diverged_as == 0.9
    # Of 1,000 images, 100 are wrong without the technique only in the first pair, 90 in the second.
    share = np.r_[np.zeros(200), np.full(10, 0.5), np.ones(90), np.zeros(700)]
    assert found.image_variance == pytest.approx(share.var() / 1000)


def test_the_papers_figure_is_compared_only_where_it_belongs(study, claim, runner):
    elsewhere = claim(paper={"says": "0.4 points", "effect": 0.004, "data": "ImageNet"})
    assert compared(study(elsewhere), runner(lambda job: 0.2)).paper is None


def test_times_have_the_budget_of_their_runs(study, claim, runner):
    found = compared(study(claim(**TIMED)), runner(lambda job: 0.2))
    assert found.budget == 6
    assert (found.diverged_as, found.resolution) == (None, 0.0)


def test_a_loss_is_in_nats(study, claim, runner):
    loss = claim(measure={"metric": "loss", "split": "running"})
    found = compared(study(loss), runner(lambda job: 0.2))
    assert (found.unit, found.diverged_as) == ("nats", log(10))


COLOR = {"measure": {"metric": "color", "direction": "higher"}}


def test_a_claim_about_kernels_counts_no_images(study, claim, runner, record_of):
    def outcome(job):
        if job.run.seed == 1 and "nonoverlap" in job.label:
            return record_of(job, status="diverged", test={}, train=None, val=None)
        return record_of(job, colors=[0.4, 0.7] if "nonoverlap" in job.label else [0.9, 0.2])

    found = compared(study(claim(**COLOR)), runner(outcome))
    assert found.with_technique == pytest.approx({0: 0.7, 1: 0.7})
    assert found.without[0] == pytest.approx(0.3)
    assert isnan(found.without[1])
    assert (found.resolution, found.image_variance, found.diverged_as) == (0.0, None, 0.0)
    assert (found.unit, found.direction) == ("points", "higher")


def test_a_record_of_before_the_measure_was_kept_says_nothing(study, claim, runner, record_of):
    hand = runner(lambda job: record_of(job, colors=[0.4, 0.7] if job.run.seed else []))
    found = compared(study(claim(**COLOR)), hand)
    assert found.without == found.with_technique == pytest.approx({1: 0.3})


def test_an_interaction_is_a_difference_of_differences(study, claim, runner, record_of):
    def outcome(job):
        tanh, without = "tanh" in job.label, "nonoverlap" in job.label
        if tanh and without and job.run.seed == 1:
            return record_of(job, status="diverged", test={}, train=None, val=None)
        return 0.2 + 0.1 * tanh + 0.05 * tanh * without

    interaction = claim(common=["activation=tanh"], reference=["activation=relu"])
    found = compared(study(interaction), runner(outcome))
    assert found.with_technique == pytest.approx({0: 0.1, 1: 0.1})
    # A diverged run counts as chance before the subtraction.
    assert found.without == pytest.approx({0: 0.15, 1: 0.7})
    assert found.diverged_as is None


def test_runs_that_are_missing_leave_their_pair_out(study, claim, runner):
    hand = runner(lambda job: None if job.run.seed == 1 and "nonover" in job.label else 0.2)
    found = compared(study(claim()), hand)
    assert set(found.without) == {0}
    assert set(found.with_technique) == {0, 1}


def test_an_ensemble_is_held_against_its_members(study, claim, runner, monkeypatch):
    together = np.arange(1000) < 150
    monkeypatch.setattr(
        "ablations.study.predictions.wrong_together", lambda output, jobs, view, k: together
    )
    ensemble = claim(technique="ensemble", ensemble=2, **{"with": [], "without": []})
    hand = runner(lambda job: 0.2 + job.run.seed / 10)  # of two members: 0.2 and 0.3
    (case,) = (planned := study(ensemble)).cases
    (job,) = case.arms["with"].candidates.values()
    hand.train([replace(job, run=replace(job.run, seed=seed)) for seed in (0, 1)])
    choice = choice_of(tune(case, planned.experiment, hand))
    found = compare(case, planned.experiment, choice, 1, hand)
    assert (found.without, found.with_technique) == ({0: 0.25}, {0: 0.15})
    share = np.r_[np.zeros(150), np.ones(50), np.full(100, 0.5), np.zeros(700)]
    assert found.image_variance == pytest.approx(share.var() / 1000)
