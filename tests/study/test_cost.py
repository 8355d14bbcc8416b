from ablations.study.cost import cost_of

NORM = {"name": "norm_helps", "technique": "norm", "with": ["norm=lrn"], "without": ["norm=none"]}


def cost(planned, runner):
    return cost_of(planned, {case.name: None for case in planned.cases}, runner)


def test_shared_runs_count_once(study, claim, runner):
    gap = claim(name="overlap_curbs", kind="gap", measure={})
    found = cost(study(claim(), gap, claim(**NORM)), runner(lambda job: 0.2))
    assert [(row.own, row.shared, row.naive) for row in found.cases] == [
        (0, 16, 16),
        (0, 16, 16),
        (8, 8, 16),
    ]
    assert (found.runs, found.first, found.naive) == (24, 9, 48)
    assert found.saving == 0.5


def test_tuning_is_part_of_the_cost(study, claim, runner):
    tune = {"recipe.lr": {"with": [0.01, 0.02], "without": [0.01]}}
    found = cost(study(claim(tune=tune), seeds=4), runner(lambda job: 0.2))
    # The arm without a choice trains nothing for tuning.
    assert found.runs == found.naive == 2 * 2 + 2 * 4


def test_readings_and_ensembles_take_the_runs_of_the_baseline(study, claim, runner):
    views = claim(
        name="views",
        technique="evaluation",
        **{"with": ["evaluation=ten_view"]},
        without=["evaluation=center"],
    )
    five = claim(name="five", technique="ensemble", ensemble=5, **{"with": []}, without=[])
    found = cost(study(claim(), views, five, seeds=2), runner(lambda job: 0.2))
    assert found.runs == 2 + 10
    assert found.naive == 4 + 4 + 20


def test_finished_runs_are_known_with_their_time_and_disk(study, claim, runner):
    hand = runner(lambda job: 0.2)
    planned = study(claim(), seeds=2)
    assert cost(planned, hand).time_left.unknown == 4
    assert cost(planned, hand).bytes_left is None
    (case,) = planned.cases
    hand.train(case.arms["with"].candidates.values())  # seed 0 of four runs
    found = cost(planned, hand)
    assert (found.finished, found.cases[0].finished) == (1, 1)
    assert found.seconds_spent == 2.0
    assert (found.time_left.unknown, found.time_left.runs) == (0, 3)
    assert found.time_left.seconds > 0
    size = (planned.output / hand.trained[0].run.run_id / "record.json").stat().st_size
    assert found.bytes_left == 3 * size


def test_a_study_without_claims_costs_nothing(study, claim, runner):
    found = cost(study(claim(excluded={"smoke": "too small"})), runner(lambda job: 0.2))
    assert (found.runs, found.naive, found.saving) == (0, 0, 0.0)
