import json
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablations.config import (
    REFERENCE,
    SIZES,
    Accelerator,
    Config,
    ConfigError,
    DataConfig,
    Init,
    Job,
    Logger,
    LoggerKind,
    Model,
    Precision,
    Recipe,
    Run,
    Schedule,
    Source,
    Trainer,
    run_id_of,
)
from ablations.techniques import Dropout, Edition, Evaluation, Norm, Pooling, Techniques
from ablations.techniques.edition import details

STEP = Recipe(schedule=Schedule.step, milestones=[0.5])
PLATEAU = Recipe(schedule=Schedule.plateau)


def with_technique(run: Run, **choice: Enum) -> Run:
    return replace(run, techniques=replace(run.techniques, **choice))


def with_recipe(run: Run, **values: Any) -> Run:
    return replace(run, recipe=replace(run.recipe, **values))


def with_data(run: Run, **values: Any) -> Run:
    return replace(run, data=replace(run.data, **values))


# Identity


def test_the_id_of_a_run_does_not_change_by_accident():
    # Records on users' disks are found by this hash. Where the results of a configuration change,
    # raise NUMERICS; a new key gets the value that all earlier runs had in REFERENCE.
    run = Config(model=Model.alexnet, seed=3, recipe=STEP).run
    assert replace(run, fingerprint="f00d").run_id == "2a5cbc7aa421"


def test_the_id_depends_on_the_values_alone_and_on_no_default():
    # Every value is given: a default that changes, in code or in a file, changes no id.
    run = Run(
        techniques=Techniques(**{f.name: next(iter(type(f.default))) for f in fields(Techniques)}),
        model=Model.alexnet,
        width=1.0,
        init=Init.paper,
        data=DataConfig(size=256, crop=224, train_limit=None, val_size=10000),
        recipe=Recipe(
            epochs=90,
            batch_size=128,
            lr=0.01,
            momentum=0.9,
            weight_decay=0.0005,
            bias_lr_mult=1.0,
            schedule=Schedule.plateau,
            milestones=[],
            patience=5,
            precision=Precision.fp32,
            stop_at=None,
        ),
        seed=0,
        replicate=0,
    )
    assert run.differences == {}
    assert run.run_id == "10b02322f297"


class Color(Enum):
    rgb = "rgb"
    gray = "gray"


@dataclass(frozen=True)
class MoreTechniques(Techniques):
    """The techniques of a later version."""

    color: Color = Color.rgb


def test_a_new_technique_at_its_first_value_leaves_the_id(tiny_run: Run):
    earlier = with_technique(tiny_run, pooling=Pooling.nonoverlap)
    values = {f.name: getattr(earlier.techniques, f.name) for f in fields(Techniques)}
    same = replace(earlier, techniques=MoreTechniques(**values))
    other = replace(earlier, techniques=MoreTechniques(**values, color=Color.gray))
    assert same.run_id == earlier.run_id
    assert other.run_id != earlier.run_id
    assert other.differences == {**earlier.differences, "color": "gray"}


@pytest.mark.parametrize("edition", list(Edition))
def test_no_bias_rate_is_that_of_the_edition(edition: Edition, tiny_run: Run):
    run = with_technique(tiny_run, edition=edition)
    explicit = with_recipe(run, bias_lr_mult=details(edition).bias_lr_mult)
    assert with_recipe(run, bias_lr_mult=None).run_id == explicit.run_id
    assert with_recipe(run, bias_lr_mult=3.0).run_id != explicit.run_id


def test_every_value_of_a_run_has_a_reference():
    run = {f.name for f in fields(Run)} - {"techniques", "data", "recipe", "fingerprint"}
    expected = {f"recipe.{f.name}" for f in fields(Recipe)} | {f"data.{key}" for key in SIZES}
    assert expected | run | {"data.fingerprint"} <= REFERENCE.keys()


