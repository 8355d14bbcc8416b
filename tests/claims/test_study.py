"""Whole studies through ``reproduce.py``, with records that are written by hand."""

import json
from math import log
from pathlib import Path

import pytest
from laboratory import STUDY, noise, seeds_of, well
from records import make_record

from ablations.report import report
from ablations.stats.labels import Label


def test_a_study_trains_its_rates_its_gate_and_its_pairs(laboratory):
    printed = laboratory("hand")
    assert laboratory.code == 0
    result = laboratory.result()
    assert result.label == Label.holds
    assert "holds here" in printed
    assert result.arms[""]["with"].tuned == "recipe.lr=0.02"
    assert result.arms[""]["without"].tuned == "recipe.lr=0.02"
    assert {check.part: check.passed for check in result.checks} == {
        "learns": True,
        "trained out": True,
        "fair rates": True,
    }
    # No verdict uses a seed of the tuning.
    assert seeds_of(laboratory.trained) <= set(range(100, 108))
    assert set(result.arms[""]["with"].runs) == seeds_of(laboratory.trained)


def test_rates_gate_and_pairs_follow_one_another(laboratory):
    laboratory("hand")
    seeds = [job.run.seed for job in laboratory.trained]
    first_pair = min(i for i, seed in enumerate(seeds) if seed < 1000)
    assert all(seed < 1000 for seed in seeds[first_pair:])


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


def test_the_same_command_trains_nothing_twice(laboratory):
    laboratory("hand")
    before, verdict = len(laboratory.trained), laboratory.result()
    laboratory("hand")
    assert len(laboratory.trained) == before
    assert laboratory.result() == verdict


def test_a_plan_trains_and_writes_nothing(laboratory):
    printed = laboratory("hand", "--plan")
    # Rates 2 x 3, gate 4 + 5 (seed 1000 at a rate is shared), pairs 8 x 2.
    assert "at most 31 runs" in printed
    assert not laboratory.trained
    assert not Path("runs/verdicts.json").exists()
    assert not Path("results").exists()


def test_a_plan_needs_no_data(laboratory, monkeypatch):
    laboratory("hand")
    printed = laboratory("hand", "--plan")
    assert " 25 finished" in printed  # it held at its second look
    assert "not prepared" not in printed
    monkeypatch.setenv("ABLATIONS_CACHE", "elsewhere")
    printed = laboratory("hand", "--plan")
    assert "at most 31 runs" in printed
    assert "not prepared here; finished runs are not looked for" in printed
    assert "finished;" not in printed
    assert not Path("elsewhere").exists()


def test_a_plan_finds_finished_runs_by_the_fingerprint_of_the_study(laboratory, monkeypatch):
    laboratory("hand")
    laboratory.study("hand", fingerprint=laboratory.found().fingerprint)
    monkeypatch.setenv("ABLATIONS_CACHE", "elsewhere")
    printed = laboratory("hand", "--plan")
    assert "finished runs are looked for by the fingerprint of the study" in printed
    assert " 25 finished" in printed


def test_a_plan_counts_the_runs_that_claims_share(laboratory):
    laboratory.claim("norm", technique="norm", **{"with": ["norm=lrn"], "without": ["norm=none"]})
    laboratory.study("two", claims=["overlap", "norm"])
    # Of 31 runs each, the 20 with both techniques: rates 3, gate 9, pairs 8.
    printed = laboratory("two", "--plan")
    assert "at most 42 runs" in printed
    assert "20 serve several claims" in printed
    assert "serve several" not in laboratory("hand", "--plan")


# Every label


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
    laboratory.outcome = lambda job: well(job, effect)
    printed = laboratory("hand")
    result = laboratory.result()
    assert (result.label, result.n) == (label, pairs)
    assert label in printed
    effect_here = log(1 + effect)
    (verdict,) = result.verdicts
    assert verdict.low <= effect_here <= verdict.high


