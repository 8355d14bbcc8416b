import re
from io import StringIO

import pytest
from rich.console import Console

from ablations.study.cost import cost_of
from ablations.study.tables import show_plan


def test_an_excluded_claim_is_listed_with_its_reason(study, claim, runner, conducted, gently):
    _, found, text = conducted(study(claim(excluded={"smoke": "too small"})), runner(gently))
    assert found.results[0].status == "excluded"
    assert "not here: too small" in text


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, r"[+-]\d+\.\d\d points"),
        (
            {
                "kind": "ratio",
                "paper": {"says": "1.2 times", "effect": 1.2, "data": "synthetic"},
                "decision": {"margin": 1.1, "why": "x", "looks": [2]},
            },
            r"\d\.\d\d×",
        ),
        ({"measure": {"metric": "loss", "split": "val"}}, r"[+-]\d\.\d{3} nats"),
    ],
    ids=["points", "ratio", "nats"],
)
def test_an_effect_has_its_unit(study, claim, runner, conducted, gently, changes, shown):
    _, _, text = conducted(study(claim(**changes), seeds=2), runner(gently))
    assert re.search(shown, text)
    assert "next  python ablations/report.py --output " in text


def plan_of(planned, hand, width=200):
    console = Console(record=True, width=width, file=StringIO())
    show_plan(console, planned, cost_of(planned, {c.name: None for c in planned.cases}, hand))
    return console.export_text()


def test_a_plan_counts_runs_and_says_what_sharing_saves(study, claim, runner, gently):
    gap = claim(name="overlap_curbs", kind="gap", measure={})
    shown = plan_of(study(claim(), gap, seeds=2), runner(gently))
    assert "Plan: smoke on synthetic, data.val_size=11" in shown
    assert "plan  4 runs, 0 finished; 8 if each arm" in shown
    assert "50% saved by sharing\n" in shown  # its one look is its last
    assert "not known before the first run" in shown


def test_a_plan_says_what_early_looks_may_save(study, claim, runner, gently):
    early = {"margin": 0.1, "why": "x", "looks": [2, 4]}
    alone = plan_of(study(claim(decision=early)), runner(gently))
    assert "at most 8 runs (4 if the first look decides every claim), 0 finished\n" in alone
    gap = claim(name="overlap_curbs", kind="gap", measure={}, decision=early)
    both = plan_of(study(claim(decision=early), gap), runner(gently))
    assert "50% saved by sharing, up to 75% with early stops" in both
    assert "saved" not in plan_of(study(claim(), seeds=2), runner(gently))


def test_the_longest_name_of_a_claim_fits_a_terminal_of_80_columns(study, claim, runner, gently):
    name = "each_middle_convolution_matters[no_conv3]"
    assert f"{name} " in plan_of(study(claim(name=name)), runner(gently), width=80)


def test_what_is_left_is_estimated_from_finished_runs(study, claim, runner, gently):
    planned, hand = study(claim(), seeds=2), runner(gently)
    hand.train(planned.cases[0].arms["with"].candidates.values())
    assert "1 finished" in plan_of(planned, hand)
    assert "left  0 MB and about " in plan_of(planned, hand)


@pytest.mark.parametrize(
    ("kind", "changes", "estimate"),
    [
        ("difference", {}, "+5."),
        ("ratio", {"decision": {"margin": 1.05, "why": "x"}}, "1.2"),
    ],
)
def test_numbers_have_the_unit_of_the_claim(
    study, claim, runner, conducted, gently, kind, changes, estimate
):
    paper = {"says": "better", "data": "ImageNet"}
    *_, text = conducted(study(claim(kind=kind, paper=paper, **changes), seeds=3), runner(gently))
    row = next(line for line in text.splitlines() if "reproduced" in line)
    assert estimate in row
    assert ("×" in row) == (kind == "ratio")
