import numpy as np
import pytest

from ablations.study.confirm import confirm
from ablations.study.results import to_result
from ablations.study.tuning import choice_of, tune

NOISE = np.random.default_rng(0).normal(0, 0.001, 2000)


def effect_of(size, noise=1.0):
    """An outcome in which the arm without the technique errs this much more."""

    def outcome(job):
        without = "nonoverlap" in job.label or "norm=none" in job.label
        chance = noise * NOISE[job.run.seed + 1000 * without]
        return float(0.2 + size * without + chance)

    return outcome


def conclude(planned, runner):
    looks = []
    choices = {
        case.name: choice_of(tune(case, planned.experiment, runner)) for case in planned.cases
    }
    standings = confirm(planned, choices, runner, lambda standings: looks.append(standings))
    return {one.case.name: one for one in standings}, looks


@pytest.mark.parametrize(
    ("size", "noise", "label", "pairs"),
    [
        (0.05, 0.1, "reproduced", 3),
        (0.02, 2.0, "reproduced", 5),
        (-0.02, 1.0, "contradicted (opposite)", 3),
        (0.0, 0.5, "contradicted (negligible)", 5),
        (0.002, 3.0, "inconclusive", 8),
        (0.0012, 0.3, "direction only", 5),
    ],
)
def test_each_label_once_and_no_seed_more_than_it_takes(
    study, claim, runner, size, noise, label, pairs
):
    hand = runner(effect_of(size, noise))
    found, looks = conclude(study(claim()), hand)
    one = found["overlap_helps"]
    assert str(one.verdict.label) == label
    assert one.pairs == one.verdict.n == pairs
    assert len(hand.trained) == 2 * pairs
    assert len(looks) == [3, 5, 8].index(pairs) + 1


def test_a_second_time_nothing_is_trained_and_the_verdict_is_the_same(study, claim, runner):
    outcome = effect_of(0.02, 2.0)
    first, _ = conclude(study(claim()), runner(outcome))
    again = runner(outcome)
    second, _ = conclude(study(claim()), again)
    assert again.trained == []
    assert second["overlap_helps"].verdict == first["overlap_helps"].verdict


def test_records_beyond_the_look_change_nothing(study, claim, runner):
    early, _ = conclude(study(claim()), runner(effect_of(0.05, 0.1)))
    conclude(study(claim(), seeds=8), runner(effect_of(0.05, 0.1)))
    late, _ = conclude(study(claim()), runner(effect_of(0.05, 0.1)))
    assert late["overlap_helps"].verdict == early["overlap_helps"].verdict
    assert late["overlap_helps"].verdict.n == 3


def test_a_decided_claim_frees_its_own_arm_and_the_baseline_goes_on(study, claim, runner):
    clear = claim()
    unclear = claim(
        name="norm_helps", technique="norm", **{"with": ["norm=lrn"]}, without=["norm=none"]
    )

    def outcome(job):
        if "nonoverlap" in job.label:
            return float(0.25 + NOISE[job.run.seed])
        return float(0.2 + 5 * NOISE[job.run.seed + 1000] * ("norm=none" in job.label))

    hand = runner(outcome)
    found, _ = conclude(study(clear, unclear), hand)
    seeds = {}
    for job in hand.trained:
        seeds.setdefault(job.label.split()[0], []).append(job.run.seed)
    assert len(seeds["pooling=nonoverlap"]) == found["overlap_helps"].pairs < 8
    assert sorted(seeds["norm=none"]) == sorted(seeds["data.val_size=11"]) == list(range(8))
    # One batch for each look of all claims together.
    assert len(hand.batches) == 3


def test_arms_that_claims_share_are_trained_once(study, claim, runner):
    gap = claim(name="overlap_curbs", kind="gap", measure={})
    hand = runner(effect_of(0.05))
    conclude(study(claim(), gap, seeds=3), hand)
    assert len(hand.trained) == 6


def test_a_fixed_number_of_seeds_is_one_look(study, claim, runner):
    hand = runner(effect_of(0.0, 3.0))
    found, looks = conclude(study(claim(), seeds=4, first_seed=20), hand)
    assert {job.run.seed for job in hand.trained} == {20, 21, 22, 23}
    assert found["overlap_helps"].verdict.final
    assert len(looks) == 1


def test_a_diverged_run_is_an_outcome(study, claim, runner, record_of):
    def outcome(job):
        if "nonoverlap" in job.label and job.run.seed == 1:
            return record_of(job, status="diverged", train=None, val=None, test={})
        return float(0.2 + NOISE[job.run.seed])

    found, _ = conclude(study(claim(), seeds=3), runner(outcome))
    verdict = found["overlap_helps"].verdict
    assert verdict.n == 3
    assert verdict.diverged == (1, 0)
    assert verdict.estimate > 0.2


