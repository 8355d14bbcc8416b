import json
from dataclasses import fields, replace
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
from ablations.techniques import Depth, Dropout, Edition, Evaluation, Norm, Techniques
from ablations.techniques.edition import details

STEP = Recipe(schedule=Schedule.step, milestones=(0.5,))
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
            milestones=(),
            patience=5,
            precision=Precision.fp32,
            stop_at=None,
        ),
        seed=0,
        replicate=0,
        pretrained=None,
    )
    assert run.differences == {}
    assert run.run_id == "10b02322f297"


def test_a_new_technique_at_its_first_value_leaves_the_id(tiny_run: Run, monkeypatch):
    other = with_technique(tiny_run, depth=Depth.no_conv3)
    ids = tiny_run.run_id, other.run_id
    monkeypatch.delitem(REFERENCE, "depth")  # a technique that earlier runs did not have
    assert (replace(tiny_run).run_id, replace(other).run_id) == ids


def test_every_value_of_a_run_has_a_reference():
    keys = {*Run().flat, "data.fingerprint"} - {"evaluation", "fingerprint"}
    unhashed = {f"data.{f.name}" for f in fields(DataConfig) if f.name not in SIZES}
    techniques = {entry.name for entry in fields(Techniques)}
    assert REFERENCE.keys() | techniques - {"evaluation"} == keys - unhashed
    for entry in fields(Techniques):  # without an entry, the first value is that of earlier runs
        assert entry.default is next(iter(type(entry.default)))


@pytest.mark.parametrize("edition", list(Edition))
def test_no_bias_rate_is_that_of_the_edition(edition: Edition, tiny_run: Run):
    run = with_technique(tiny_run, edition=edition)
    explicit = with_recipe(run, bias_lr_mult=details(edition).bias_lr_mult)
    assert with_recipe(run, bias_lr_mult=None).run_id == explicit.run_id
    assert with_recipe(run, bias_lr_mult=3.0).run_id != explicit.run_id


def test_another_version_of_the_numerics_is_another_run():
    assert run_id_of({"seed": 1}, 2) != run_id_of({"seed": 1}, 3)
    assert run_id_of({"seed": 1, "width": 0.5}) == run_id_of({"width": 0.5, "seed": 1})


