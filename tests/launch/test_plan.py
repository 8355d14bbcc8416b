import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from ablations.config import (
    Config,
    ConfigError,
    Logger,
    LoggerKind,
    Run,
    Trainer,
)
from ablations.data.store import prepare
from ablations.launch import plan as module
from ablations.launch.plan import Plan, Timing, make_plan
from ablations.record import Record
from ablations.techniques import Depth, Evaluation, Pooling
from ablations.words import duration


@pytest.fixture
def plan_of(cache: Path, runs_dir: Path, tiny_config: Config):
    """Plan configurations in an empty folder of runs."""
    base = tiny_config.run

    def plan_of(*configs: Config) -> Plan:
        pairs: list[tuple[Config, Run]] = []
        for config in configs:
            pairs.append((replace(config, output=str(runs_dir)), base))
        return make_plan(pairs, report=lambda line: None)

    return plan_of


def finish(plan: Plan, record: Record, number: int, **values) -> None:
    job = plan.jobs[number]
    folder = plan.output / job.run.run_id
    folder.mkdir()
    found = replace(
        record, run_id=job.run.run_id, differences=job.run.differences, seed=job.run.seed, **values
    )
    found.save(folder)


def time_of(plan: Plan) -> str:
    return Timing(plan.output).left(plan.left)


def test_a_run_asked_for_twice_is_planned_once(plan_of, tiny_config: Config):
    other = replace(tiny_config, seed=1)
    plan = plan_of(tiny_config, other, tiny_config, other)
    assert [job.run.seed for job in plan.jobs] == [0, 1]
    assert plan.left == plan.jobs
    # A run is trained once for both evaluations.
    plan = plan_of(tiny_config, replace(tiny_config, evaluation=Evaluation.center))
    assert (len(plan.jobs), len(plan.left)) == (2, 1)


def test_runs_that_compare_equal_but_have_two_ids_are_both_planned(
    plan_of, tiny_config: Config, monkeypatch
):
    # Builds no callback.
    monkeypatch.setitem(sys.modules, "ablations.training.callbacks", MagicMock())
    configs = [
        replace(tiny_config, callbacks={"mine": {"_target_": "package.Mine", "every": every}})
        for every in (1, 1.0, 1)
    ]
    plan = plan_of(*configs)
    assert [job.run.run_id for job in plan.left] == plan.run_ids[:2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"recipe": {"batch_size": 9}, "data": {"train_limit": 8}}, "=8 or less"),
        # 60 training and 23 test images
        ({"data": {"val_size": 2}, "trainer": {"devices": 3}}, "data.val_size=2: .* 3 devices"),
        (
            {"data": {"val_size": 25}, "trainer": {"devices": 24}},
            "23 test images: .* 24 devices",
        ),
        ({"recipe": {"batch_size": 2}, "trainer": {"devices": 3}}, "batch_size=2: .* 3 devices"),
        ({"data": {"val_size": 60}}, "data.val_size=60.* 60 training images"),
    ],
)
def test_too_few_images(given, message, plan_of, tiny_config: Config):
    parts = {key: replace(getattr(tiny_config, key), **values) for key, values in given.items()}
    with pytest.raises(ConfigError, match=message):
        plan_of(replace(tiny_config, **parts))


def test_finished_runs_are_left_out(plan_of, tiny_config: Config, record: Record):
    configs = [replace(tiny_config, seed=seed) for seed in range(3)]
    finish(plan_of(*configs), record, 1)
    plan = plan_of(*configs)
    assert [job.run.seed for job in plan.left] == [0, 2]
    assert list(plan.records) == [plan.jobs[1].run.run_id]


def test_a_fast_dev_run_counts_no_run_as_finished(plan_of, tiny_config: Config, record: Record):
    finish(plan_of(tiny_config), record, 0)
    assert len(plan_of(replace(tiny_config, fast_dev_run=True)).left) == 1


# Runs that start from others; `finished` is a run of the tiny configuration.