def test_noise_leaves_a_claim_undecided_and_says_what_would_decide(laboratory):
    def noisy(job):
        made = well(job, 0.0)
        scale = 1 + 0.2 * (noise(job) - 1) / 0.01 if job.run.seed < 1000 else 1
        return made | {"test": made["test"] * max(scale, 0.3)}

    laboratory.outcome = noisy
    printed = laboratory("hand")
    assert laboratory.result().label == "undecided"
    assert laboratory.result().n == 8
    assert "smallest effect detectable with 80 % power" in printed


def test_at_the_papers_own_setting_labels_speak_of_the_paper_and_effects_are_points(laboratory):
    laboratory.claim(
        paper={
            "says": "4 points",
            "effect": 0.04,
            "error": 0.3,
            "data": "these",
            "experiments": ["smoke"],
        }
    )
    laboratory.study(changes=[])
    laboratory.outcome = lambda job: well(job, 0.2)
    laboratory.study(changes=None)
    # The built-in images at their own size are not prepared here: the rule is what counts.
    from ablations.claims.files import claim_files, read_study, study_files

    study, (claim,) = read_study(study_files()["hand"])
    assert claim_files()["overlap"].parent == Path("sweeps").resolve()
    assert study.scale_of(claim) == "points"
    assert study.margin_of(claim)[0] == pytest.approx(0.02)
    assert study.at_paper(claim)


def test_equal_arms_are_incomplete(laboratory):
    def alike(job):
        error = 0.25 if job.run.recipe.lr == 0.02 else 0.3
        return {"test": error, "val": error, "train": 0.1}

    laboratory.outcome = alike
    laboratory("hand")
    assert laboratory.result().label == "incomplete"
    assert "equal" in laboratory.result().verdicts[0].reason


def test_a_failed_run_leaves_the_claim_incomplete_and_the_exit_code_1(laboratory):
    laboratory.outcome = lambda job: None if job.run.seed == 101 else well(job)
    printed = laboratory("hand")
    assert laboratory.code == 1
    assert laboratory.result().label == "incomplete"
    assert "a run failed" in printed
    laboratory.outcome = well
    laboratory("hand")
    assert laboratory.result().label == "holds here"


# Every part of the gate


def test_a_baseline_that_is_not_trained_out_is_not_testable(laboratory):
    def learning(job):
        made = well(job)
        if job.run.recipe.epochs > 8:
            made["val"] *= 0.8
        return made

    laboratory.outcome = learning
    printed = laboratory("hand")
    result = laboratory.result()
    assert result.label == "not testable here"
    check = next(check for check in result.checks if check.part == "trained out")
    assert not check.passed
    assert "−20" in check.text or "−19" in check.text
    assert "required: within ±5%" in printed
    # No pair is trained for a claim that cannot show.
    assert not seeds_of(laboratory.trained)


def test_a_rate_at_the_edge_extends_the_grid_three_times_and_then_fails(laboratory):
    def higher_is_better(job):
        made = well(job)
        return made | {"val": 0.3 - 0.001 * job.run.recipe.lr}

    laboratory.outcome = higher_is_better
    laboratory("hand")
    rates = sorted({job.run.recipe.lr for job in laboratory.trained})
    assert rates == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.16, 0.32])
    check = next(c for c in laboratory.result().checks if c.part == "fair rates")
    assert not check.passed
    assert "extended 3 times" in check.text
    assert laboratory.result().label == "not testable here"


def test_a_best_rate_beyond_the_edge_is_found_by_extending_the_grid(laboratory):
    def best_above(job):
        made = well(job)
        return made | {"val": 0.3 + abs(log(job.run.recipe.lr / 0.08)) / 10}

    laboratory.outcome = best_above
    laboratory("hand")
    assert laboratory.result().arms[""]["with"].tuned == "recipe.lr=0.08"
    assert laboratory.result().label != "not testable here"


def test_a_study_without_tuning_has_no_fair_rates(laboratory):
    laboratory.study(tuning=None)
    laboratory("hand")
    check = next(c for c in laboratory.result().checks if c.part == "fair rates")
    assert not check.passed
    assert laboratory.result().label == "not testable here"