def test_every_technique_but_the_evaluation_has_a_reference_or_a_first_value():
    # Without an entry the first value of a technique is that of all earlier runs.
    for entry in fields(Techniques):
        if entry.name != "evaluation":
            assert entry.default.value == REFERENCE.get(entry.name, entry.default.value)
            assert entry.default is next(iter(type(entry.default)))


def test_another_version_of_the_numerics_is_another_run():
    assert run_id_of({"seed": 1}, 2) != run_id_of({"seed": 1}, 3)
    assert run_id_of({"seed": 1, "width": 0.5}) == run_id_of({"width": 0.5, "seed": 1})


@pytest.mark.parametrize(
    "technique",
    [field.name for field in fields(Techniques) if field.name != "evaluation"],
)
def test_every_variant_of_a_technique_is_a_run_of_its_own(technique: str, tiny_run: Run):
    variants = list(type(getattr(tiny_run.techniques, technique)))
    ids = {with_technique(tiny_run, **{technique: variant}).run_id for variant in variants}
    assert len(ids) == len(variants)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": Model.cifar_conv},
        {"width": 0.2},
        {"init": Init.paper},
        {"seed": 1},
        {"replicate": 1},
        {"fingerprint": "other pixels"},
        {"pretrained": "0123456789ab"},
    ],
    ids=str,
)
def test_what_moves_a_number_moves_the_id(changes: dict[str, Any], tiny_run: Run):
    assert replace(tiny_run, **changes).run_id != tiny_run.run_id


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 3},
        {"batch_size": 8},
        {"lr": 0.02},
        {"momentum": 0.8},
        {"weight_decay": 0.0},
        {"bias_lr_mult": 2.0},
        {"schedule": Schedule.cosine},
        {"precision": Precision.bf16},
        {"stop_at": 0.25},
    ],
    ids=str,
)
def test_every_number_of_the_recipe_moves_the_id(changes: dict[str, Any], tiny_run: Run):
    assert with_recipe(tiny_run, **changes).run_id != tiny_run.run_id


@pytest.mark.parametrize(
    "changes",
    [{"size": 20}, {"crop": 11}, {"train_limit": 20}, {"val_size": 12}, {"val_size": 0}],
    ids=str,
)
def test_sizes_and_splits_of_the_data_move_the_id(changes: dict[str, Any], tiny_run: Run):
    assert with_data(tiny_run, **changes).run_id != tiny_run.run_id


def test_name_place_and_form_of_the_data_leave_the_id(tiny_run: Run):
    # The fingerprint speaks for the pixels: the same images as files or as parquet are one run.
    moved = with_data(
        tiny_run,
        name="another name",
        source=Source.huggingface,
        path="/elsewhere",
        train=["a.parquet"],
        test=["b.parquet"],
        skip_broken=True,
    )
    assert moved.run_id == tiny_run.run_id


def test_evaluation_leaves_the_id(tiny_run: Run):
    assert with_technique(tiny_run, evaluation=Evaluation.center).run_id == tiny_run.run_id


def test_hardware_logging_and_folders_leave_the_id(tiny_config: Config):
    other = replace(
        tiny_config,
        trainer=Trainer(Accelerator.gpu, devices=8, num_nodes=2, threads=4, checkpoint_steps=10),
        logger=Logger(LoggerKind.csv, "project", "team"),
        output="elsewhere",
        cache="elsewhere",
        experiment="another",
        fast_dev_run=True,
    )
    assert other.run.run_id == tiny_config.run.run_id


@pytest.mark.parametrize(
    ("recipe", "key", "value", "matters"),
    [
        (STEP, "milestones", [0.6], True),
        (PLATEAU, "milestones", [0.6], False),
        (PLATEAU, "patience", 3, True),
        (STEP, "patience", 3, False),
    ],
)
def test_milestones_and_patience_count_only_where_the_schedule_reads_them(
    recipe: Recipe, key: str, value: Any, matters: bool, tiny_run: Run
):
    one = replace(tiny_run, recipe=recipe)
    other = with_recipe(one, **{key: value})
    assert (one.run_id != other.run_id) is matters


