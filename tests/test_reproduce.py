import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ablations import reproduce
from ablations.claims.results import load

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ROOT / "ablations" / "reproduce.py"
# Four epochs of the smoke experiment, on the data of the fixture `cache`.
TINY = (
    *("experiment=smoke", "data.val_size=11", "width=0.2"),
    *("logger=none", "recipe.epochs=4", "recipe.batch_size=16"),
)


def exit_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        reproduce.main(arguments)
    return ended.value.code


def test_without_a_name_it_lists_studies_and_claims(capsys):
    reproduce.main([])
    listed = capsys.readouterr().out
    assert "demo  Example on the built-in images" in listed
    assert "overlap_pooling_lowers_error (§3.4)" in listed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("overlap_pooling_lower_error",), "did you mean overlap_pooling_lowers_error"),
        (("overlap*", "experiment=smok"), "experiment=smok: does not exist; experiment takes"),
        (("overlap*", "pooling=overlap"), "sets pooling; next step: remove one of them"),
        (("overlap*", "seed=1"), "`seed` cannot be set in a claim or a study"),
        (("demo", "recipe.epochs=1"), "the study demo fixes recipe.epochs"),
        (("demo", "relu"), "several studies; next step"),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments, words):
    message = exit_of(*arguments)
    assert message.startswith("error: ")
    assert words in message
    assert "\n" not in message


def test_runs_on_several_nodes_wait_for_torchrun(cache, capsys):
    assert exit_of("overlap_pooling_lowers_error", "trainer.num_nodes=2", *TINY) == 0
    frozen = {str(path.parent.resolve()) for path in Path("runs").glob("*/config.yaml")}
    shown = capsys.readouterr().out
    asked = [line for line in shown.splitlines() if line.startswith("torchrun --nnodes=2 ")]
    assert {line.split()[-1] for line in asked} == frozen != set()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("all", "--seeds", "1"), "--seeds: must be at least 2"),
        (("all", "--rate", "0"), "--rate: must be above 0"),
        (("all", "--budget", "soon"), "'soon' is not a time such as 30min, 2h or 1d"),
    ],
)
def test_options_say_what_they_take(capsys, arguments, words):
    assert exit_of(*arguments) == 2
    assert words in capsys.readouterr().err


def test_the_price_of_imagenet_follows_from_a_rate(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def plan(*words):
        reproduce.main(["imagenet", "--plan", "logger=none", *words])
        return capsys.readouterr().out

    def row(shown, claim):
        return next(line for line in shown.splitlines() if line.startswith(claim))

    shown = plan("--rate", "5000", "data.path=somewhere")
    # 3 rates on 3 seeds in each of two arms, 5 seeds at twice the epochs and 2 more at the epochs
    # of the study for the gate, and 5 pairs; each epoch has all images but those for validation.
    epochs = 91 * (18 + 2 + 10) + 182 * 5
    evaluated = (10_000 * (epochs + 35) + 35 * (1_271_167 + 10 * 50_000)) / 3
    hours = (1_271_167 * epochs + evaluated) / 5000 / 3600
    assert row(shown, "LRN lowers error").split()[-1] == f"{hours:.0f}"
    total = re.search(r"([\d,]+) hours of one device", row(shown, "plan"))
    assert total
    assert f"{total[1]} GPU-hours" in (ROOT / "docs/speed.md").read_text()
    # The path of the challenge's files does not change the experiment; other images do.
    assert "0.7 points" in row(shown, "LRN lowers error")
    other = plan("--rate", "10000", "data.path=somewhere", "data.name=mine")
    assert "1.017×" in row(other, "LRN lowers error")
    assert row(other, "LRN lowers error").split()[-1] == f"{hours / 2:.0f}"
    assert row(plan(), "LRN lowers error").endswith("?")


def test_the_plan_of_all_claims_says_what_makes_no_sense_here_and_loads_no_torch(cache):
    script = f"import sys; sys.argv = ['x', 'all', '--plan', *{TINY}]\n"
    script += "from ablations import reproduce\nreproduce.main()\n"
    script += "assert 'torch' not in sys.modules and 'wandb' not in sys.modules"
    narrow = {**os.environ, "COLUMNS": "60"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=narrow)
    lines = done.stdout.splitlines()
    reason = "excluded: it needs a target; next step: set claims.NAME.target in a study file"
    assert f"Dropout doubles iterations  {reason}" in lines
    table = lines[: next(n for n, line in enumerate(lines) if reason in line)]
    assert max(map(len, table)) <= 60
    assert {"overfitting", "convolution", "augmentation"} <= set(" ".join(table).split())


@pytest.mark.slow(minutes=6)
def test_the_shipped_example_trains_to_its_labels_and_resumes(tmp_path, monkeypatch):
    def study(*arguments):
        return subprocess.run(
            [sys.executable, str(COMMAND), "demo", *arguments, "logger=none", "trainer=cpu"],
            env={**os.environ, "COLUMNS": "200", "ABLATIONS_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=1500,
        )

    first = study()
    assert first.returncode == 0, first.stderr
    (found,) = load(Path("runs"))
    results = {result.claim: result for result in found.results}
    assert set(results) == {
        "crops_and_flips_curb_overfitting",
        "overlap_pooling_lowers_error",
        "placebo_changes_nothing",
        "ten_views_lower_error",
    }
    # The regime passes its gate, so that every claim has been looked at.
    assert all(check.passed for result in found.results for check in result.checks)
    assert results["ten_views_lower_error"].label == "holds here"
    assert {result.n for result in found.results} <= {3, 5}
    looks = [
        json.loads(line) for line in Path("results/demo/ledger.jsonl").read_text().splitlines()
    ]
    assert {look["claim"] for look in looks} == set(results)
    assert {look["pairs"] for look in looks} == {3, 5}
    records = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/record.json")}

    again = study()
    assert again.returncode == 0
    assert "running" not in again.stdout
    assert {path: path.stat().st_mtime_ns for path in records} == records
