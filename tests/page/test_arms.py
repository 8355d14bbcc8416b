import pytest

from ablations.page.arms import arms_of, mean_sd


def test_a_diverged_run_counts_as_guessing(folder):
    (arm,) = arms_of([folder.add(0.25, 0, status="diverged")])
    assert arm.errors("ten_view", 1) == [90.0]
    assert arm.finished == []
    assert arm.gaps == []


def test_one_value_has_no_spread():
    assert (mean_sd([]), mean_sd([1.0])) == ("–", "1.00")


def test_towers_are_compared_where_the_record_tells_their_colours(folder):
    runs = [folder.add(0.25, 0, colors=[0.7, 0.5]), folder.add(0.25, 1)]
    (arm,) = arms_of(runs)
    assert arm.color_differences == pytest.approx([20])
