"""What a study must not forget, show early, or judge at the wrong rate."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from laboratory import STUDY, seeds_of, well
from records import make_record

from ablations.claims import runs as claim_runs
from ablations.claims import study as claim_study
from ablations.claims.results import save
from ablations.data import synthetic
from ablations.record import load
from ablations.stats.looks import nominal_levels

NORM = {"technique": "norm", "with": ["norm=lrn"], "without": ["norm=none"]}


def direction(job):
    """An effect that is told only at the last of 3, 5 and 8 pairs."""
    return well(job, 0.05)


def looks(folder):
    path = folder / "ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ledgers():
    """The ledger of the cache folder and that of the study."""
    return [looks(Path(os.environ["ABLATIONS_CACHE"])), looks(Path("results/hand"))]


def full_from_the_first_look(output, study):
    """Save the rules and the gate, but no look."""
    if any(result.n for result in study.results):
        raise OSError("No space left on device")
    return save(output, study)


def without_technique(job):
    return job.run.techniques.pooling.value == "nonoverlap"


def twice_as_long(job):
    return job.run.recipe.epochs == 12  # of 6 in the study


@pytest.fixture
def two_claims(laboratory):
    """A study of two claims of one family."""
    laboratory.claim("other", **NORM)
    laboratory.study(claims=["overlap", "other"])
    return laboratory


# Failures


def test_a_failed_run_of_the_gate_leaves_the_claim_incomplete_until_it_is_repeated(laboratory):
    laboratory.outcome = lambda job: (
        None if twice_as_long(job) and job.run.seed == 1003 else well(job)
    )
    printed = laboratory("hand")
    assert laboratory.code == 1
    assert laboratory.result().label == "incomplete"
    assert laboratory.result().verdicts[0].reason == (
        "a run of the gate failed; the same command repeats it"
    )
    assert "a run of the gate failed" in printed
    assert not seeds_of(laboratory.trained)
    assert ledgers() == [[], []]

    laboratory.outcome, laboratory.trained = well, []
    laboratory("hand")
    assert laboratory.code == 0
    assert laboratory.result().label == "holds here"
    first, *pairs = laboratory.trained
    assert (first.run.seed, twice_as_long(first)) == (1003, True)
    assert all(job.run.seed < 1000 for job in pairs)


def test_the_ledger_has_a_look_whose_verdict_could_not_be_written(laboratory, monkeypatch):
    laboratory.outcome = direction
    with monkeypatch.context() as patch:
        patch.setattr(claim_study, "save", full_from_the_first_look)
        assert "No space left on device" in laboratory("hand")
    assert laboratory.code == 1
    before = ledgers()
    assert [[look["pairs"] for look in found] for found in before] == [[3], [3]]
    assert laboratory.result().label == ""

    laboratory("hand")
    assert laboratory.result().n == 8
    assert laboratory.result().alpha == 0.05
    for now, first in zip(ledgers(), before, strict=True):
        assert [look["pairs"] for look in now] == [3, 5, 8]
        assert now[0] == first[0]


def test_a_look_that_could_not_be_written_halves_the_rate_of_the_next_study(
    laboratory, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(claim_study, "save", full_from_the_first_look)
        assert "No space left on device" in laboratory("hand")
    assert laboratory.code == 1
    laboratory.study(version=2)
    laboratory("hand")
    assert laboratory.result().alpha == 0.025


# Looks that were taken


@pytest.mark.parametrize("words", [("--seeds", "3"), ("--seeds", "2"), ("--budget", "0s")])
def test_a_later_command_that_may_do_less_leaves_the_verdict_of_all_pairs(laboratory, words):
    laboratory.outcome = direction
    laboratory("hand")
    before, trained, seen = laboratory.result(), len(laboratory.trained), ledgers()
    assert (before.n, before.label) == (8, "direction holds here")
    printed = laboratory("hand", *words)
    assert laboratory.code == 0
    assert laboratory.result() == before
    assert (len(laboratory.trained), ledgers()) == (trained, seen)
    assert "direction holds here" in printed


@pytest.mark.parametrize("words", [("--seeds", "3"), ("--budget", "0s")])
def test_a_command_that_may_do_less_leaves_the_verdict_though_runs_are_gone(laboratory, words):
    laboratory.outcome = direction
    laboratory("hand")
    before = laboratory.result()
    for job in laboratory.trained:
        if job.run.seed == 107:
            (Path("runs") / job.run.run_id / "record.json").unlink()
    laboratory("hand", *words)
    assert laboratory.result() == before


def test_before_the_first_look_nothing_of_it_is_shown(laboratory):
    laboratory.study(looks=[8])
    printed = laboratory("hand", "--seeds", "5")
    assert seeds_of(laboratory.trained) == set(range(100, 105))
    result = laboratory.result()
    assert result.label == "incomplete"
    assert "5 pairs so far, the first look is at 8" in printed
    (verdict,) = result.verdicts
    numbers = ("estimate", "low", "high", "inner_low", "inner_high", "sd", "own_sd", "resolvable")
    assert [getattr(verdict, name) for name in numbers] == [None] * len(numbers)
    assert verdict.n == 0
    assert result.points == {"": None}
    assert result.secondary == result.warnings == []
    for arm in result.arms[""].values():
        assert arm.values == {}
        assert arm.runs == {}
    assert ledgers() == [[], []]

    laboratory("hand")
    assert laboratory.result().n == 8
    assert [[look["pairs"] for look in found] for found in ledgers()] == [[8], [8]]


# Families


@pytest.mark.parametrize(
    "change",
    [
        lambda lab: lab.claim("other", **NORM, excluded={"smoke": "too small for it"}),
        lambda lab: lab.claim("other", **NORM, family="extension"),
        lambda lab: lab.study(),
    ],
    ids=["excluded", "an extension", "removed"],
)
def test_a_smaller_family_is_another_attempt_at_half_the_error_rate(two_claims, change):
    laboratory = two_claims
    laboratory.outcome = lambda job: direction(job) if without_technique(job) else well(job, 0)
    laboratory("hand")
    before = laboratory.result()
    assert (before.alpha, before.claims_in_family) == (0.05, 2)
    assert before.verdicts[0].level == pytest.approx(nominal_levels((3, 5, 8), 0.05 / 2)[-1])

    change(laboratory)
    printed = laboratory("hand")
    after = laboratory.result()
    assert after.attempt != before.attempt
    assert (after.alpha, after.claims_in_family) == (0.025, 1)
    look = (3, 5, 8).index(after.n)
    assert after.verdicts[0].level == pytest.approx(nominal_levels((3, 5, 8), 0.025)[look])
    assert "earlier study of the same claim on these data: hand, 3, 5 and 8 pairs" in printed

    # The first attempt keeps its rate.
    laboratory.claim("other", **NORM)
    laboratory.study(claims=["overlap", "other"])
    laboratory("hand")
    assert (laboratory.result().attempt, laboratory.result().alpha) == (before.attempt, 0.05)


def test_a_larger_family_is_another_attempt_too(laboratory):
    laboratory("hand")
    before = laboratory.result()
    laboratory.claim("other", **NORM)
    laboratory.study(claims=["overlap", "other"])
    laboratory("hand")
    assert laboratory.result().attempt != before.attempt
    assert laboratory.result().alpha == 0.025
    assert laboratory.result("other").alpha == 0.05


def test_a_claim_of_another_family_changes_no_attempt(laboratory):
    laboratory("hand")
    before = laboratory.result()
    laboratory.claim("other", **NORM, family="extension")
    laboratory.study(claims=["overlap", "other"])
    laboratory("hand")
    assert laboratory.result().attempt == before.attempt
    assert laboratory.result().alpha == 0.05


# The gate


def test_rates_and_gate_have_validation_images_where_the_pairs_have_none(laboratory, monkeypatch):
    def start(output, jobs, *rest):
        states = laboratory.start(output, jobs, *rest)
        for state in states:
            record = load(state.folder)
            if record is not None and not state.job.run.data.val_size:
                replace(
                    record,
                    val=None,
                    data=replace(record.data, val_images=0),
                    curve=[replace(point, val=None) for point in record.curve],
                ).save(state.folder)
        return states

    monkeypatch.setattr(claim_runs, "start", start)
    changes = [item for item in STUDY["changes"] if not item.startswith("data.val_size")]
    laboratory.claim(overfits_without=True)
    laboratory.study(changes=[*changes, "data.val_size=0"])
    laboratory("hand")
    sizes = {job.run.seed: job.run.data.val_size for job in laboratory.trained}
    assert {size for seed, size in sizes.items() if seed >= 1000} == {500}
    assert {size for seed, size in sizes.items() if seed < 1000} == {0}
    result = laboratory.result()
    assert [(check.part, check.passed) for check in result.checks] == [
        ("learns", True),
        ("trained out", True),
        ("fair rates", True),
        ("overfits without it", True),
    ]
    assert result.arms[""]["with"].tuned == "recipe.lr=0.02"
    assert result.label == "holds here"


BAD = {"diverged": {"status": "diverged"}, "at chance": {"test": 0.9, "val": 0.9}}
bad = pytest.mark.parametrize("made", BAD.values(), ids=list(BAD))


@bad
@pytest.mark.parametrize("side", ["with", "without"])
def test_an_arm_of_which_half_of_the_pairs_fail_is_not_testable(laboratory, made, side):
    laboratory.study(looks=[4])

    def half(job):
        fails = without_technique(job) is (side == "without") and job.run.seed in (101, 103)
        return well(job) | (made if fails else {})

    laboratory.outcome = half
    printed = laboratory("hand")
    result = laboratory.result()
    assert (result.label, result.n) == ("not testable here", 4)
    reason = f"2 of 4 paired runs {side} the technique diverged or are at chance"
    assert reason in result.verdicts[0].reason
    assert reason in printed


@bad
def test_an_arm_of_which_fewer_pairs_fail_is_judged(laboratory, made):
    laboratory.study(looks=[4])
    laboratory.outcome = lambda job: (
        well(job) | (made if without_technique(job) and job.run.seed == 101 else {})
    )
    laboratory("hand")
    assert laboratory.result().label not in ("not testable here", "incomplete", "")


@bad
def test_an_arm_of_which_half_of_the_tuning_fails_trains_no_pairs(laboratory, made):
    laboratory.study(tuning={"values": [0.01, 0.02, 0.04], "seeds": [1000, 1001]})
    laboratory.outcome = lambda job: (
        well(job) | (made if without_technique(job) and job.run.seed == 1001 else {})
    )
    laboratory("hand")
    assert laboratory.result().label == "not testable here"
    (check,) = [check for check in laboratory.result().checks if not check.passed]
    assert check.text == ("1 of 2 tuning runs without the technique diverged or are at chance")
    assert not seeds_of(laboratory.trained)


@bad
def test_a_gate_of_which_half_of_the_runs_fail_trains_no_pairs(laboratory, made):
    laboratory.outcome = lambda job: well(job) | (made if twice_as_long(job) else {})
    laboratory("hand")
    assert laboratory.result().label == "not testable here"
    (check,) = [check for check in laboratory.result().checks if not check.passed]
    assert (check.part, check.text) == (
        "trained out",
        "5 of 10 runs of the gate diverged or are at chance",
    )
    assert not seeds_of(laboratory.trained)


# Results that are kept


def claims_in_file(laboratory):
    return [result.claim for result in laboratory.found().results]


def test_claims_that_a_command_does_not_ask_for_keep_their_results(two_claims):
    two_claims("hand")
    before = two_claims.result("other")
    two_claims("hand", "overlap")
    assert claims_in_file(two_claims) == ["other", "overlap"]
    assert two_claims.result("other") == before


@pytest.mark.parametrize("change", [{"version": 2}, {"first_seed": 200}], ids=str)
def test_another_version_or_first_seed_drops_the_results_of_claims_not_asked_for(
    two_claims, change
):
    two_claims("hand")
    two_claims.study(claims=["overlap", "other"], **change)
    two_claims("hand", "overlap")
    assert claims_in_file(two_claims) == ["overlap"]
    two_claims("hand")
    assert claims_in_file(two_claims) == ["other", "overlap"]
    assert two_claims.result().alpha == two_claims.result("other").alpha == 0.025


def test_other_data_drop_the_results_of_claims_not_asked_for(two_claims, monkeypatch, tmp_path):
    two_claims("hand")
    before = two_claims.found()
    monkeypatch.setattr(synthetic, "TRAIN_IMAGES", 70)
    monkeypatch.setattr(synthetic, "TEST_IMAGES", 23)
    monkeypatch.setenv("ABLATIONS_CACHE", str(tmp_path / "other_cache"))
    two_claims("hand", "overlap")
    assert two_claims.found().fingerprint != before.fingerprint
    assert claims_in_file(two_claims) == ["overlap"]
    # Looks at other data cost nothing here.
    assert two_claims.result().alpha == 0.05


@pytest.mark.parametrize("words", [("hand",), ("hand", "overlap")])
def test_a_claim_that_left_the_study_file_leaves_the_verdicts(two_claims, words):
    two_claims("hand")
    assert claims_in_file(two_claims) == ["other", "overlap"]
    two_claims.study(claims=["overlap"])
    two_claims(*words)
    assert claims_in_file(two_claims) == ["overlap"]
    assert two_claims.found().claims == ["overlap"]


def test_a_pair_in_which_neither_arm_arrives_counts_for_the_looks(laboratory):
    laboratory.claim(
        measure={"of": "epochs_to_error", "target": 0.5},
        trained_out=False,
        paper={"says": "6 times", "data": "CIFAR-10", "effect": 6.0},
        technique="activation",
        **{"with": ["activation=relu"], "without": ["activation=tanh"]},
    )
    laboratory.study(changes=[*STUDY["changes"], "recipe.epochs=60"], looks=[3])

    def speed(job):
        slow = 1 if job.run.techniques.activation.value == "relu" else 8
        epochs = 61 if job.run.seed == 101 else 4 * slow + 10 * (job.run.recipe.lr != 0.02)
        record = make_record(job.run, epochs=60)
        points = [
            replace(p, train=replace(p.train, top1=0.9 if p.epoch < epochs else 0.4))
            for p in record.curve
        ]
        return {"curve": points, "test": 0.3, "val": 0.3, "epochs": 60}

    laboratory.outcome = speed
    laboratory("hand")
    (verdict,) = laboratory.result().verdicts
    assert (verdict.n, verdict.final) == (2, True)
    (look,) = [json.loads(x) for x in Path("results/hand/ledger.jsonl").read_text().splitlines()]
    assert look["pairs"] == 3


def test_asking_for_an_excluded_claim_keeps_the_other_results(laboratory):
    laboratory.claim(
        "other",
        technique="norm",
        excluded={"smoke": "not here"},
        **{"with": ["norm=lrn"], "without": ["norm=none"]},
    )
    laboratory.study(claims=["overlap", "other"])
    laboratory("hand")
    laboratory("hand", "other")
    assert laboratory.result("overlap").label == "holds here"
    assert laboratory.result("other").excluded == "not here"
