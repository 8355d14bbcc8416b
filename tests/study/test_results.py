from ablations.study.results import to_result


def test_words_are_no_rule(study, claim):
    reworded = claim(statement="Other words.", confounds=["one more"])
    first, second = (to_result(study(one)).results[0] for one in (claim(), reworded))
    assert first.rule_hash == second.rule_hash


def test_places_and_hardware_are_no_part_of_a_study(study, claim):
    first = to_result(study(claim()))
    second = to_result(study(claim(), overrides=("trainer.threads=3", "data.name=mine")))
    assert (first.baseline, first.changes) == (second.baseline, second.changes)


def test_tuned_values_and_their_scores_are_kept(study, claim, runner, conducted, gently):
    tune = {"recipe.lr": {"with": [0.01, 0.02], "without": [0.01, 0.02]}}
    hand = runner(lambda job: gently(job) + 1000 * job.run.recipe.lr**4)
    _, found, text = conducted(study(claim(tune=tune), seeds=3), hand)
    arm = found.results[0].arms["with"]
    assert arm.tuned == ["recipe.lr=0.01"]
    assert set(arm.tuning) == {"recipe.lr=0.01", "recipe.lr=0.02"}
    assert "recipe.lr=0.01 is at the edge of its grid" in text
