"""The gate: a claim that cannot be tested at a scale trains no pairs."""

import re
from dataclasses import replace
from math import log

import pytest
from laboratory import STUDY, seeds_of, well, without_pooling

from ablations.claims import runs as claim_runs
from ablations.record import load

BAD = {"diverged": {"status": "diverged"}, "at chance": {"test": 0.9, "val": 0.9}}


def twice_as_long(job):
    return job.run.recipe.epochs == 12  # of 6 in the study


def assert_not_testable(laboratory):
    assert laboratory.result().label == "not testable here"
    assert not seeds_of(laboratory.trained)  # no pairs


def test_a_baseline_that_improves_at_twice_the_epochs_is_not_trained_out(laboratory):
    laboratory.outcome = lambda job: (
        (made := well(job)) | {"val": made["val"] * (0.8 if twice_as_long(job) else 1)}
    )
    printed = laboratory("hand")
    assert not laboratory.check("trained out").passed
    assert "changes by −" in laboratory.check("trained out").text
    assert "required: within ±5%" in printed
    assert_not_testable(laboratory)


def test_the_claims_own_measure_at_twice_the_epochs_is_shown_and_decides_nothing(laboratory):
    laboratory.outcome = lambda job: (
        (made := well(job)) | {"test": made["test"] * (0.5 if twice_as_long(job) else 1)}
    )
    laboratory("hand")
    check = laboratory.check("trained out")
    assert check.passed
    assert re.search(r"; test error: −(49|50|51)\.", check.text)


def test_a_rate_at_the_edge_extends_the_grid_three_times_and_then_fails(laboratory):
    laboratory.outcome = lambda job: well(job) | {"val": 0.3 - 0.001 * job.run.recipe.lr}
    laboratory("hand")
    rates = sorted({job.run.recipe.lr for job in laboratory.trained})
    assert rates == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.16, 0.32])
    assert not laboratory.check("fair rates").passed
    assert "extended 3 times" in laboratory.check("fair rates").text
    assert_not_testable(laboratory)


def test_a_best_rate_beyond_the_edge_is_found_by_extending_the_grid(laboratory):
    laboratory.outcome = lambda job: (
        well(job) | {"val": 0.3 + abs(log(job.run.recipe.lr / 0.08)) / 10}
    )
    laboratory("hand")
    assert laboratory.result().arms[""]["with"].tuned == "recipe.lr=0.08"
    assert laboratory.check("fair rates").passed


def test_a_study_without_tuning_has_no_fair_rates(laboratory):
    laboratory.study(tuning=None)
    laboratory("hand")
    assert not laboratory.check("fair rates").passed
    assert_not_testable(laboratory)


@pytest.mark.parametrize(("train", "passed"), [(0.74, True), (0.76, False)])
def test_a_claim_on_overfitting_needs_a_gap_of_a_quarter_without_the_technique(
    laboratory, train, passed
):
    laboratory.claim(overfits_without=True)
    laboratory.outcome = lambda job: (made := well(job)) | {"train": train * made["val"]}
    laboratory("hand")
    assert laboratory.check("overfits without it").passed is passed
    assert (laboratory.result().label == "not testable here") is not passed


@pytest.mark.parametrize(
    ("status", "side", "count"),
    [("diverged", "with", 2), ("at chance", "without", 2), ("at chance", "without", 1)],
)
def test_a_claim_is_not_testable_if_half_of_the_pairs_of_an_arm_fail(
    laboratory, status, side, count
):
    laboratory.study(looks=[4])

    def some(job):
        fails = without_pooling(job) is (side == "without") and job.run.seed in (101, 103)[:count]
        return well(job) | (BAD[status] if fails else {})

    laboratory.outcome = some
    printed = laboratory("hand")
    result, reason = laboratory.result(), f"2 of 4 paired runs {side} the technique diverged"
    assert (result.label == "not testable here", reason in printed) == (count == 2, count == 2)
    assert result.n == 4


def test_no_pairs_are_trained_if_half_of_the_tuning_runs_of_an_arm_fail(laboratory):
    laboratory.study(tuning=STUDY["tuning"] | {"seeds": [1000, 1001]})
    laboratory.outcome = lambda job: (
        well(job) | (BAD["diverged"] if without_pooling(job) and job.run.seed == 1001 else {})
    )
    laboratory("hand")
    (check,) = [check for check in laboratory.result().checks if not check.passed]
    assert check.part == "learns"
    assert "1 of 2 tuning runs without the technique" in check.text
    assert_not_testable(laboratory)


def test_no_pairs_are_trained_if_half_of_the_gate_runs_fail(laboratory):
    laboratory.outcome = lambda job: well(job) | (BAD["at chance"] if twice_as_long(job) else {})
    laboratory("hand")
    (check,) = [check for check in laboratory.result().checks if not check.passed]
    assert check.part == "trained out"
    assert "5 of 10 gate runs" in check.text
    assert_not_testable(laboratory)


def test_tuning_and_gate_have_validation_images_even_if_the_pairs_have_none(
    laboratory, monkeypatch
):
    def start(output, jobs, *rest):
        states = laboratory.start(output, jobs, *rest)
        for state in states:
            record = load(state.folder)
            if record is not None and not state.job.run.data.val_size:
                curve = [replace(point, val=None) for point in record.curve]
                data = replace(record.data, val_images=0)
                replace(record, val=None, data=data, curve=curve).save(state.folder)
        return states

    monkeypatch.setattr(claim_runs, "start", start)
    changes = [item for item in STUDY["changes"] if not item.startswith("data.val_size")]
    laboratory.claim(overfits_without=True)
    laboratory.study(changes=[*changes, "data.val_size=0"])
    laboratory("hand")
    sizes = {(job.run.seed >= 1000, job.run.data.val_size) for job in laboratory.trained}
    assert sizes == {(True, 500), (False, 0)}
    assert all(check.passed for check in laboratory.result().checks)
    assert laboratory.check("overfits without it")
    assert laboratory.result().label == "holds here"
