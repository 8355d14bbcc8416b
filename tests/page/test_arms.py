import pytest

from ablations.page.arms import arms_of, mean_sd


def test_a_diverged_run_counts_as_chance(folder):
    (arm,) = arms_of([folder.add(0.25, 0, status="diverged")])
    assert arm.errors("ten_view", 1) == [90.0]
    assert arm.finished == []
    assert arm.gaps == []


def test_one_value_has_no_spread():
    assert (mean_sd([]), mean_sd([1.0])) == ("–", "1.00")


def test_towers_are_compared_in_finished_runs(folder):
    runs = [folder.add(0.25, 0, colors=[0.7, 0.5]), folder.add(0.25, 1, status="diverged")]
    (arm,) = arms_of(runs)
    assert arm.color_differences == pytest.approx([20])


def test_a_run_may_be_named_by_its_study(folder):
    runs = [folder.add(0.25, 0), folder.add(0.25, 1, arm="norm=none width=2")]
    arms = arms_of(runs, {runs[1].run_id: "norm=none"})
    assert [arm.name for arm in arms] == ["baseline", "norm=none"]


def test_a_baseline_with_a_tuned_rate_comes_before_other_arms(folder):
    names = ["norm=none recipe.lr=0.02", "recipe.lr=0.01"]
    arms = arms_of([folder.add(0.25, 0, arm=name) for name in names])
    assert [arm.name for arm in arms] == ["recipe.lr=0.01", "norm=none recipe.lr=0.02"]