@pytest.mark.parametrize(("train", "passed"), [(0.7, True), (0.8, False)])
def test_a_claim_on_overfitting_needs_a_gap_of_a_quarter_without_the_technique(
    laboratory, train, passed
):
    laboratory.claim(overfits_without=True)
    laboratory.outcome = lambda job: (made := well(job)) | {"train": train * made["val"]}
    laboratory("hand")
    check = next(c for c in laboratory.result().checks if c.part == "overfits without it")
    assert check.passed is passed
    assert (laboratory.result().label == "not testable here") is not passed


def test_an_arm_that_always_diverges_is_not_testable(laboratory):
    def diverging(job):
        made = well(job)
        if job.run.techniques.pooling.value == "nonoverlap":
            made["status"] = "diverged"
        return made

    laboratory.outcome = diverging
    laboratory("hand")
    result = laboratory.result()
    assert result.label == "not testable here"
    assert any(c.part == "learns" and not c.passed for c in result.checks)


def test_an_arm_at_chance_is_not_testable_and_a_single_diverged_run_is_an_outcome(laboratory):
    laboratory.outcome = lambda job: well(job) | {"test": 0.9, "val": 0.9}
    laboratory("hand", output="chance")
    assert laboratory.result(output="chance").label == "not testable here"

    def one(job):
        nonoverlap = job.run.techniques.pooling.value == "nonoverlap"
        status = "diverged" if nonoverlap and job.run.seed == 101 else "finished"
        return well(job) | {"status": status}

    laboratory.outcome = one
    laboratory.study("other")
    laboratory("other")
    result = laboratory.result()
    assert any("diverged" in text for text in result.warnings)
    assert result.arms[""]["without"].values[101] == pytest.approx(0.9, abs=0.01)


def test_a_difference_that_is_larger_in_training_is_told(laboratory):
    def in_training(job):
        made = well(job, 0.2)
        nonoverlap = job.run.techniques.pooling.value == "nonoverlap"
        return made | {"train": 0.2 if nonoverlap else 0.05}

    laboratory.outcome = in_training
    printed = laboratory("hand")
    assert "differ more in training error" in printed


# The generalization gap, joint claims, ensembles, times


def gap_claim(**changes):
    return {
        "measure": {"of": "gap"},
        "paper": {"says": "overfits", "data": "ImageNet"},
        "margin": 0.1,
        "why": "a tenth",
        **changes,
    }


def test_a_gap_that_falls_while_the_test_error_rises_is_opposite(laboratory):
    laboratory.claim(**gap_claim())

    def hurting(job):
        nonoverlap = job.run.techniques.pooling.value == "nonoverlap"
        error = (0.3 if nonoverlap else 0.33) * noise(job)
        error *= {0.02: 1.0}.get(job.run.recipe.lr, 1.2)
        return {"test": error, "val": error, "train": 0.05 if nonoverlap else 0.25}

    laboratory.outcome = hurting
    laboratory("hand")
    result = laboratory.result()
    labels = {verdict.part: verdict.label for verdict in result.verdicts}
    assert labels["gap"] is Label.holds
    assert labels["test error"] is Label.opposite
    assert result.label == "opposite here"


def test_a_gap_and_a_test_error_that_both_fall_hold(laboratory):
    laboratory.claim(**gap_claim())
    laboratory.outcome = lambda job: (
        (made := well(job, 0.3))
        | {
            "train": 0.05
            if job.run.techniques.pooling.value == "nonoverlap"
            else 0.2 * made["test"] / 0.3
        }
    )
    laboratory("hand")
    assert laboratory.result().label == "holds here"


