"""All of Hydra's launchers give the same runs, folders and errors."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from commands import breaking, numbers, numbers_of

from ablations import composition
from ablations.launch import task
from ablations.launch.summary import validation_error
from ablations.record import Record, load_all

SWEEP = "pooling=overlap,nonoverlap"


@pytest.fixture(params=["local", "basic", "joblib", "submitit_local"])
def launcher(request) -> str:
    name = request.param
    if name not in {"local", "basic"}:
        pytest.importorskip(f"hydra_plugins.hydra_{name.partition('_')[0]}_launcher")
    return f"hydra/launcher={name}"


def files(pattern: str) -> set[str]:
    return {str(path) for path in Path().glob(pattern)}


# Trainings


@pytest.mark.slow
def test_every_launcher_gives_the_same_records_beside_a_run_that_fails(
    launcher: str, start, tiny, record: Record
):
    broken = breaking("raise ArithmeticError('injected')", when="seed == 1")
    done = start("-m", *tiny, "seed=1,0", "output=swept", launcher, **broken).finish()
    assert done.code == 1
    assert "runs failed; next step: " in done.err
    assert done.err.count("\n") == 1
    if "submitit" not in launcher:  # jobs of submitit write to files
        assert "ArithmeticError: injected" in done.out
    assert numbers("swept") == {0: numbers_of(record)}
    assert len(files("swept/.hydra/*/[01]/config.yaml")) == 2
    assert not done.left_over(20)


@pytest.mark.slow
def test_optuna_minimizes_the_validation_error(start, tiny):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=search")
    done = start("-m", *tiny, "recipe.lr=interval(0.001,0.05)", *words).finish()
    assert done.code == 0, done.out + done.err
    assert "val top-1 %" in done.out
    found = {record.run.recipe.lr: record for record in load_all(Path("runs"))}
    assert len(found) == 2
    best = yaml.safe_load(Path("search/optimization_results.yaml").read_text())
    record = found[best["best_params"]["recipe.lr"]]
    assert best["best_value"] == record.val.top1 == min(r.val.top1 for r in found.values())
    assert best["best_value"] not in [scores.top1 for scores in record.test.values()]


# No trainings


@pytest.fixture
def hydra(monkeypatch):
    """Run a Hydra application in this process."""

    def hydra(function, *words: str) -> None:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", ["run.py", *words])
        composition.main(function)

    return hydra


@pytest.mark.parametrize(
    ("words", "places"),
    [
        (["output=out"], {"out/.hydra/*/config.yaml"}),
        (["output=out", "hydra.run.dir=there"], {"there/config.yaml"}),
        (["-m", SWEEP, "output=out"], {f"out/.hydra/*/{n}/config.yaml" for n in (0, 1)}),
        (["-m", SWEEP, "hydra.sweep.dir=there"], {f"there/{n}/config.yaml" for n in (0, 1)}),
        (
            ["-m", SWEEP, "hydra.sweep.dir=there", "hydra/launcher=basic"],
            {f"there/{n}/config.yaml" for n in (0, 1)},
        ),
    ],
)
def test_hydra_keeps_its_files_where_it_is_told(words: list[str], places: set[str], hydra):
    hydra(lambda composed: None, *words)
    found = files("**/config.yaml")
    assert len(found) == len(places)
    assert all(files(place) <= found and files(place) for place in places)


@pytest.mark.parametrize("words", [(), ("-m",), ("-m", "hydra/launcher=basic")], ids=" ".join)
def test_records_are_found_from_a_working_directory_of_hydras(
    words, hydra, tiny, finished: Path, runs_dir: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(task, "start", lambda *given: pytest.fail("a run was started"))
    (runs_dir / finished.name).symlink_to(finished)
    hydra(task.train_one, *words, *tiny, "hydra.job.chdir=true", "output=runs")
    assert "1 run, 1 finished before" in capsys.readouterr().out
    assert Path(os.getcwd()) == tmp_path


def test_slurm_under_another_launcher_is_refused(hydra):
    message = "error: trainer=slurm: hydra/launcher=basic .*; next step: "
    with pytest.raises(SystemExit, match=message):
        hydra(task.train_one, "-m", "trainer=slurm", "seed=0,1", "hydra/launcher=basic")
    assert not files("runs/[!.]*")


@pytest.mark.filterwarnings("ignore")
def test_what_a_search_has_found_is_shown(hydra, capsys):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=here")
    hydra(lambda composed: composed.recipe.lr, "-m", *search, "recipe.lr=choice(0.5,0.5)")
    out = capsys.readouterr().out
    assert "search  here/optimization_results.yaml" in out
    assert "best_value: 0.5" in out


@pytest.mark.parametrize("word", ["data.val_size=0", "fast_dev_run=true", "plan=true"])
@pytest.mark.filterwarnings("ignore")  # Optuna and its sweeper use deprecated functions
def test_a_search_without_a_validation_error_is_refused(word: str, hydra):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ("hydra/sweeper=optuna", "recipe.lr=interval(0.001,0.1)")
    with pytest.raises(SystemExit, match=r"hydra/sweeper=optuna: .*; next step: set data.val_size"):
        hydra(task.train_one, "-m", *search, word)
    assert not files("runs/[!.]*")


# The value that a search minimizes


def test_the_value_of_a_run_is_its_validation_error(record: Record):
    assert record.val is not None
    assert validation_error(record) == record.val.top1
    assert record.data.classes == 10
    assert validation_error(replace(record, status="diverged", val=None)) == pytest.approx(0.9)
    without = replace(record, val=None, data=replace(record.data, val_images=0))
    assert validation_error(without) is None
    assert validation_error(None) is None
