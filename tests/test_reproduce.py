import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablations import sweep

SWEEP = Path(__file__).resolve().parents[1] / "ablations" / "reproduce.py"
# One epoch of the smoke experiment, on the data of the fixture `cache`.
TINY = (
    *("experiment=smoke", "data.val_size=11", "width=0.125", "logger=none"),
    *("recipe.epochs=1", "recipe.batch_size=16"),
)


def exit_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        sweep.main(arguments)
    return ended.value.code


def test_without_a_claim_it_lists_them(capsys):
    assert "name a claim" in exit_of()
    listed = capsys.readouterr().out
    assert "overlap_pooling_lowers_error (3.4)" in listed
    assert "Pooling windows that overlap lower the test error." in listed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("overlap_pooling_lower_error",), "did you mean overlap_pooling_lowers_error"),
        (("overlap*", "experiment=smok"), "experiment=smok does not exist; experiment takes"),
        (("overlap*", "experiment=smoke", "dropot=on"), "there is no key `dropot`"),
        (("overlap*", "experiment=smoke", "dropout=maybe"), "dropout takes on | off"),
        (("overlap*", "pooling=overlap"), "chooses pooling; leave one of them out"),
        (("overlap*", "seed=1"), "the sweep chooses the seeds"),
        (
            ("overlap*", "trainer.num_nodes=2"),
            "trainer.num_nodes=2 needs the command on each node to know",
        ),
        (("overlap*", "--first-seed", "999"), "kept for tuning"),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments, words):
    message = exit_of(*arguments)
    assert message.startswith("error: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("all", "--seeds", "1"), "'1' is not a number of pairs: 2 or more"),
        (("all", "--first-seed=-1"), "'-1' is not a seed: a whole number, 0 or more"),
        (("all", "--budget", "soon"), "'soon' is not a time such as 30min, 2h or 1d"),
    ],
)
def test_options_say_what_they_take(capsys, arguments, words):
    assert exit_of(*arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90min", 5400), ("2h", 7200), ("1.5 h", 5400), ("1d", 86400), ("5s", 5)]
)
def test_a_budget_is_a_time(text, seconds):
    assert sweep._seconds(text) == seconds


@pytest.mark.parametrize("marker", [(), ("--",)])
def test_the_plan_of_all_claims_saves_half(cache, capsys, monkeypatch, marker):
    monkeypatch.setenv("COLUMNS", "200")
    assert exit_of("all", "--plan", *marker, *TINY, "output=here") == 0
    shown = capsys.readouterr().out
    counts = next(line for line in shown.splitlines() if line.startswith("plan"))
    runs, naive = (int(counts.split(mark)[0].split()[-1]) for mark in (" runs", " if each"))
    assert runs <= naive / 2
    assert "each_middle_convolution_matters[no_conv3]" in shown
    assert "not here: with the paper's initial weights the loss stays flat" in shown
    assert not Path("here/verdicts.json").exists()


def test_the_plan_of_a_study_that_may_stop_at_any_time(cache, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = ("overlap_pooling_lowers_error", "--plan", "--anytime", "--seeds", "12")
    assert exit_of(*words, *TINY) == 0
    shown = capsys.readouterr().out
    assert "3 to 12" in shown
    assert "24 runs (6 if the first look decides" in shown


def test_the_command_does_not_load_torch(cache):
    script = f"import sys; sys.argv = ['x', 'all', '--plan', *{TINY}]\n"
    script += "from ablations import sweep\ntry: sweep.main()\nexcept SystemExit: pass\n"
    script += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def run_sweep(*arguments):
    return subprocess.run(
        [sys.executable, str(SWEEP), *arguments, *TINY, "trainer=cpu", "output=runs"],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.mark.slow
def test_a_claim_from_its_plan_to_its_verdict_and_again(cache):
    claims = ("ensembles_lower_error", "ten_views_lower_error", "placebo_changes_nothing")
    first = run_sweep(*claims, "--seeds", "2")
    assert first.returncode == 0, first.stderr
    (study,) = json.loads(Path("runs/verdicts.json").read_text())["studies"]
    assert {result["claim"] for result in study["results"]} == set(claims)
    assert all(result["verdict"]["n"] == 2 for result in study["results"])
    records = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/record.json")}
    assert len(records) == 10 + 2  # two ensembles of five, and the placebo's other arm

    again = run_sweep(*claims, "--seeds", "2")
    assert again.returncode == 0
    assert "12 finished" in again.stdout
    assert "running" not in again.stdout
    assert {path: path.stat().st_mtime_ns for path in records} == records
    assert json.loads(Path("runs/verdicts.json").read_text())["studies"] == [study]


@pytest.mark.slow
def test_a_spent_budget_starts_nothing_and_says_so(cache):
    ended = run_sweep("lrn_lowers_error", "placebo*", "--budget", "0s")
    assert ended.returncode == 0, ended.stderr
    assert not list(Path("runs").glob("*/record.json"))
    assert ended.stdout.count("unfinished: the time was up") == 2