@pytest.mark.parametrize(
    "technique", [field.name for field in fields(Techniques) if field.name != "evaluation"]
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
        {"recipe": {"epochs": 3}},
        {"recipe": {"batch_size": 8}},
        {"recipe": {"lr": 0.02}},
        {"recipe": {"momentum": 0.8}},
        {"recipe": {"weight_decay": 0.0}},
        {"recipe": {"bias_lr_mult": 2.0}},
        {"recipe": {"schedule": Schedule.cosine}},
        {"recipe": {"precision": Precision.bf16}},
        {"recipe": {"stop_at": 0.25}},
        {"data": {"size": 20}},
        {"data": {"crop": 11}},
        {"data": {"train_limit": 20}},
        {"data": {"val_size": 12}},
    ],
    ids=str,
)
def test_what_affects_results_changes_the_id(changes: dict[str, Any], tiny_run: Run):
    nested = {
        key: replace(getattr(tiny_run, key), **value) if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    assert replace(tiny_run, **nested).run_id != tiny_run.run_id


def test_name_place_and_form_of_the_data_leave_the_id(tiny_run: Run):
    # The fingerprint speaks for the pixels: the same images as files or as parquet are one run.
    moved = with_data(
        tiny_run,
        name="another name",
        source=Source.huggingface,
        path="/elsewhere",
        train=("a.parquet",),
        test=("b.parquet",),
        skip_broken=True,
    )
    assert moved.run_id == tiny_run.run_id


def test_evaluation_hardware_logging_and_folders_leave_the_id(tiny_config: Config):
    other = replace(
        tiny_config,
        evaluation=Evaluation.center,
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
        (STEP, "milestones", (0.6,), True),
        (PLATEAU, "milestones", (0.6,), False),
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
    assert again.differences == differences
    assert again.run_id == run.run_id
    for key in ("model", "width", "init", "seed", "replicate", "fingerprint", "pretrained"):
        assert getattr(again, key) == getattr(run, key)
    assert replace(again.techniques, evaluation=run.techniques.evaluation) == run.techniques
    assert again.recipe.schedule is run.recipe.schedule
    assert all(getattr(again.data, key) == getattr(run.data, key) for key in SIZES)


@pytest.mark.parametrize(
    "differences",
    [{"color": "gray"}, {"recipe.speed": 1}, {"seed": "one"}, {"norm": "l2"}],
    ids=str,
)
def test_differences_that_make_no_run_are_refused(differences: dict[str, Any]):
    with pytest.raises(ConfigError, match="not the configuration of a run: "):
        Run.from_differences(differences)


def test_a_run_survives_json(tiny_run: Run):
    awkward = with_technique(replace(tiny_run, recipe=STEP), dropout=Dropout.off)
    assert Run.from_dict(json.loads(json.dumps(awkward.to_dict()))) == awkward


@pytest.fixture
def folder(tmp_path: Path, tiny_job) -> Path:
    """The folder of a frozen run, named after it."""
    job = tiny_job(dropout=Dropout.off, logger=Logger(LoggerKind.none), seed=0)
    folder = tmp_path / job.run.run_id
    folder.mkdir()
    job.save(folder)
    return folder


def test_a_job_survives_its_file(folder: Path, tiny_job):
    assert Job.load(folder) == tiny_job(dropout=Dropout.off, logger=Logger(LoggerKind.none))
    # Words that YAML 1.1 takes for truth values and nothing are texts in the file.
    techniques = yaml.safe_load((folder / "config.yaml").read_text())["run"]["techniques"]
    assert techniques["dropout"] == "off"


def test_a_job_of_an_earlier_version_is_read(folder: Path, tiny_job):
    path = folder / "config.yaml"
    values = yaml.safe_load(path.read_text())
    values["run"]["data"]["root"] = None
    values["logger"]["tags"] = []
    for key in ("path", "subset", "image", "label"):  # keys that there were not
        del values["run"]["data"][key]
    path.write_text(yaml.safe_dump(values))
    assert Job.load(folder) == tiny_job(dropout=Dropout.off, logger=Logger(LoggerKind.none))


def values_of(content: bytes) -> bytes:
    """A frozen configuration without the checksum in its first line."""
    return content.partition(b"\n")[2]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: values_of(content).replace(b"seed: 0", b"seed: one"), r"run\.seed: "),
        (lambda content: values_of(content).replace(b"seed: 0", b"seed: 1"), "belongs to run "),
        (lambda content: content.replace(b"threads: 1", b"threads: 3"), "checksum"),
        (lambda content: content.replace(b"threads: 1", b"threads: \xff"), "checksum"),
        (lambda content: b"{a: [", "YAML"),
        (lambda content: b"a\0b: 1", "YAML"),
        (lambda content: b"a: \xff", "YAML"),
        (lambda content: b"[" * 100_000, "YAML"),
        (lambda content: b"!!python/object/apply:os.mkdir [hacked]", "YAML"),
        (lambda content: b"", "not the configuration of a run"),
    ],
)
def test_a_damaged_job_is_refused_in_one_line(damage, problem: str, folder: Path):
    path = folder / "config.yaml"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConfigError, match=rf"^{path}: [^\n]*{problem}[^\n]*next step: [^\n]*$"):
        Job.load(folder)


def test_a_job_is_replaced_in_one_step(folder: Path, tiny_job, monkeypatch):
    # A second command may write the file while the first one's process reads it.
    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny_job(seed=1).save(folder)
    assert Job.load(folder).run.seed == 0


def interrupted(*paths: object) -> None:
    raise KeyboardInterrupt


# Keys that do not go together; what one key may be is in test_composition.py


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(size=32, crop=40), "data.crop=40: must be between 8 and"),
        (lambda: DataConfig(source=Source.huggingface), r"needs data.path=.*data.train=\[FILE"),
        (
            lambda: DataConfig(source=Source.huggingface, train=("a.zip",)),
            "data.test: one is missing",
        ),
        (
            lambda: DataConfig(source=Source.huggingface, train=("a",), test=("b",)),
            "needs data.path",
        ),
        (
            lambda: DataConfig(source=Source.cifar10, train=("a.zip",)),
            "add data.source=huggingface",
        ),
        (lambda: DataConfig(path="owner/name"), "synthetic reads no files; next step: add data"),
        (
            lambda: Config(data=DataConfig(val_size=0), recipe=PLATEAU),
            "plateau: needs a validation error, but data.val_size=0",
        ),
        (
            lambda: Recipe(milestones=(0.5, 0.4)),
            r"=\[0\.5, 0\.4\]: must be increasing fractions between 0 and 1",
        ),
        (lambda: Recipe(milestones=(1.0,)), "must be increasing fractions between 0 and 1"),
        (lambda: Recipe(schedule=Schedule.step), "step: needs recipe.milestones"),
        (
            lambda: Trainer(num_nodes=2, parallel=2),
            "must be 1 with trainer.num_nodes=2",
        ),
        (
            lambda: Config(recipe=Recipe(epochs=9), trainer=Trainer(check_val_every_n_epoch=2)),
            r"check_val_every_n_epoch=2: must divide recipe\.epochs=9",
        ),
        (
            lambda: Config(recipe=PLATEAU, trainer=Trainer(check_val_every_n_epoch=2)),
            "plateau needs the validation error of every epoch",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_named(make: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        make()
