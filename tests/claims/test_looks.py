"""Families, looks and the ledger: what a study must not forget, show early, or judge too easily."""

import os
from pathlib import Path

import pytest
from laboratory import NORM, STUDY, seeds_of, well, without_pooling

from ablations.claims import study as claim_study
from ablations.claims.results import load, save
from ablations.data import synthetic
from ablations.stats.looks import nominal_levels


def direction(job):
    """An effect that is told only at the last of 3, 5 and 8 pairs."""
    return well(job, 0.05)


@pytest.fixture
def two_claims(laboratory):
    """A study of two claims of one family."""
    laboratory.claim("other", **NORM)
    laboratory.study(claims=["overlap", "other"])
    return laboratory


# Families


def test_a_command_for_one_claim_is_judged_in_the_family_of_the_study(two_claims):
    two_claims.claim("ours", family="extension", **NORM)
    two_claims.study(claims=["overlap", "other", "ours"])
    two_claims("hand", "overlap")
    assert two_claims.result().claims_in_family == 2
    assert [result.claim for result in two_claims.found().results] == ["overlap"]
    two_claims("hand")
    shared = {result.claim: result.claims_in_family for result in two_claims.found().results}
    assert shared == {"other": 2, "ours": 1, "overlap": 2}


def test_a_smaller_family_is_another_attempt_at_half_the_error_rate(two_claims):
    two_claims.outcome = lambda job: direction(job) if without_pooling(job) else well(job, 0)
    two_claims("hand")
    before = two_claims.result()
    assert (before.alpha, before.claims_in_family) == (0.05, 2)
    assert before.verdicts[0].level == pytest.approx(nominal_levels((3, 5, 8), 0.05 / 2)[-1])

    two_claims.claim("other", **NORM, excluded={"smoke": "too small for it"})
    printed = two_claims("hand")
    after = two_claims.result()
    assert after.attempt != before.attempt
    assert (after.alpha, after.claims_in_family) == (0.025, 1)
    look = (3, 5, 8).index(after.n)
    assert after.verdicts[0].level == pytest.approx(nominal_levels((3, 5, 8), 0.025)[look])
    assert "earlier study of the same claim on these data: hand, 3, 5 and 8 pairs" in printed

    # The first attempt keeps its rate.
    two_claims.claim("other", **NORM)
    two_claims("hand")
    assert (two_claims.result().attempt, two_claims.result().alpha) == (before.attempt, 0.05)


# Looks


def test_a_claim_that_is_decided_trains_no_more_pairs(two_claims):
    def outcome(job):
        made = well(job, 1.0)
        without_norm = job.run.techniques.norm.value == "none"
        return made | {"test": made["test"] * (1.02 if without_norm else 1)}

    two_claims.outcome = outcome
    two_claims("hand")
    assert two_claims.result("overlap").n < two_claims.result("other").n == 8
    seeds = seeds_of([job for job in two_claims.trained if without_pooling(job)])
    assert len(seeds) == two_claims.result("overlap").n


def test_a_cap_trains_fewer_pairs_and_keeps_the_levels_of_the_plan(laboratory):
    laboratory.outcome = direction
    laboratory("hand", "--seeds", "4")
    assert seeds_of(laboratory.trained) == {100, 101, 102, 103}
    (verdict,) = laboratory.result().verdicts
    assert (verdict.n, verdict.final) == (3, False)
    assert verdict.level == pytest.approx(nominal_levels((3, 5, 8), 0.05)[0])
    laboratory("hand")
    (verdict,) = laboratory.result().verdicts
    assert (verdict.n, verdict.final) == (8, True)


@pytest.mark.parametrize(
    ("words", "gone"),
    [(("--seeds", "3"), False), (("--seeds", "3"), True), (("--budget", "0s"), True)],
)
def test_a_later_command_that_may_do_less_leaves_the_verdict(laboratory, words, gone):
    laboratory.outcome = direction
    laboratory("hand")
    before, trained, seen = laboratory.result(), len(laboratory.trained), laboratory.looks()
    assert (before.n, before.label) == (8, "direction holds here")
    for job in laboratory.trained if gone else ():
        if job.run.seed == 107:
            (Path("runs") / job.run.run_id / "record.json").unlink()
    printed = laboratory("hand", *words)
    assert laboratory.code == 0
    assert laboratory.result() == before
    assert (len(laboratory.trained), laboratory.looks()) == (trained, seen)
    assert "direction holds here" in printed


