import json
from io import StringIO

import pytest
from rich.console import Console

from ablations.config import ConfigError
from ablations.study.conduct import conduct
from ablations.study.results import to_result
from ablations.study.verdicts import StudyResult, changes, load, save


def outcome(job):
    return 0.2 + 0.05 * ("nonoverlap" in job.label) + 0.0001 * (job.run.seed % 3) * len(job.label)


def conducted(planned, hand):
    hand.console = Console(record=True, width=200, file=StringIO())
    code = conduct(planned, hand, plan_only=False)
    (found,) = load(planned.output)
    return code, found, hand.console.export_text()


def test_a_study_is_written_and_read_back(study, claim, bench):
    planned = study(claim(), seeds=3)
    code, found, text = conducted(planned, bench(outcome))
    assert code == 0
    (result,) = found.results
    assert (result.status, result.label) == ("decided", "reproduced")
    assert result.arms["without"].values == pytest.approx({0: 0.25, 1: 0.2543, 2: 0.2586}, abs=0.02)
    assert set(result.arms["with"].runs) == {0, 1, 2}
    assert result.verdict["n"] == 3
    assert result.paper == {
        "says": "0.4 points",
        "effect": 0.004,
        "data": "ImageNet",
        "comparable": True,
    }
    assert StudyResult.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert "overlap_helps" in text
    assert "reproduced" in text
    assert "verdicts.json" in text


def test_rules_are_written_before_the_first_run(study, claim, bench):
    planned = study(claim())
    seen = []

    def look(job):
        seen.append(load(planned.output)[0].results[0])
        return outcome(job)

    conducted(planned, bench(look))
    assert seen[0].status == "planned"
    assert seen[0].verdict is None
    assert seen[0].rule["margin"] == 0.002
    assert seen[-1].rule_hash == seen[0].rule_hash


def test_a_changed_rule_is_visible(study, claim, bench):
    conducted(study(claim(), seeds=3), bench(outcome))
    bolder = claim(decision={"margin": 0.001, "why": "I like it"})
    _, found, text = conducted(study(bolder, seeds=3), bench(outcome))
    (result,) = found.results
    assert [entry["rule"]["margin"] for entry in result.earlier_rules] == [0.002]
    assert changes(result) == ["margin: 0.002 before, 0.001 now"]
    assert "the rule has changed: margin: 0.002 before, 0.001 now" in text
    # It stays visible when nothing changes any more.
    _, found, _ = conducted(study(bolder, seeds=3), bench(outcome))
    assert len(found.results[0].earlier_rules) == 1


def test_words_are_no_rule(study, claim):
    reworded = claim(statement="Other words.", confounds=["one more"])
    first, second = (to_result(study(one)).results[0] for one in (claim(), reworded))
    assert first.rule_hash == second.rule_hash


def test_commands_keep_each_others_claims_and_studies(study, claim, bench):
    conducted(study(claim(), seeds=3), bench(outcome))
    other = claim(name="a_copy")
    _, found, _ = conducted(study(other, seeds=3), bench(outcome))
    assert [result.name for result in found.results] == ["a_copy", "overlap_helps"]
    planned = study(claim(), seeds=3, overrides=("recipe.epochs=1",))
    save(planned.output, to_result(planned))
    assert [one.changes for one in load(planned.output)] == [
        "dataset.val_size=11",
        "dataset.val_size=11 recipe.epochs=1",
    ]


def test_places_and_hardware_are_no_part_of_a_study(study, claim):
    first = to_result(study(claim()))
    second = to_result(study(claim(), overrides=("trainer.threads=3", "dataset.name=mine")))
    assert (first.baseline, first.changes) == (second.baseline, second.changes)


def test_a_failed_run_leaves_the_claim_incomplete(study, claim, bench):
    hand = bench(lambda job: None if job.run.seed == 1 else outcome(job))
    code, found, text = conducted(study(claim()), hand)
    assert code == 1
    assert found.results[0].status == "incomplete"
    assert "incomplete: a run failed" in text


def test_a_run_that_fails_in_tuning_leaves_the_claim_incomplete(study, claim, bench):
    tune = {"recipe.lr": {"with": [0.01, 0.02], "without": [0.01, 0.02]}}
    hand = bench(lambda job: None if job.run.seed >= 1000 else outcome(job))
    code, found, _ = conducted(study(claim(tune=tune)), hand)
    assert code == 1
    assert found.results[0].status == "incomplete"
    assert found.results[0].reason == "a run failed in tuning"


def test_tuned_values_and_their_scores_are_kept(study, claim, bench):
    tune = {"recipe.lr": {"with": [0.01, 0.02], "without": [0.01, 0.02]}}
    hand = bench(lambda job: outcome(job) + 1000 * job.run.recipe.lr**4)
    _, found, text = conducted(study(claim(tune=tune), seeds=3), hand)
    arm = found.results[0].arms["with"]
    assert arm.tuned == ["recipe.lr=0.01"]
    assert set(arm.tuning) == {"recipe.lr=0.01", "recipe.lr=0.02"}
    assert "recipe.lr=0.01 is at the edge of its grid" in text


def test_a_control_has_words_of_its_own(study, claim, bench):
    placebo = claim(
        family="control", technique="stream", **{"with": ["stream=1"]}, without=["stream=0"]
    )

    def alarm(job):
        return 0.2 + 0.05 * (job.run.stream == 0) + 0.0003 * job.run.seed * job.run.stream

    _, found, text = conducted(study(placebo, seeds=3), bench(alarm))
    assert found.results[0].label == "false alarm"
    assert "false alarm" in text


def test_an_excluded_claim_is_listed_with_its_reason(study, claim, bench):
    _, found, text = conducted(study(claim(excluded={"smoke": "too small"})), bench(outcome))
    assert found.results[0].status == "excluded"
    assert "not here: too small" in text


def test_a_broken_file_is_not_overwritten(runs_dir, study, claim):
    (runs_dir / "verdicts.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        save(runs_dir, to_result(study(claim())))
    assert (runs_dir / "verdicts.json").read_text() == "{"


def test_the_plan_trains_and_writes_nothing(study, claim, bench):
    hand = bench(outcome)
    planned = study(claim())
    assert conduct(planned, hand, plan_only=True) == 0
    assert hand.trained == []
    assert not (planned.output / "verdicts.json").exists()
