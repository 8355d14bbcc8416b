"""Whole studies through ``reproduce.py``, with records that are written by hand."""

import json
import re
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
from laboratory import CLAIM, NORM, STUDY, noise, seeds_of, well, without_pooling
from records import make_record

from ablations.config import Source
from ablations.data.sources import IMAGES
from ablations.stats.labels import Label


def test_a_study_tunes_then_checks_the_gate_then_trains_its_pairs(laboratory):
    printed = laboratory("hand")
    assert laboratory.code == 0
    result = laboratory.result()
    assert result.label == Label.holds
    assert "holds here" in printed
    assert {arm.tuned for arm in result.arms[""].values()} == {"recipe.lr=0.02"}
    assert [(check.part, check.passed) for check in result.checks] == [
        ("learns", True),
        ("trained out", True),
        ("fair rates", True),
    ]
    # No verdict uses a seed of the tuning.
    assert set(result.arms[""]["with"].runs) == seeds_of(laboratory.trained) <= set(range(100, 108))
    types = {(job.logger.job_type, job.run.seed >= 1000) for job in laboratory.trained}
    assert types == {("tuning", True), ("verdict", False)}
    before_pairs = [job.run.seed >= 1000 for job in laboratory.trained]
    assert before_pairs == sorted(before_pairs, reverse=True)
    phases = re.findall(r"(\w+) (\d+) runs to train", printed)
    assert [name for name, _ in phases][:3] == ["tuning", "gate", "pairs"]
    assert sum(int(number) for _, number in phases) == len(laboratory.trained)
    # The same command trains nothing twice.
    before = len(laboratory.trained)
    laboratory("hand")
    assert (len(laboratory.trained), laboratory.result()) == (before, result)


def test_the_rules_are_written_before_the_first_run(laboratory):
    seen = []

    def look(job):
        seen.append(json.loads(Path("runs/verdicts.json").read_text())["studies"][0])
        return well(job)

    laboratory.outcome = look
    laboratory("hand")
    (result,) = seen[0]["results"]
    assert result["label"] == ""
    assert result["rule"]["margin"] == pytest.approx(log(0.44 / 0.4) / 2)


def test_only_the_whole_of_the_papers_data_is_its_own_scale(laboratory, monkeypatch):
    laboratory.claim(paper=CLAIM["paper"] | {"experiments": ["smoke"]})
    laboratory.study(changes=None)
    laboratory("hand", "--seeds", "3")
    whole = laboratory.result()
    assert (whole.at_paper, whole.scale) == (True, "points")
    monkeypatch.setitem(IMAGES, Source.synthetic, (10**6, 10**5))
    laboratory("hand", "--seeds", "3", output="part")
    part = laboratory.result(output="part")
    assert (part.at_paper, part.scale) == (False, "ratio")


# The plan


def test_a_plan_trains_and_writes_nothing(laboratory):
    laboratory.claim("norm", **NORM)
    laboratory.study("two", claims=["overlap", "norm"])
    # Of 31 runs each, the 20 with both techniques: rates 3, gate 9, pairs 8.
    printed = laboratory("two", "--plan")
    assert "at most 42 runs" in printed
    assert "20 shared by several claims" in printed
    printed = laboratory("hand", "--plan")
    # Rates 2 x 3, gate 4 + 5 (seed 1000 at a rate is shared), pairs 8 x 2.
    assert "at most 31 runs" in printed
    assert not laboratory.trained
    assert not Path("runs/verdicts.json").exists()
    assert not Path("results").exists()


def test_a_plan_needs_no_data_and_finds_finished_runs_by_the_fingerprint(laboratory, monkeypatch):
    laboratory("hand")
    assert " 25 finished" in laboratory("hand", "--plan")  # it held at its second look
    fingerprint = laboratory.found().fingerprint
    monkeypatch.setenv("ABLATIONS_CACHE", "elsewhere")
    printed = laboratory("hand", "--plan")
    assert "at most 31 runs" in printed
    assert "not prepared; finished runs are not counted" in printed
    laboratory.study(fingerprint=fingerprint)
    assert " 25 finished" in laboratory("hand", "--plan")
    assert not Path("elsewhere").exists()


# Labels


@pytest.mark.parametrize(
    ("effect", "label", "pairs"),
    [
        (0.2, "holds here", 5),
        (0.05, "direction holds here", 8),
        (0.0, "no effect here", 5),
        (-0.2, "opposite here", 5),
    ],
)
def test_planted_effects_get_their_label(laboratory, effect, label, pairs):
    # The training errors of the arms differ by more.
    laboratory.outcome = lambda job: (
        well(job, effect) | {"train": 0.25 if without_pooling(job) else 0.05}
    )
    printed = laboratory("hand")
    result = laboratory.result()
    assert (result.label, result.n) == (label, pairs)
    assert label in printed
    assert "differ more in training error" in printed
    (verdict,) = result.verdicts
    assert verdict.low <= log(1 + effect) <= verdict.high