def test_before_the_first_look_nothing_of_it_is_shown(laboratory):
    laboratory.study(looks=[8])
    printed = laboratory("hand", "--seeds", "5")
    assert seeds_of(laboratory.trained) == set(range(100, 105))
    result = laboratory.result()
    assert result.label == "incomplete"
    assert "5 pairs so far, the first look is at 8" in printed
    (verdict,) = result.verdicts
    numbers = (verdict.estimate, verdict.low, verdict.high, verdict.sd, verdict.resolvable)
    assert numbers == (None,) * 5
    assert (verdict.n, result.points, result.warnings) == (0, {"": None}, [])
    assert [(arm.values, arm.runs) for arm in result.arms[""].values()] == [({}, {})] * 2
    assert laboratory.looks() == [[], []]

    laboratory("hand")
    assert [[look["pairs"] for look in found] for found in laboratory.looks()] == [[8], [8]]


# The ledger


def test_every_look_is_in_both_ledgers(laboratory):
    laboratory.outcome = direction
    printed = laboratory("hand")
    before = laboratory.looks()
    assert [[look["pairs"] for look in found] for found in before] == [[3, 5, 8]] * 2
    assert "looked at 3, 5 and 8 pairs" in printed
    # A new folder neither forgets looks nor costs anything.
    laboratory("hand", output="elsewhere")
    assert laboratory.result(output="elsewhere").alpha == 0.05
    assert laboratory.looks() == before


def test_a_look_is_in_the_ledger_even_if_its_verdict_could_not_be_written(laboratory, monkeypatch):
    def full_from_the_first_look(output, study):
        if any(result.n for result in study.results):
            raise OSError("No space left on device")
        return save(output, study)

    laboratory.outcome = direction
    with monkeypatch.context() as patch:
        patch.setattr(claim_study, "save", full_from_the_first_look)
        assert "No space left on device" in laboratory("hand")
    assert laboratory.code == 1
    assert [[look["pairs"] for look in found] for found in laboratory.looks()] == [[3], [3]]
    laboratory("hand")
    assert (laboratory.result().n, laboratory.result().alpha) == (8, 0.05)


def test_a_second_and_a_third_study_are_judged_at_half_and_a_quarter(laboratory):
    laboratory("hand")
    laboratory.study("second", first_seed=200)
    printed = laboratory("second", output="again")
    assert laboratory.result(output="again").alpha == 0.025
    assert "earlier study of the same claim on these data: hand" in printed
    laboratory.study("third", version=2, changes=[*STUDY["changes"], "width=0.12"])
    laboratory("third")
    assert laboratory.result().alpha == 0.0125
    laboratory("hand")  # the first one keeps its rate
    alphas = {study.name: study.results[0].alpha for study in load(Path("runs"))}
    assert alphas == {"hand": 0.05, "third": 0.0125}


@pytest.mark.parametrize("lost", ["cache", "results"])
def test_either_ledger_alone_remembers(laboratory, lost):
    laboratory("hand")
    folder = Path(os.environ["ABLATIONS_CACHE"]) if lost == "cache" else Path("results/hand")
    (folder / "ledger.jsonl").unlink()
    laboratory.study("second")
    laboratory("second")
    assert laboratory.result().alpha == 0.025


def test_a_damaged_ledger_is_refused_with_its_line(laboratory):
    Path("results/hand").mkdir(parents=True)
    Path("results/hand/ledger.jsonl").write_text('{"claim": "overl')
    assert "ledger.jsonl:1: not a valid ledger entry" in laboratory("hand")
    assert not laboratory.trained


# Results that are kept


def claims_in_file(laboratory):
    return [result.claim for result in laboratory.found().results]


def test_claims_that_a_command_does_not_ask_for_keep_their_results(two_claims):
    two_claims("hand")
    before = two_claims.result("other")
    two_claims("hand", "overlap")
    assert claims_in_file(two_claims) == ["other", "overlap"]
    assert two_claims.result("other") == before
    two_claims.study(claims=["overlap"])  # it left the study
    two_claims("hand")
    assert claims_in_file(two_claims) == two_claims.found().claims == ["overlap"]


def test_the_label_of_a_claim_does_not_depend_on_the_claims_of_the_command(two_claims):
    two_claims("hand", "--seeds", "3")
    together = two_claims.result("overlap")
    two_claims("hand", "overlap", "--seeds", "3")
    assert two_claims.result("overlap") == together
    assert together.verdicts[0].df > 2  # pooled


def test_other_data_drop_the_results_of_claims_not_asked_for(two_claims, monkeypatch, tmp_path):
    two_claims("hand")
    before = two_claims.found()
    monkeypatch.setattr(synthetic, "TRAIN_IMAGES", 70)
    monkeypatch.setattr(synthetic, "TEST_IMAGES", 23)
    monkeypatch.setenv("ABLATIONS_CACHE", str(tmp_path / "other_cache"))
    two_claims("hand", "overlap")
    assert two_claims.found().fingerprint != before.fingerprint
    assert claims_in_file(two_claims) == ["overlap"]
    assert two_claims.result().alpha == 0.05  # looks at other data cost nothing here
