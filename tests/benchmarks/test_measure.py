import pytest

from benchmarks.measure import Row, alternate


def test_functions_take_turns_and_the_first_round_does_not_count():
    calls: list[str] = []
    steps = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    found = alternate(steps, rounds=2, seconds=60)
    assert calls == ["a", "b"] * 3
    assert [len(times) for times in found.values()] == [2, 2]


def test_a_function_may_state_its_own_time_and_the_time_is_bounded():
    found = alternate({"a": lambda: 0.25}, rounds=5, seconds=-1)
    assert found == {"a": [250.0]}


@pytest.mark.parametrize(
    ("less", "ratio", "met"), [(False, [4.0, 2.0], True), (True, [0.25, 0.5], False)]
)
def test_a_goal_is_a_minimum_of_the_speed_or_a_maximum_of_the_cost(less, ratio, met):
    row = Row("w", "p", [1.0, 2.0], [4.0, 4.0], less=less)
    assert row.ratio == ratio
    assert row.met(0.3) is met