def test_noise_leaves_a_claim_undecided_and_says_what_would_decide(laboratory):
    def noisy(job):
        made = well(job, 0.0)
        scale = 1 + 20 * (noise(job) - 1) if job.run.seed < 1000 else 1
        return made | {"test": made["test"] * max(scale, 0.3)}

    laboratory.outcome = noisy
    printed = laboratory("hand")
    assert (laboratory.result().label, laboratory.result().n) == ("undecided", 8)
    assert "smallest effect detectable with 80 % power" in printed


@pytest.mark.parametrize("seed", [1000, 1003, 101], ids=["tuning", "gate", "pair"])
def test_a_failed_run_leaves_a_claim_incomplete_until_it_is_repeated(laboratory, seed):
    laboratory.outcome = lambda job: None if job.run.seed == seed else well(job)
    printed = laboratory("hand")
    assert laboratory.code == 1
    assert laboratory.result().label == "incomplete"
    assert "a run failed; next step:" in printed
    assert laboratory.looks() == [[], []]
    before = {job.run.run_id for job in laboratory.trained if job.run.seed != seed}

    laboratory.outcome, laboratory.trained = well, []
    laboratory("hand")
    assert laboratory.code == 0
    assert laboratory.result().label == "holds here"
    assert before.isdisjoint(job.run.run_id for job in laboratory.trained)


def test_a_diverged_run_counts_as_chance_and_is_reported(laboratory):
    def one(job):
        bad = without_pooling(job) and job.run.seed == 101
        return well(job) | {"status": "diverged" if bad else "finished"}

    laboratory.outcome = one
    laboratory("hand")
    result = laboratory.result()
    assert "without the technique 1 of" in " ".join(result.warnings)
    assert result.arms[""]["without"].values[101] == pytest.approx(0.9, abs=0.01)
    assert result.label not in ("not testable here", "incomplete", "")


# Gaps, joint claims, ensembles, times

GAP = {
    "measure": {"of": "gap"},
    "paper": {"says": "overfits", "data": "ImageNet"},
    "margin": 0.1,
    "why": "a tenth",
}


@pytest.mark.parametrize(
    ("effect", "label"), [(0.3, Label.holds), (-0.1, Label.opposite)], ids=["falls", "rises"]
)
def test_a_gap_holds_only_if_the_test_error_falls_too(laboratory, effect, label):
    laboratory.claim(**GAP)

    def outcome(job):
        made = well(job, effect)
        return made | {"train": 0.05 if without_pooling(job) else 0.7 * made["test"]}

    laboratory.outcome = outcome
    laboratory("hand")
    result = laboratory.result()
    assert [(v.part, v.label) for v in result.verdicts] == [
        ("gap", Label.holds),
        ("test error", label),
    ]
    assert result.label == label


def test_the_parts_of_a_joint_claim_share_its_arm_and_its_place_in_the_family(laboratory):
    parts = {name: {"without": [f"depth={name}"]} for name in ("no_conv3", "no_conv4")}
    laboratory.claim(technique="depth", without=None, parts=parts, **{"with": ["depth=five"]})

    def outcome(job):
        factor = {"no_conv3": 1.3, "no_conv4": 0.7}.get(job.run.techniques.depth.value, 1.0)
        made = well(job, 0.0)
        return made | {"test": made["test"] * factor}

    laboratory.outcome = outcome
    laboratory("hand")
    result = laboratory.result()
    assert [verdict.part for verdict in result.verdicts] == ["no_conv3", "no_conv4"]
    assert (result.label, result.claims_in_family) == ("opposite here", 1)
    assert result.arms["no_conv3"]["with"].runs == result.arms["no_conv4"]["with"].runs
    # Fair rates are checked for each part; the shared arm is checked once.
    assert [check.part for check in result.checks].count("trained out") == 1
    assert [check.part for check in result.checks].count("fair rates") == 2


def test_an_ensemble_averages_predictions_of_runs_that_no_other_pair_uses(laboratory):
    laboratory.claim(technique="ensemble", ensemble=3, without=None, **{"with": []})
    laboratory.study(looks=[3])
    laboratory.outcome = lambda job: well(job, base=0.4)
    laboratory("hand")
    arms = laboratory.result().arms[""]
    members = [run for runs in arms["with"].runs.values() for run in runs]
    assert len(members) == len(set(members)) == 9
    assert all(arms["with"].values[seed] < arms["without"].values[seed] for seed in (100, 103, 106))


TIMED = {
    "measure": {"of": "epochs_to_error", "target": 0.5},
    "trained_out": False,
    "paper": {"says": "6 times", "data": "CIFAR-10", "effect": 6.0},
    "technique": "activation",
    "with": ["activation=relu"],
    "without": ["activation=tanh"],
}


