import pytest

from benchmarks.measure import Row, alternate, missing


def test_functions_take_turns_and_the_first_round_does_not_count():
    calls: list[str] = []
    steps = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    found = alternate(steps, rounds=2, seconds=60)
    assert calls == ["a", "b"] * 3
    assert [len(times) for times in found.values()] == [2, 2]


def test_a_function_may_state_its_own_time_and_the_time_is_bounded():
    found = alternate({"a": lambda: 0.25}, rounds=5, seconds=-1)
    assert found == {"a": [250.0]}


def test_ratios_are_above_one_where_ours_is_faster_or_multiples_of_the_cost():
    assert Row("w", "p", [1.0, 2.0], [4.0, 4.0]).ratio == [4.0, 2.0]
    assert Row("w", "p", [1.0, 2.0], [4.0, 4.0], less=True).ratio == [0.25, 0.5]


@pytest.mark.parametrize(
    ("ours", "goal", "less", "met"),
    [
        (2.0, 1.5, False, True),
        (4.0, 1.5, False, False),
        (4.0, 1.5, True, True),
        (8.0, 1.5, True, False),
    ],
)
def test_a_goal_is_met_by_the_median(ours, goal, less, met):
    assert Row("w", "p", [ours], [4.0], less=less).met(goal) is met


def test_a_missing_peer_is_a_row_without_figures():
    row = missing("w", "p")
    assert row.note == "not installed"
    assert row.met(1.0) is None
