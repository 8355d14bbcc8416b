from ablations.study.conduct import conduct
from ablations.study.verdicts import load


def test_rules_are_written_before_the_first_run(study, claim, runner, conducted, gently):
    planned = study(claim())
    seen = []

    def look(job):
        seen.append(load(planned.output)[0].results[0])
        return gently(job)

    conducted(planned, runner(look))
    assert seen[0].status == "planned"
    assert seen[0].verdict is None
    assert seen[0].rule["margin"] == 0.002
    assert seen[-1].rule_hash == seen[0].rule_hash


def test_a_failed_run_leaves_the_claim_incomplete(study, claim, runner, conducted, gently):
    hand = runner(lambda job: None if job.run.seed == 1 else gently(job))
    code, found, text = conducted(study(claim()), hand)
    assert code == 1
    assert found.results[0].status == "incomplete"
    assert "incomplete: a run failed" in text


def test_a_run_that_fails_in_tuning_leaves_the_claim_incomplete(
    study, claim, runner, conducted, gently
):
    tune = {"recipe.lr": {"with": [0.01, 0.02], "without": [0.01, 0.02]}}
    hand = runner(lambda job: None if job.run.seed >= 1000 else gently(job))
    code, found, _ = conducted(study(claim(tune=tune)), hand)
    assert code == 1
    assert found.results[0].status == "incomplete"
    assert found.results[0].reason == "a run failed in tuning"


def test_the_plan_trains_and_writes_nothing(study, claim, runner, gently):
    hand = runner(gently)
    planned = study(claim())
    assert conduct(planned, hand, plan_only=True) == 0
    assert hand.trained == []
    assert not (planned.output / "verdicts.json").exists()
