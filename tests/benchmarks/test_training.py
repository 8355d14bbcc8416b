from benchmarks import training


def test_costs_are_of_an_image(monkeypatch):
    def suite(config, data, steps, peers):
        assert set(peers) == {"bare"}
        if config.network.value == "cifar_conv":  # a millisecond an image
            return {"suite": [float(config.recipe.batch_size)], "bare": [128.0]}
        return {"suite": [3.0], "bare": [1.0]}

    monkeypatch.setattr(training, "suite", suite)
    monkeypatch.setattr(training, "bare", lambda *arguments, tricks: None)
    monkeypatch.setattr(training, "store", lambda size, images: None)
    rows = training.scale(8)
    assert [row.workload for row in rows[::4]] == [
        "an image of cifar_conv, batch 8",
        "an image of alexnet_small-64",
    ]
    assert [row.ratio for row in rows] == [[1.0]] * 4 + [[3.0]] * 2