@pytest.fixture
def timed(laboratory):
    """A study of the epochs to an error of one half, in 60 epochs."""
    laboratory.claim(**TIMED)
    laboratory.study(changes=[*STUDY["changes"], "recipe.epochs=60"])
    return laboratory


def arriving(job, epoch):
    """Return the outcome of a run whose online error falls below one half at an epoch."""
    # If no rate reaches the target, the one with the smallest loss is chosen.
    loss = 1.0 if job.run.recipe.lr == 0.02 else 1.5
    points = [
        replace(
            point, train=replace(point.train, top1=0.9 if point.epoch < epoch else 0.4, loss=loss)
        )
        for point in make_record(job.run, epochs=60).curve
    ]
    return {"curve": points, "test": 0.3, "val": 0.3, "epochs": 60}


def is_tanh(job):
    return job.run.techniques.activation.value == "tanh"


def test_times_are_ratios_and_rates_are_chosen_by_them(timed):
    grids = {"with": [0.01, 0.02, 0.04], "without": [0.005, 0.01, 0.02]}
    timed.study(
        changes=[*STUDY["changes"], "recipe.epochs=60"], claims={"overlap": {"grid": grids}}
    )

    def outcome(job):
        slow, best = (8, 0.01) if is_tanh(job) else (1, 0.02)
        return arriving(job, 4 * slow + 10 * (job.run.recipe.lr != best) + job.run.seed % 2)

    timed.outcome = outcome
    printed = timed("hand")
    result = timed.result()
    tuned = [result.arms[""][side].tuned for side in ("with", "without")]
    assert tuned == ["recipe.lr=0.02", "recipe.lr=0.01"]
    assert result.label == "holds here"
    assert "6.00×" in printed


def test_a_target_reached_after_the_rate_fell_is_reported(timed):
    steps = ["recipe.epochs=60", "recipe.schedule=step", "recipe.milestones=[0.5]"]
    timed.study(changes=[*STUDY["changes"], *steps])
    timed.outcome = lambda job: arriving(job, (40 if is_tanh(job) else 5) + job.run.seed % 2)
    timed("hand")
    (text,) = (text for text in timed.result().warnings if "first falls" in text)
    assert re.match(r"without the technique (\d) of \1 runs", text)


def test_a_target_that_only_one_arm_reaches_is_a_lower_bound(timed):
    timed.outcome = lambda job: arriving(
        job, 61 if is_tanh(job) else 3 + job.run.seed % 2 + 5 * (job.run.recipe.lr != 0.02)
    )
    timed("hand")
    (verdict,) = timed.result().verdicts
    assert verdict.high is None
    assert verdict.low is None or verdict.low > 0


def test_a_pair_in_which_neither_arm_reaches_the_target_counts_for_the_looks(timed):
    timed.study(changes=[*STUDY["changes"], "recipe.epochs=60"], looks=[3])

    def outcome(job):
        slow = 8 if is_tanh(job) else 1
        late = job.run.seed == 101
        return arriving(job, 61 if late else 4 * slow + 10 * (job.run.recipe.lr != 0.02))

    timed.outcome = outcome
    timed("hand")
    (verdict,) = timed.result().verdicts
    assert (verdict.n, verdict.final) == (2, True)
    assert [look["pairs"] for look in timed.looks()[1]] == [3]


def test_a_time_on_the_validation_curve_needs_every_epoch(timed):
    timed.claim(**TIMED | {"measure": TIMED["measure"] | {"curve": "val"}})
    printed = timed("hand", "trainer.check_val_every_n_epoch=2")
    assert "trainer.check_val_every_n_epoch=2: overlap needs" in printed
    assert not timed.trained

    def gaps(job):
        made = arriving(job, 5)
        return made | {"curve": [replace(made["curve"][0], val=None), *made["curve"][1:]]}

    timed.outcome = gaps
    assert "trained with trainer.check_val_every_n_epoch" in timed("hand")


# What is refused


TUNED = {"technique": "recipe.lr", "with": [], "without": ["recipe.lr=0.5"]}


@pytest.mark.parametrize(
    ("claim", "study", "message"),
    [
        ({}, {"fingerprint": "0" * 64}, "the data have fingerprint"),
        ({"without": ["pooling=nonoverlap", "norm=none"]}, {}, "but differ in norm, pooling"),
        ({"without": ["pooling=overlap"]}, {}, "differ in nothing"),
        (TUNED, {}, "tunes recipe.lr, in which the arms of overlap differ"),
    ],
)
def test_arms_and_data_that_do_not_fit_the_claim_are_refused_before_training(
    laboratory, claim, study, message
):
    laboratory.claim(**claim)
    laboratory.study(**study)
    assert message in laboratory("hand")
    assert not laboratory.trained
