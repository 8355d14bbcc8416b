from benchmarks.loops import Turns


def test_each_step_of_the_suite_is_followed_by_one_of_every_peer_in_rotation():
    calls: list[str] = []
    turns = Turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")})
    turns.on_train_start()
    for _ in range(3):
        calls.append("|")
        turns.on_train_batch_end()
    assert "".join(calls) == "|ba|ab|ba"
    assert {name: len(times) for name, times in turns.times.items()} == dict.fromkeys(
        ("suite", "a", "b"), 3
    )
