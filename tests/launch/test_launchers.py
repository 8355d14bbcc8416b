"""The same runs, folders and errors whichever of Hydra's launchers calls the task."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ablations import composition
from ablations.launch import task
from ablations.launch.task import validation_error
from ablations.record import Record, load
from ablations.techniques import Pooling

SWEEP = "pooling=overlap,nonoverlap"


@pytest.fixture(params=["local", "basic", "joblib", "submitit_local"])
def launcher(request) -> str:
    name = request.param
    if name not in {"local", "basic"}:
        pytest.importorskip(f"hydra_plugins.hydra_{name.partition('_')[0]}_launcher")
    return f"hydra/launcher={name}"


def files(pattern: str) -> set[str]:
    return {str(path) for path in Path().glob(pattern)}


def records(output: str) -> dict[str, Record]:
    found = [load(path.parent) for path in Path(output).glob("*/record.json")]
    return {record.run_id: record for record in found if record}


def numbers(record: Record) -> tuple:
    curve = [replace(point, seconds=0) for point in record.curve]
    return curve, record.online_loss, record.train, record.val, record.test


# Trainings


@pytest.mark.slow
def test_every_launcher_gives_the_same_records_once(
    launcher: str, start, tiny, record: Record, tiny_job, train_here
):
    other = load(train_here(tiny_job(pooling=Pooling.nonoverlap)))
    assert other is not None
    first = start("-m", *tiny, SWEEP, "output=swept", launcher).finish()
    assert (first.code, first.err) == (0, ""), first.out + first.err
    found = records("swept")
    assert found.keys() == {record.run_id, other.run_id}
    for expected in (record, other):
        assert numbers(found[expected.run_id]) == numbers(expected)
    assert len(files("swept/.hydra/*/[01]/config.yaml")) == 2
    # Another one, in working directories of Hydra's, finds them.
    another = "basic" if launcher == "hydra/launcher=local" else "local"
    words = (f"hydra/launcher={another}", "hydra.job.chdir=true", "hydra.sweep.dir=there")
    again = start("-m", *tiny, SWEEP, "output=swept", *words).finish()
    assert again.code == 0, again.out + again.err
    assert records("swept") == found  # which say when they were made
    assert len(files("there/[01]/config.yaml")) == 2
    assert not first.left_over(5)


@pytest.mark.slow
def test_a_failing_run_is_told_and_the_next_one_runs(launcher: str, start, tiny):
    Path("breaks").mkdir()
    Path("breaks/sitecustomize.py").write_text(
        "import sys\n"
        "if 'forkserver' in ' '.join(sys.orig_argv):\n"
        "    import ablations.training.fit as t\n"
        "    train = t.train\n"
        "    def broken(job, *rest):\n"
        "        if job.run.seed == 0:\n"
        "            raise ArithmeticError('injected')\n"
        "        train(job, *rest)\n"
        "    t.train = broken\n"
    )
    where = str(Path("breaks").resolve())
    done = start("-m", *tiny, "seed=0,1", launcher, PYTHONPATH=where).finish()
    assert done.code == 1
    assert "runs failed; the same command repeats them" in done.err
    assert done.err.count("\n") == 1
    if "submitit" not in launcher:  # whose jobs write into files
        assert "ArithmeticError: injected" in done.out
    assert [record.seed for record in records("runs").values()] == [1]


@pytest.mark.slow
def test_optuna_minimizes_the_validation_error(start, tiny):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweep.dir=search")
    done = start("-m", *tiny, "recipe.lr=interval(0.001,0.05)", *words).finish()
    assert done.code == 0, done.out + done.err
    found = {record.run.recipe.lr: record for record in records("runs").values()}
    assert len(found) == 3
    best = yaml.safe_load(Path("search/optimization_results.yaml").read_text())
    record = found[best["best_params"]["recipe.lr"]]
    assert best["best_value"] == record.val.top1 == min(r.val.top1 for r in found.values())
    assert best["best_value"] not in [scores.top1 for scores in record.test.values()]


# No trainings


@pytest.fixture
def hydra(monkeypatch):
    """Runs a Hydra application in this process."""

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
def test_a_working_directory_of_hydras_moves_nothing(words, hydra, monkeypatch, tmp_path: Path):
    planned = []

    def plan(configs, report):
        planned.append(Path(configs[0][0].output).resolve())
        sys.exit(0)

    monkeypatch.setattr(task, "make_plan", plan)
    with pytest.raises(SystemExit):
        hydra(task.train_one, *words, "hydra.job.chdir=true", "output=out")
    assert planned == [tmp_path / "out"]
    assert Path(os.getcwd()) == tmp_path


def test_slurm_under_another_launcher_is_refused(launcher: str, start):
    if launcher.endswith("=local"):
        pytest.skip("which submits the jobs")
    done = start("-m", "trainer=slurm", "seed=0,1", launcher).finish()
    assert done.code == 1
    assert done.err.startswith("error: trainer=slurm submits the jobs itself")
    assert done.err.count("\n") == 1
    assert not files("runs/[!.]*")


@pytest.mark.parametrize("word", ["data.val_size=0", "fast_dev_run=true"])
def test_a_search_without_a_validation_error_is_refused(word: str, start):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ("hydra/sweeper=optuna", "recipe.lr=interval(0.001,0.1)")
    done = start("-m", *search, word).finish()
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("error: hydra/sweeper=optuna searches by")
    assert not files("runs/[!.]*")


HOLD = """
import time
from pathlib import Path
from ablations import composition
from ablations.launch.devices import Devices

def hold(composed):
    devices = Devices(composition.to_config(composed).trainer)
    while (slot := devices.take()) is None:
        time.sleep(0.01)
    (gpu,) = slot.gpus
    Path(f"held{gpu}").touch(exist_ok=False)
    deadline = time.monotonic() + 60
    while len({path.name[4] for path in Path().glob("????[01]*")}) < 2:  # until both are in use
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)
    Path(f"held{gpu}").rename(f"used{gpu}-{composed.seed}")
    devices.give_back(slot)

composition.main(hold)
"""


def test_jobs_of_joblib_share_the_gpus(start):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    Path("hold.py").write_text(HOLD)
    words = ("-m", "seed=range(6)", "hydra/launcher=joblib", "hydra.launcher.n_jobs=4")
    done = start(*words, program=("hold.py",), CUDA_VISIBLE_DEVICES="0,1").finish()
    assert (done.code, done.err) == (0, "")
    used = sorted(name.removeprefix("used").split("-") for name in files("used*"))
    assert sorted(seed for _, seed in used) == list("012345")


# What a search is told


def test_the_value_of_a_run_is_its_validation_error(record: Record):
    assert record.val is not None
    assert validation_error(record) == record.val.top1
    assert record.data.classes == 10
    assert validation_error(replace(record, status="diverged", val=None)) == pytest.approx(0.9)
    without = replace(record, val=None, data=replace(record.data, val_images=0))
    assert validation_error(without) is None
    assert validation_error(None) is None