def test_the_parts_of_a_joint_claim_share_its_arm_and_its_place_in_the_family(laboratory):
    laboratory.claim(
        **{"with": ["depth=five"]},
        without=None,
        technique="depth",
        parts={
            "no_conv3": {"without": ["depth=no_conv3"]},
            "no_conv4": {"without": ["depth=no_conv4"]},
        },
    )

    def deeper_is_better(job):
        factor = {"no_conv3": 1.3, "no_conv4": 0.7}.get(job.run.techniques.depth.value, 1.0)
        made = well(job, 0.0)
        return made | {"test": made["test"] * factor}

    laboratory.outcome = deeper_is_better
    laboratory("hand")
    result = laboratory.result()
    assert [verdict.part for verdict in result.verdicts] == ["no_conv3", "no_conv4"]
    assert result.label == "opposite here"
    assert result.claims_in_family == 1
    assert result.arms["no_conv3"]["with"].runs == result.arms["no_conv4"]["with"].runs


def test_an_ensemble_averages_predictions_of_runs_that_no_other_pair_uses(laboratory):
    laboratory.claim(technique="ensemble", ensemble=3, without=None, **{"with": []})
    laboratory.study(looks=[3])
    laboratory.outcome = lambda job: well(job, base=0.4)
    laboratory("hand")
    result = laboratory.result()
    members = [run for runs in result.arms[""]["with"].runs.values() for run in runs]
    assert len(members) == len(set(members)) == 9
    with_, without = (result.arms[""][side].values for side in ("with", "without"))
    assert all(with_[seed] < without[seed] for seed in with_)


def timed(**changes):
    return {
        "measure": {"of": "epochs_to_error", "target": 0.5},
        "trained_out": False,
        "paper": {"says": "6 times", "data": "CIFAR-10", "effect": 6.0},
        **changes,
    }


def curve_to(job, epochs, total=60):
    """A record whose online error passes 0.5 after so many epochs."""
    record = make_record(job.run, epochs=total)
    points = [
        point.__class__(
            **{
                **vars(point),
                "train": point.train.__class__(
                    # Of rates that never arrive the one with the smallest loss is chosen.
                    0.9 if point.epoch < epochs else 0.4,
                    0.1,
                    1.0 if job.run.recipe.lr == 0.02 else 1.5,
                    1000,
                ),
            }
        )
        for point in record.curve
    ]
    return {"curve": points, "test": 0.3, "val": 0.3, "epochs": total}


def test_times_are_ratios_and_rates_are_chosen_by_them(laboratory):
    laboratory.claim(
        **timed(
            technique="activation", **{"with": ["activation=relu"]}, without=["activation=tanh"]
        )
    )
    laboratory.study(changes=[*laboratory_changes(), "recipe.epochs=60"])

    def speed(job):
        slow = 1 if job.run.techniques.activation.value == "relu" else 8
        best = 0.02 if slow == 1 else 0.01
        epochs = 4 * slow + (0 if job.run.recipe.lr == best else 10) + job.run.seed % 2
        return curve_to(job, min(epochs, 60))

    laboratory.outcome = speed
    laboratory.study(
        changes=[*laboratory_changes(), "recipe.epochs=60"],
        claims={"overlap": {"grid": {"with": [0.01, 0.02, 0.04], "without": [0.005, 0.01, 0.02]}}},
    )
    printed = laboratory("hand")
    result = laboratory.result()
    assert result.arms[""]["with"].tuned == "recipe.lr=0.02"
    assert result.arms[""]["without"].tuned == "recipe.lr=0.01"
    assert result.label == "holds here"
    assert "6.00×" in printed


def laboratory_changes():
    return STUDY["changes"]


def test_a_target_that_only_one_arm_reaches_is_a_lower_bound(laboratory):
    laboratory.claim(
        **timed(
            technique="activation", **{"with": ["activation=relu"]}, without=["activation=tanh"]
        )
    )
    laboratory.study(changes=[*laboratory_changes(), "recipe.epochs=60"])

    def never(job):
        slow = job.run.techniques.activation.value == "tanh"
        return curve_to(job, 61 if slow else 3 + job.run.seed % 2 + 5 * (job.run.recipe.lr != 0.02))

    laboratory.outcome = never
    laboratory("hand")
    (verdict,) = laboratory.result().verdicts
    # Both rates of tanh are equally hopeless: the gate tells, the interval is open.
    assert verdict.high is None
    assert verdict.low is None or verdict.low > 0