def test_a_job_knows_the_weights_that_it_starts_from(plan_of, runs_dir, tiny_config, finished):
    (runs_dir / finished.name).symlink_to(finished)
    (job,) = plan_of(replace(tiny_config, pretrained=finished.name)).left
    assert job.weights == str(finished / "last.ckpt")
    assert job.arm == f"pretrained={finished.name}"
    for given in (finished.name[:6], str(finished)):
        (same,) = plan_of(replace(tiny_config, pretrained=given)).left
        assert (same.run.run_id, same.weights) == (job.run.run_id, job.weights)
    assert plan_of(replace(tiny_config, seed=1)).left[0].weights == ""


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "no such run in .*runs; must be .*; next step"),
        (lambda folder: (folder / "record.json").unlink(), "this run has not finished; next step"),
        (lambda folder: (folder / "last.ckpt").unlink(), r"last\.ckpt is no longer in "),
        (lambda folder: (folder / "last.ckpt").write_text("?"), "not a complete checkpoint"),
    ],
)
def test_a_run_without_weights_is_no_start(
    spoil, message, plan_of, runs_dir, tiny_config, finished
):
    shutil.copytree(finished, runs_dir / finished.name)
    spoil(runs_dir / finished.name)
    with pytest.raises(ConfigError, match=message) as error:
        plan_of(replace(tiny_config, pretrained=finished.name))
    assert finished.name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_diverged_run_is_no_start(plan_of, tiny_config: Config, record: Record):
    finish(plan := plan_of(tiny_config), record, 0, status="diverged")
    with pytest.raises(ConfigError, match="this run has diverged"):
        plan_of(replace(tiny_config, pretrained=plan.jobs[0].run.run_id))


def test_weights_of_another_shape_are_refused(plan_of, runs_dir, tiny_config, finished):
    (runs_dir / finished.name).symlink_to(finished)
    start = replace(tiny_config, pretrained=finished.name)
    with pytest.raises(ConfigError, match=r": size mismatch for conv1\.weight"):
        plan_of(replace(start, width=0.2))
    with pytest.raises(ConfigError, match=r": Missing key.*conv6\.weight"):
        plan_of(replace(start, depth=Depth.six))
    assert not list(runs_dir.glob("*/config.yaml")) or len(list(runs_dir.iterdir())) == 1


def test_jobs_know_their_data_their_hardware_and_their_arm(plan_of, tiny_config: Config, cache):
    config = replace(tiny_config, pooling=Pooling.nonoverlap, trainer=Trainer(threads=2))
    (job,) = plan_of(config).jobs
    assert job.run.fingerprint
    assert Path(job.store).parent == cache
    assert (job.arm, job.label) == ("pooling=nonoverlap", "pooling=nonoverlap")
    assert job.trainer.threads == 2


def test_time_is_estimated_from_finished_runs_like_it(plan_of, tiny_config, record, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    configs = [replace(tiny_config, seed=seed) for seed in range(3)]
    assert time_of(plan_of(*configs)) == "time not known yet"
    finish(plan_of(*configs), record, 0, images_per_second=1.0)
    # 49 training and 11 validation images, 23 test images in ten views, two epochs; two runs in
    # parallel. An evaluation takes a third of the time of training.
    seconds = 49 * 2 + (11 * 3 + 49 + 23 * 10) / 3
    assert time_of(plan_of(*configs)) == f"about {duration(seconds)}"
    wider = replace(tiny_config, width=0.2)
    more = f"about {duration(seconds)}, and 1 run not yet timed"
    assert time_of(plan_of(wider, *configs)) == more


@pytest.mark.parametrize(
    ("change", "environment", "message"),
    [
        ({"width": 0.01}, {}, r"width=0\.01"),
        ({"trainer": Trainer(devices=8)}, {}, "trainer.devices=8: .* 1 GPU"),
        ({"logger": Logger(LoggerKind.tensorboard)}, {}, "logger=tensorboard: .* use logger=csv"),
        ({"logger": Logger(LoggerKind.wandb)}, {}, "logger=wandb: .* use logger=csv"),
        ({}, {"LOCAL_RANK": "0"}, "^LOCAL_RANK=0: .*unset LOCAL_RANK"),
        ({}, {"SLURM_STEP_NUM_TASKS": "2"}, "^SLURM_STEP_NUM_TASKS=2: .*leave srun out"),
    ],
)
def test_nothing_is_read_or_written_before_every_configuration_is_checked(
    change, environment, message, tiny_config: Config, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(module, "prepare", lambda *arguments: pytest.fail("data were prepared"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for name, value in {"CUDA_VISIBLE_DEVICES": "0", **environment}.items():
        monkeypatch.setenv(name, value)
    good = replace(tiny_config, output=str(tmp_path / "out"))
    bad = replace(good, **change)
    with pytest.raises(ConfigError, match=message) as error:
        make_plan([(good, good.run), (bad, bad.run)], report=print)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_data_of_one_class_are_refused(plan_of, tiny_config: Config, cache, monkeypatch):
    store = prepare(tiny_config.data, cache)
    store.classes = ("cat",)
    monkeypatch.setattr("ablations.launch.plan.prepare", lambda *given: store)
    with pytest.raises(ConfigError, match=r"^synthetic: .* class is cat; next step"):
        plan_of(tiny_config)
