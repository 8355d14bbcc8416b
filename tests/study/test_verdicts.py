import json

import pytest

from ablations.config import ConfigError
from ablations.study.results import to_result
from ablations.study.verdicts import Result, StudyResult, changes, load, not_adjusted_with, save


def test_a_study_is_written_and_read_back(study, claim, runner, conducted, gently):
    planned = study(claim(), seeds=3)
    code, found, text = conducted(planned, runner(gently))
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


def test_a_changed_rule_is_visible(study, claim, runner, conducted, gently):
    conducted(study(claim(), seeds=3), runner(gently))
    bolder = claim(decision={"margin": 0.001, "why": "I like it"})
    _, found, text = conducted(study(bolder, seeds=3), runner(gently))
    (result,) = found.results
    assert [entry["rule"]["margin"] for entry in result.earlier_rules] == [0.002]
    assert changes(result) == ["margin: 0.002 before, 0.001 now"]
    assert "the rule has changed: margin: 0.002 before, 0.001 now" in text
    # It stays visible when nothing changes any more.
    _, found, _ = conducted(study(bolder, seeds=3), runner(gently))
    assert len(found.results[0].earlier_rules) == 1


def test_a_command_that_ends_early_leaves_the_verdict_before_it(
    study, claim, runner, conducted, gently
):
    _, found, _ = conducted(planned := study(claim(), seeds=3), runner(gently))
    assert save(planned.output, to_result(planned)) == found
    # By another rule it would be no verdict.
    bolder = study(claim(decision={"margin": 0.001, "why": "I like it"}), seeds=3)
    (result,) = save(bolder.output, to_result(bolder)).results
    assert (result.status, result.verdict) == ("planned", None)


def test_a_changed_grid_is_told_in_words():
    grids = ({"recipe.lr": {"with": [0.1], "without": rates}} for rates in ([0.1], [0.1, 0.2]))
    old, new = ({"margin": 1, "tune": grid} for grid in grids)
    words = {
        name: "x"
        for name in ("claim", "part", "statement", "section", "technique", "kind", "family")
    }
    result = Result(
        **words,
        paper={},
        confounds=[],
        status="planned",
        rule=new,
        earlier_rules=[{"rule": old}],
    )
    assert changes(result) == ["tune recipe.lr without: [0.1] before, [0.1, 0.2] now"]


def test_commands_keep_each_others_claims_and_studies(study, claim, runner, conducted, gently):
    conducted(study(claim(), seeds=3), runner(gently))
    other = claim(name="a_copy")
    _, found, text = conducted(study(other, seeds=3), runner(gently))
    assert [result.name for result in found.results] == ["a_copy", "overlap_helps"]
    copy, first = found.results
    assert not_adjusted_with(copy, found) == ["overlap_helps"]
    assert not_adjusted_with(first, found) == ["a_copy"]
    assert "not adjusted for overlap_helps, which other commands decided" in text
    together = study(claim(), other, seeds=3)
    _, found, text = conducted(together, runner(gently))
    assert not any(not_adjusted_with(result, found) for result in found.results)
    assert "not adjusted" not in text
    planned = study(claim(), seeds=3, overrides=("recipe.epochs=1",))
    save(planned.output, to_result(planned))
    assert [one.changes for one in load(planned.output)] == [
        "data.val_size=11",
        "data.val_size=11 recipe.epochs=1",
    ]


def test_a_control_has_words_of_its_own(study, claim, runner, conducted):
    placebo = claim(
        family="control", technique="stream", **{"with": ["stream=1"]}, without=["stream=0"]
    )

    def alarm(job):
        return 0.2 + 0.05 * (job.run.stream == 0) + 0.0003 * job.run.seed * job.run.stream

    _, found, text = conducted(study(placebo, seeds=3), runner(alarm))
    assert found.results[0].label == "false alarm"
    assert "false alarm" in text


def test_a_broken_file_is_not_overwritten(runs_dir, study, claim):
    (runs_dir / "verdicts.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        save(runs_dir, to_result(study(claim())))
    assert (runs_dir / "verdicts.json").read_text() == "{"