def test_a_target_that_neither_arm_reaches_is_not_testable(laboratory):
    laboratory.claim(
        **timed(
            technique="activation", **{"with": ["activation=relu"]}, without=["activation=tanh"]
        )
    )
    laboratory.study(changes=[*laboratory_changes(), "recipe.epochs=60"])
    laboratory.outcome = lambda job: curve_to(job, 61)
    printed = laboratory("hand")
    assert laboratory.result().label == "not testable here"
    assert "neither arm reached the target" in printed


# Families and looks


def test_a_command_for_one_claim_is_judged_in_the_family_of_the_study(laboratory):
    laboratory.claim(
        "other", **{"technique": "norm", "with": ["norm=lrn"], "without": ["norm=none"]}
    )
    laboratory.claim(
        "ours",
        family="extension",
        technique="norm",
        **{"with": ["norm=lrn"], "without": ["norm=none"]},
    )
    laboratory.study(claims=["overlap", "other", "ours"])
    laboratory("hand", "overlap")
    assert laboratory.result().claims_in_family == 2
    assert [r.claim for r in laboratory.found().results] == ["overlap"]
    laboratory("hand")
    assert laboratory.result().claims_in_family == laboratory.result("other").claims_in_family == 2
    assert laboratory.result("ours").claims_in_family == 1


def test_a_cap_trains_fewer_pairs_and_keeps_the_levels_of_the_plan(laboratory):
    laboratory.outcome = lambda job: well(job, 0.05)
    laboratory("hand", "--seeds", "4")
    assert laboratory.result().n == 3
    assert seeds_of(laboratory.trained) == {100, 101, 102, 103}
    assert not laboratory.result().verdicts[0].final
    laboratory("hand")
    assert laboratory.result().n == 8
    assert laboratory.result().verdicts[0].final


def test_a_claim_that_is_decided_trains_no_more_pairs(laboratory):
    laboratory.claim("other", technique="norm", **{"with": ["norm=lrn"], "without": ["norm=none"]})
    laboratory.study(claims=["overlap", "other"])

    def outcome(job):
        made = well(job, 1.0)
        return made | {
            "test": made["test"] * (1.02 if job.run.techniques.norm.value == "none" else 1)
        }

    laboratory.outcome = outcome
    laboratory("hand")
    assert laboratory.result("overlap").n < laboratory.result("other").n == 8
    pooled = {
        job.run.seed
        for job in laboratory.trained
        if job.run.techniques.pooling.value == "nonoverlap"
    }
    assert len([seed for seed in pooled if seed < 1000]) == laboratory.result("overlap").n


# The ledger


def looks(folder):
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


def test_every_look_is_in_both_ledgers(laboratory, monkeypatch):
    laboratory.outcome = lambda job: well(job, 0.05)
    printed = laboratory("hand")
    import os

    for folder in (Path(os.environ["ABLATIONS_CACHE"]), Path("results/hand")):
        assert [look["pairs"] for look in looks(folder)] == [3, 5, 8]
    assert "looked at 3, 5 and 8 pairs" in printed


def test_a_new_folder_neither_forgets_looks_nor_costs_anything(laboratory):
    laboratory("hand")
    laboratory("hand", output="elsewhere")
    assert laboratory.result(output="elsewhere").alpha == 0.05
    assert len(looks(Path("results/hand"))) == len(
        {look["pairs"] for look in looks(Path("results/hand"))}
    )


def test_a_new_first_seed_is_another_study_at_half_the_error_rate(laboratory):
    laboratory("hand")
    laboratory.study(first_seed=200)
    printed = laboratory("hand", output="again")
    assert laboratory.result(output="again").alpha == 0.025
    assert "earlier study of the same claim on these data: hand" in printed