def test_a_failed_run_leaves_its_claim_and_no_other(study, claim, runner):
    norm = claim(
        name="norm_helps", technique="norm", **{"with": ["norm=lrn"]}, without=["norm=none"]
    )

    def outcome(job):
        if "norm=none" in job.label and job.run.seed == 2:
            return None
        return effect_of(0.05, 0.1)(job)

    hand = runner(outcome)
    found, _ = conclude(study(claim(), norm), hand)
    assert found["overlap_helps"].verdict.decided
    assert found["norm_helps"].failed
    assert not found["norm_helps"].verdict.decided
    assert len(hand.failed) == 1


def test_out_of_time_it_judges_what_is_there(study, claim, runner):
    hand = runner(effect_of(0.02, 2.0))
    train = hand.train
    hand.train = lambda jobs: train([job for job in jobs if job.run.seed < 4])
    found, _ = conclude(study(claim()), hand)
    one = found["overlap_helps"]
    assert one.waiting
    assert not one.failed
    assert one.verdict.n == 3


def test_of_networks_that_guess_those_count_that_have_finished(study, claim, runner):
    hand = runner(lambda job: 0.9)
    train = hand.train
    # Two of three seeds, and of the third the arm without the technique.
    hand.train = lambda jobs: train(
        [job for job in jobs if job.run.seed < 2 or "nonoverlap" in job.label]
    )
    found, _ = conclude(study(claim()), hand)
    assert found["overlap_helps"].guessing == {"with": (2, 2), "without": (3, 3)}


def test_a_control_is_a_family_of_its_own(study, claim, runner):
    placebo = claim(
        name="placebo",
        family="control",
        technique="stream",
        **{"with": ["stream=1"]},
        without=["stream=0"],
    )
    many = [claim(name=f"copy_{i}") for i in range(9)]

    def outcome(job):
        return float(0.2 + 0.004 * (job.run.stream == 0) + 0.3 * NOISE[job.run.seed])

    with_others, _ = conclude(study(placebo, *many, seeds=5), runner(outcome))
    assert with_others["placebo"].verdict.effect_test.level == pytest.approx(0.05)
    assert with_others["copy_0"].verdict.effect_test.level < 0.05


def test_records_without_the_measure_are_named_and_wait_for_no_other_claim(
    study, claim, runner, record_of
):
    hand = runner(lambda job: record_of(job, 0.2 + 0.05 * ("nonoverlap" in job.label)))
    color = claim(name="color", measure={"metric": "color", "direction": "higher"})
    found, _ = conclude(study(claim(), color), hand)
    assert found["overlap_helps"].verdict.decided
    one = found["color"]
    assert (one.failed, one.waiting, one.goes_on, one.pairs) == (False, False, False, 3)
    assert set(one.lacking) == {job.run.run_id for _, job in one.jobs}
    (result,) = (r for r in to_result(study(color), [one]).results)
    assert result.status == "incomplete"
    assert f"6 records, such as {one.lacking[0]}, were written before" in result.reason


@pytest.mark.parametrize(("error", "noted"), [(0.895, True), (0.86, False)])
def test_networks_that_err_like_guessing_are_noted(study, claim, runner, error, noted):
    planned = study(claim())
    one = conclude(planned, runner(lambda job: error if "nonoverlap" in job.label else 0.2))[0]
    tuning = {"overlap_helps": tune(planned.cases[0], planned.experiment, runner(lambda job: 0.2))}
    (result,) = to_result(planned, list(one.values()), tuning).results
    expected = "pooling=nonoverlap data.val_size=11: 3 of its 3 networks err as often as guessing"
    assert [expected in note for note in result.notes] == [True] * noted


def test_at_any_time_every_pair_is_looked_at_and_later_calls_may_add_more(study, claim, runner):
    outcome = effect_of(0.006, 4.0)
    few, many = (study(claim(), anytime=True, seeds=seeds) for seeds in (5, 30))
    first = runner(outcome)
    found, looks = conclude(few, first)
    assert [len(looks), found["overlap_helps"].verdict.n] == [3, 5]  # after 3, 4 and 5 pairs
    assert not found["overlap_helps"].verdict.decided
    second = runner(outcome)
    found, _ = conclude(many, second)
    pairs = found["overlap_helps"].verdict.n
    assert found["overlap_helps"].verdict.label == "reproduced"
    assert 5 < pairs < 30
    assert len(second.trained) == 2 * (pairs - 5)
    hashes = {to_result(planned).results[0].rule_hash for planned in (few, many)}
    assert len(hashes) == 1
    assert to_result(study(claim())).results[0].rule_hash not in hashes


def test_at_any_time_intervals_are_wider_than_at_one_look(study, claim, runner):
    outcome = effect_of(0.006, 4.0)
    widths = []
    for anytime in (True, False):
        found, _ = conclude(study(claim(), anytime=anytime, seeds=5), runner(outcome))
        interval = found["overlap_helps"].verdict.interval
        widths.append(interval.high - interval.low)
    assert widths[0] > widths[1]
