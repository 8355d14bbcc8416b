import numpy as np

from ablations.data.spread import spread


def test_every_stretch_holds_the_classes_in_proportion():
    labels = np.repeat([0, 1], [30, 60])
    order = spread(labels)
    assert sorted(order.tolist()) == list(range(90))
    for start in range(0, 90, 9):
        assert abs(int((labels[order[start : start + 9]] == 0).sum()) - 3) <= 1


def test_the_order_is_always_the_same_and_no_sorted_one():
    labels = np.zeros(50, int)
    assert (spread(labels) == spread(labels)).all()
    assert spread(labels).tolist() != list(range(50))