def test_a_second_and_a_third_study_are_judged_at_half_and_a_quarter(laboratory):
    laboratory("hand")
    laboratory.study("second", changes=[*laboratory_changes(), "width=0.12"])
    laboratory("second")
    assert laboratory.result().alpha == 0.025
    laboratory.study("third", version=2)
    laboratory("third")
    assert laboratory.result().alpha == 0.0125
    # The first one keeps its rate.
    laboratory("hand")
    assert next(s for s in [laboratory.found()]).name
    from ablations.claims.results import load

    first = next(study for study in load(Path("runs")) if study.name == "hand")
    assert first.results[0].alpha == 0.05


def test_either_ledger_alone_remembers(laboratory):
    import os

    laboratory("hand")
    (Path(os.environ["ABLATIONS_CACHE"]) / "ledger.jsonl").unlink()
    laboratory.study("second")
    laboratory("second", "--plan")
    laboratory("second")
    assert laboratory.result().alpha == 0.025
    (Path("results/hand") / "ledger.jsonl").unlink()
    (Path("results/second") / "ledger.jsonl").unlink()
    laboratory.study("third")
    laboratory("third")
    assert laboratory.result().alpha < 0.05


def test_a_damaged_ledger_is_refused_with_its_line(laboratory):
    Path("results/hand").mkdir(parents=True)
    Path("results/hand/ledger.jsonl").write_text('{"claim": "overl')
    assert "ledger.jsonl:1: not a valid ledger entry" in laboratory("hand")
    assert not laboratory.trained


# What is refused


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("hand", "recipe.epochs=3"), "the study hand fixes recipe.epochs"),
        (("hand", "no_such"), "there is no claim or study `no_such`"),
        (("han",), "did you mean hand"),
        (("overlap", "seed=3"), "the study chooses the seeds"),
        (("overlap", "pooling=overlap"), "the claim overlap chooses pooling"),
        (("overlap", "fast_dev_run=true"), "a verdict needs records"),
    ],
)
def test_what_a_study_fixes_cannot_be_set(laboratory, words, message):
    assert message in laboratory(*words)
    assert not laboratory.trained


def test_other_data_than_the_studys_are_refused(laboratory):
    laboratory.study(fingerprint="0" * 64)
    assert "fingerprint" in laboratory("hand")
    assert not laboratory.trained


def test_arms_that_differ_in_more_than_the_technique_are_refused(laboratory):
    laboratory.claim(without=["pooling=nonoverlap", "norm=none"])
    assert "must differ in pooling and in nothing else" in laboratory("hand")
    laboratory.claim(without=["pooling=overlap"])
    assert "differ in nothing" in laboratory("hand")


def test_a_study_that_tunes_what_tells_the_arms_apart_is_refused(laboratory):
    laboratory.claim(
        technique="recipe.weight_decay",
        **{"with": ["recipe.weight_decay=0.0005"], "without": ["recipe.weight_decay=0"]},
    )
    laboratory.study(tuning={"key": "recipe.weight_decay", "values": [0.0001, 0.001]})
    assert "tunes recipe.weight_decay, which tells the arms" in laboratory("hand")
    assert not laboratory.trained


def test_a_study_whose_pairs_would_use_a_tuning_seed_is_refused(laboratory):
    laboratory.study(first_seed=995)
    assert "kept for tuning" in laboratory("hand")


# The report


def test_the_report_tells_labels_gates_and_looks(laboratory):
    laboratory.claim(
        "other",
        technique="norm",
        overfits_without=True,
        **{"with": ["norm=lrn"], "without": ["norm=none"]},
    )
    laboratory.study(claims=["overlap", "other"])
    laboratory.outcome = lambda job: (made := well(job, 0.2)) | {"train": 0.9 * made["val"]}
    laboratory("hand")
    report(Path("runs"), Path("report"), pictures=False)
    text = Path("report/RESULTS.md").read_text()
    page = Path("report/report.html").read_text()
    for shown in (text, page):
        assert "holds here" in shown.lower()
        assert "not testable here" in shown.lower()
        assert "overfits without it" in shown.lower()
        assert "looked at 3" in shown.lower()
