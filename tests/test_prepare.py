import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ablations import prepare
from ablations.composition import compose
from ablations.training.optimizer import RateSchedule


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Nine training and four test JPEGs of two classes, the last two of them grayscale."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 9), ("val", 4)):
        for n in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
            image = coarse.resize((500, 375), Image.Resampling.BICUBIC)
            path = tmp_path / f"photographs/{split}/n0000000{n % 2}/{n}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            (image.convert("L") if n > 6 else image).save(path, quality=90)
    return tmp_path / "photographs"


def test_imagenet_is_the_printed_recipe():
    config = compose(["experiment=imagenet"])
    recipe, data = config.recipe, config.data
    assert (recipe.batch_size, recipe.epochs, recipe.lr) == (128, 90, 0.01)
    assert (recipe.momentum, recipe.weight_decay) == (0.9, 0.0005)
    assert (data.size, data.crop, config.width) == (256, 224, 1)
    assert config.run.data == compose(["experiment=imagenet_released"]).run.data


def test_the_released_rate_falls_after_25_51_and_79_epochs():
    steps = 10_000
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    recipe = compose(["experiment=imagenet_released"]).recipe
    schedule = RateSchedule(optimizer, recipe, steps)
    for epochs, divisions in ((25, 1), (51, 2), (79, 3)):
        assert schedule.factor(epochs * steps - 1) == pytest.approx(0.1 ** (divisions - 1))
        assert schedule.factor(epochs * steps) == pytest.approx(0.1**divisions)


def run_command(*overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(prepare.__file__)), *overrides]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_the_command_says_what_it_made(photographs: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    # Relative paths begin where the command is started, whatever folder Hydra works in.
    keys = ("experiment=imagenet", "data.size=64", "data.crop=56", "hydra.job.chdir=true")

    def shown_by(*overrides: str) -> str:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *keys, *overrides])
        prepare.main()
        return capsys.readouterr().out

    made = shown_by("data.path=photographs", "cache=mine")
    assert "photographs" in made  # not ImageNet, whatever the experiment is called
    assert re.search(r"images +9 training, 4 test", made)
    assert re.search(r"stored as +64x64 pixels, jpeg, [0-9]+ MB", made)
    assert re.search(r"skipped +none", made)
    path = Path(made.splitlines()[-1])
    assert path.parent == tmp_path / "mine"
    # What it made can stand for the photographs, for instance on another machine.
    moved = shown_by(f"data.path={path}", "data.name=Mine", f"cache={tmp_path / 'none'}")
    assert moved.splitlines()[-1] == str(path)
    assert "Mine" in moved
    assert "photographs" not in moved


@pytest.mark.slow
def test_imagenet_trains_on_a_tree_of_photographs(photographs: Path, start):
    keys = ("experiment=imagenet", f"data.path={photographs}")
    made = run_command(*keys)
    assert made.returncode == 0, made.stderr
    few = ("width=0.1", "data.val_size=3", "recipe.batch_size=3", "trainer=cpu", "logger=none")
    run = start(*keys, *few, "fast_dev_run=true").finish()
    assert run.code == 0, run.out + run.err
    assert "decoding" not in run.out