def test_seed_0_is_a_seed():
    run = Config(seed=0).run
    assert run.to_dict()["seed"] == 0
    assert run.run_id != replace(run, seed=1).run_id


# There and back


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": Model.cifar_conv, "width": 0.5, "init": Init.fan_in},
        {"seed": 3, "replicate": 1, "fingerprint": "f00d", "pretrained": "0123456789ab"},
        {"recipe": replace(STEP, bias_lr_mult=2.0, precision=Precision.bf16, stop_at=0.25)},
        {"recipe": replace(PLATEAU, patience=3)},
        {"data": DataConfig(size=64, crop=56, train_limit=100, val_size=0)},
        {"techniques": Techniques(norm=Norm.none, dropout=Dropout.off, edition=Edition.released)},
    ],
    ids=str,
)
def test_differences_make_the_same_run(changes: dict[str, Any], tiny_run: Run):
    run = replace(tiny_run, **changes)
    differences = json.loads(json.dumps(run.differences))
    again = Run.from_differences(differences)
    assert again.run_id == run.run_id
    assert again.differences == differences
    for key in ("model", "width", "init", "seed", "replicate", "fingerprint", "pretrained"):
        assert getattr(again, key) == getattr(run, key)
    assert replace(again.techniques, evaluation=run.techniques.evaluation) == run.techniques
    assert again.recipe.schedule is run.recipe.schedule
    assert {key: getattr(again.data, key) for key in SIZES} == {
        key: getattr(run.data, key) for key in SIZES
    }


@pytest.mark.parametrize(
    "differences",
    [{"color": "gray"}, {"recipe.speed": 1}, {"seed": "one"}, {"norm": "l2"}],
    ids=str,
)
def test_differences_that_make_no_run_are_refused(differences: dict[str, Any]):
    with pytest.raises(ConfigError, match="not the configuration of a run"):
        Run.from_differences(differences)


def test_a_run_survives_json(tiny_run: Run):
    awkward = with_technique(replace(tiny_run, recipe=STEP), dropout=Dropout.off)
    assert Run.from_dict(json.loads(json.dumps(awkward.to_dict()))) == awkward


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("seed"),
        lambda values: values.update(seeds=1),
        lambda values: values["techniques"].update(pool="overlap"),
        lambda values: values["techniques"].update(pooling="overlaps"),
        lambda values: values.update(width="wide"),
    ],
    ids=["missing", "unknown", "unknown inside", "value", "type"],
)
def test_what_is_no_run_is_refused(spoil: Any, tiny_run: Run):
    values = tiny_run.to_dict()
    spoil(values)
    with pytest.raises(ConfigError, match="not the configuration of a run"):
        Run.from_dict(values)


def test_a_job_survives_its_file(tmp_path: Path, tiny_job):
    job = tiny_job(dropout=Dropout.off, logger=Logger(LoggerKind.none), seed=0)
    job.save(tmp_path)
    assert Job.load(tmp_path) == job
    # Words that YAML 1.1 takes for truth values and nothing are texts in the file.
    techniques = yaml.safe_load((tmp_path / "config.yaml").read_text())["run"]["techniques"]
    assert techniques["dropout"] == "off"


def test_a_job_is_replaced_in_one_step(tmp_path: Path, tiny_job, monkeypatch):
    # A second command may write the file while the first one's process reads it.
    tiny_job().save(tmp_path)
    monkeypatch.setattr(Path, "write_text", None)
    tiny_job(seed=1).save(tmp_path)
    assert Job.load(tmp_path).run.seed == 1


