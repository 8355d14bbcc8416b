import numpy as np

from ablations.page.towers import towers


def test_the_colors_of_towers_are_drawn():
    drawing = towers("key", [np.array([0.1, 0.2]), np.array([0.7, 0.9])])
    assert drawing.rows == [("tower 1", "2", "15.0", "15.0"), ("tower 2", "2", "80.0", "80.0")]
    assert "tower 2 80 %" in drawing.description


def test_a_network_without_towers_has_one_row():
    assert [row[0] for row in towers("key", [np.array([0.5])]).rows] == ["kernels"]
