from dataclasses import replace

import pytest

from ablations.composition import alter, compose
from ablations.config import ConfigError
from ablations.study.design import TUNING_SEEDS, at_seed

TUNED = {"recipe.lr": {"with": [0.01, 0.02], "without": [0.01]}}


def run_ids(arm):
    return {job.run.run_id for job in arm.candidates.values()}


def test_arms_are_the_claims_overrides_on_the_experiment(study, claim):
    (case,) = study(claim()).cases
    (with_technique,) = case.arms["with"].candidates.values()
    (without,) = case.arms["without"].candidates.values()
    assert with_technique.run == replace(
        without.run,
        techniques=replace(without.run.techniques, pooling=with_technique.run.techniques.pooling),
    )
    assert without.label == "pooling=nonoverlap data.val_size=11"
    assert with_technique.run.fingerprint


def test_altering_a_configuration_is_composing_it():
    overrides = ["dropout=off", "recipe.lr=0.5", "data.train=[a,b]", "data.train_limit=7"]
    assert alter(compose(["experiment=smoke"]), overrides) == compose(
        ["experiment=smoke", *overrides]
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dropout=maybe", "dropout takes on | off"),
        ("dropot=on", "did you mean dropout"),
        ("recipe.epochs=0", "must be at least 1"),
        ("recipe.epochs=x", "a whole number"),
    ],
)
def test_a_claim_that_cannot_be_composed_is_named(study, claim, override, words):
    with pytest.raises(ConfigError) as error:
        study(claim(common=[override]))
    assert "claim overlap_helps: " in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"without": ["pooling=nonoverlap", "dropout=off"]},
        {"without": ["pooling=overlap"]},
        {"technique": "dropout"},
        {"technique": "ensemble"},
    ],
)
def test_arms_that_differ_in_another_factor_are_refused(study, claim, changes):
    with pytest.raises(ConfigError, match="the arms must differ in"):
        study(claim(**changes))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed=3", "the sweep chooses the seeds"),
        ("fast_dev_run=true", "needs records"),
        ("pooling=overlap", "the claim overlap_helps chooses pooling"),
        ("recipe.epoch=1", "did you mean recipe.epochs"),
    ],
)
def test_overrides_that_are_not_the_users_are_refused(study, claim, override, words):
    with pytest.raises(ConfigError) as error:
        study(claim(), overrides=(override,))
    assert words in str(error.value)


def test_a_claim_is_excluded_with_its_reason(study, claim):
    planned = study(claim(excluded={"smoke": "too small"}))
    assert planned.cases == ()
    assert [(one.name, why) for one, why in planned.excluded] == [("overlap_helps", "too small")]


def test_parts_are_comparisons_of_their_own(study, claim):
    both = claim(
        technique="depth",
        **{"with": ["depth=five"]},
        without=[],
        parts={"a": ["depth=no_conv3"], "b": ["depth=no_conv4"]},
    )
    first, second = study(both).cases
    assert (first.name, second.name) == ("overlap_helps[a]", "overlap_helps[b]")
    assert run_ids(first.arms["with"]) == run_ids(second.arms["with"])
    assert run_ids(first.arms["without"]) != run_ids(second.arms["without"])


def test_each_arm_has_a_job_for_each_choice_of_its_own_grid(study, claim):
    (case,) = study(claim(tune=TUNED)).cases
    rates = {
        name: [job.run.recipe.lr for job in arm.candidates.values()]
        for name, arm in case.arms.items()
    }
    assert rates == {"with": [0.01, 0.02], "without": [0.01]}


def test_a_reference_doubles_the_arms(study, claim):
    (case,) = study(claim(reference=["activation=tanh"])).cases
    assert set(case.arms) == {"with", "without", "with reference", "without reference"}
    assert len(set.union(*map(run_ids, case.arms.values()))) == 4


def test_two_readings_of_one_run_share_it(study, claim):
    views = claim(
        technique="evaluation", **{"with": ["evaluation=ten_view"]}, without=["evaluation=center"]
    )
    (case,) = study(views).cases
    assert run_ids(case.arms["with"]) == run_ids(case.arms["without"])
    assert (case.arms["with"].view, case.arms["without"].view) == ("ten_view", "center")
    assert case.pool == ""


def test_claims_with_one_baseline_and_measure_are_pooled(study, claim):
    norm = claim(
        name="norm_helps", technique="norm", **{"with": ["norm=lrn"]}, without=["norm=none"]
    )
    apart = claim(name="apart", common=["recipe.weight_decay=0.1"])
    first, second, third = study(claim(), norm, apart).cases
    assert first.pool == second.pool != ""
    assert third.pool == ""


def test_members_of_ensembles_are_in_one_pair_only(study, claim):
    (case,) = study(
        claim(technique="ensemble", ensemble=3, **{"with": []}, without=[]), first_seed=10
    ).cases
    assert [case.seeds(pair) for pair in range(2)] == [(10, 11, 12), (13, 14, 15)]


def test_seeds_of_the_tuning_are_never_used_for_a_verdict(study, claim):
    with pytest.raises(ConfigError, match=r"would use seed 1000, which is kept for tuning"):
        study(claim(), first_seed=TUNING_SEEDS[0] - 7)
    study(claim(), first_seed=TUNING_SEEDS[0] - 8)


def test_a_seed_changes_nothing_but_the_run(study, claim):
    (case,) = study(claim()).cases
    (job,) = case.arms["with"].candidates.values()
    assert replace(at_seed(job, 5), run=job.run) == job
    assert at_seed(job, 5).run.seed == 5


def test_the_arms_of_the_placebo_have_different_names(study, claim):
    (case,) = study(claim(technique="stream", **{"with": ["stream=1"]}, without=["stream=0"])).cases
    assert {job.label for arm in case.arms.values() for job in arm.candidates.values()} == {
        "stream=1",
        "data.val_size=11",
    }