# Messages


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(size=4), "data.size=4: must be at least 8"),
        (lambda: DataConfig(size=32, crop=40), "data.crop=40: must be between 8 and"),
        (lambda: DataConfig(crop=7), "data.crop=7: must be between 8 and data.size=32"),
        (lambda: DataConfig(train_limit=0), "data.train_limit=0: must be at least 1, or null"),
        (lambda: DataConfig(val_size=-1), "data.val_size=-1: must be 0 or more images"),
        (lambda: DataConfig(source=Source.huggingface), r"needs data.path=.*data.train=\[FILE"),
        (lambda: DataConfig(source=Source.huggingface, train=["a.zip"]), "go together"),
        (lambda: DataConfig(source=Source.huggingface, train=["a"], test=["b"]), "needs data.path"),
        (lambda: DataConfig(source=Source.cifar10, train=["a.zip"]), "add data.source=huggingface"),
        (lambda: DataConfig(path="owner/name"), "synthetic reads no files; add data.source=hugg"),
        (lambda: Recipe(epochs=0), "recipe.epochs=0: must be at least 1"),
        (lambda: Recipe(batch_size=0), "recipe.batch_size=0: must be at least 1"),
        (lambda: Recipe(patience=0), "recipe.patience=0: must be at least 1"),
        (lambda: Recipe(lr=0.0), "recipe.lr=0.0: must be above 0"),
        (lambda: Recipe(lr=float("nan")), "recipe.lr=nan: must be"),
        (lambda: Recipe(lr=float("inf")), "recipe.lr=inf: must be"),
        (lambda: Recipe(momentum=1.0), "recipe.momentum=1.0: must be at least 0, below 1"),
        (lambda: Recipe(weight_decay=-1.0), "recipe.weight_decay=-1.0: must be at least 0"),
        (lambda: Recipe(bias_lr_mult=-1.0), "recipe.bias_lr_mult=-1.0: .* null .the edition's."),
        (lambda: Recipe(stop_at=0.0), "recipe.stop_at=0.0: must be an error between 0 and 1"),
        (lambda: Recipe(stop_at=1.0), "recipe.stop_at=1.0: must be an error between 0 and 1"),
        (
            lambda: Config(data=DataConfig(val_size=0), recipe=PLATEAU).run,
            "plateau follows the validation error, and data.val_size=0",
        ),
        (lambda: Recipe(milestones=[0.5, 0.4]), "must be rising fractions between 0 and 1"),
        (lambda: Recipe(milestones=[1.0]), "must be rising fractions between 0 and 1"),
        (lambda: Recipe(schedule=Schedule.step), "step needs recipe.milestones"),
        (lambda: Trainer(devices=0), "trainer.devices=0: must be at least 1"),
        (lambda: Trainer(num_nodes=0), "trainer.num_nodes=0: must be at least 1"),
        (
            lambda: Trainer(num_nodes=2, parallel=2),
            "with trainer.num_nodes=2 one run follows another",
        ),
        (lambda: Trainer(parallel=0), "trainer.parallel=0: must be at least 1"),
        (lambda: Trainer(threads=0), "trainer.threads=0: must be at least 1"),
        (lambda: Trainer(checkpoint_steps=0), "trainer.checkpoint_steps=0: must be at least 1"),
        (lambda: Config(seed=-1).run, "seed=-1: must be a whole number, 0 or more"),
        (lambda: Config(replicate=-1).run, "replicate=-1: must be a whole number, 0 or more"),
        (lambda: Config(pretrained="../other").run, r"pretrained=\.\./other: must be the id"),
        (lambda: Config(pretrained="inf").run, "such as 1234e5678901, needs two pairs of quotes"),
        (lambda: Config(width=0.0).run, "width=0.0: must be above 0, at most 4"),
        (lambda: Config(width=5.0).run, "width=5.0: must be above 0, at most 4"),
    ],
)
def test_an_experiment_that_cannot_work_is_named(make: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_values_of_a_run_are_the_callers_to_change(tiny_run: Run):
    values, run_id = tiny_run.to_dict(), tiny_run.run_id
    values["recipe"]["milestones"].append(0.5)
    del values["data"]
    assert "data" in tiny_run.to_dict()
    assert tiny_run.to_dict()["recipe"]["milestones"] == tiny_run.recipe.milestones
    assert replace(tiny_run, seed=tiny_run.seed + 1).run_id != run_id
