from dataclasses import replace

from ablations.study.design import TUNING_SEEDS
from ablations.study.tuning import choice_of, tune, tuning_jobs

GRID = {"recipe.lr": {"with": [0.01, 0.02, 0.04], "without": [0.01, 0.02]}}


def by_rate(job):
    return abs(job.run.recipe.lr - 0.02) + job.run.seed / 1e6


def test_the_best_mean_validation_error_wins_in_each_arm(study, claim, runner):
    planned, hand = study(claim(tune=GRID)), runner(by_rate)
    hand.train(tuning_jobs(planned.cases))
    found = tune(planned.cases[0], "smoke", hand)
    assert choice_of(found) == {"with": ("recipe.lr=0.02",), "without": ("recipe.lr=0.02",)}
    assert {job.run.seed for job in hand.trained} == set(TUNING_SEEDS)
    assert len(hand.trained) == 2 * 5


def test_a_choice_at_the_edge_of_its_grid_is_noted(study, claim, runner):
    planned, hand = study(claim(tune=GRID)), runner(by_rate)
    hand.train(tuning_jobs(planned.cases))
    found = tune(planned.cases[0], "smoke", hand)
    assert found["with"].at_edge == ()
    assert found["without"].at_edge == ("recipe.lr=0.02",)


def test_nothing_is_chosen_while_a_run_is_missing(study, claim, runner):
    planned, hand = study(claim(tune=GRID)), runner(by_rate)
    hand.train(list(tuning_jobs(planned.cases))[:-1])
    assert tune(planned.cases[0], "smoke", hand) is None
    assert choice_of(None) is None


def test_without_tuned_keys_there_is_nothing_to_train(study, claim, runner):
    planned = study(claim())
    assert list(tuning_jobs(planned.cases)) == []
    found = tune(planned.cases[0], "smoke", runner(by_rate))
    assert choice_of(found) == {"with": (), "without": ()}
    assert found["with"].at_edge == ()


def test_a_time_to_target_is_tuned_for_speed(study, claim, runner, record_of):
    timed = claim(
        kind="time_to_target",
        measure={"metric": "top1", "split": "running", "target": 0.3},
        paper={"says": "6 times", "effect": 6.0, "data": "CIFAR-10"},
        decision={"margin": 2.45, "why": "root"},
        tune=GRID,
    )

    def outcome(job):
        # The faster rate has the worse validation error; 0.04 never arrives.
        record = record_of(job, error=job.run.recipe.lr)
        start = {0.01: 0.5, 0.02: 0.4, 0.04: 0.9}[job.run.recipe.lr]
        points = [
            replace(point, train=replace(point.train, top1=start - 0.05 * point.epoch))
            for point in record.curve
        ]
        return replace(record, curve=points)

    planned, hand = study(timed), runner(outcome)
    hand.train(tuning_jobs(planned.cases))
    found = tune(planned.cases[0], "smoke", hand)
    assert choice_of(found) == {"with": ("recipe.lr=0.02",), "without": ("recipe.lr=0.02",)}


def test_a_diverged_candidate_loses(study, claim, runner, record_of):
    def outcome(job):
        if job.run.recipe.lr == 0.02:
            return record_of(job, status="diverged", train=None, val=None, test={}, curve=[])
        return job.run.recipe.lr

    for changes in ({}, {"measure": {"split": "train"}}):
        planned = study(claim(tune=GRID, **changes))
        hand = runner(outcome)
        hand.train(tuning_jobs(planned.cases))
        found = tune(planned.cases[0], "smoke", hand)
        assert found["without"].choice == ("recipe.lr=0.01",)
