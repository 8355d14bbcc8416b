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
)
from ablations.techniques import Dropout, Edition, Evaluation, Norm, Techniques
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
        model=Model.alexnet,
        width=1.0,
        init=Init.paper,
        techniques=Techniques(**{f.name: next(iter(type(f.default))) for f in fields(Techniques)}),
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


def test_every_value_of_a_run_has_a_reference():
    keys = {*Run().flat, "data.fingerprint"} - {"evaluation", "fingerprint"}
    unhashed = {f"data.{f.name}" for f in fields(DataConfig) if f.name not in SIZES}
    techniques = {entry.name for entry in fields(Techniques)}
    assert REFERENCE.keys() | techniques - {"evaluation"} == keys - unhashed
    for entry in fields(Techniques):  # the reference is the first value
        assert entry.default is next(iter(type(entry.default)))


@pytest.mark.parametrize("edition", list(Edition))
def test_no_bias_rate_is_that_of_the_edition(edition: Edition, tiny_run: Run):
    run = with_technique(tiny_run, edition=edition)
    explicit = with_recipe(run, bias_lr_mult=details(edition).bias_lr_mult)
    assert with_recipe(run, bias_lr_mult=None).run_id == explicit.run_id
    assert with_recipe(run, bias_lr_mult=3.0).run_id != explicit.run_id


def test_what_affects_results_changes_the_id(tiny_run: Run):
    others = [
        replace(tiny_run, init=Init.paper),
        replace(tiny_run, replicate=1),
        replace(tiny_run, fingerprint="other pixels"),
        replace(tiny_run, pretrained="0123456789ab"),
        with_recipe(tiny_run, stop_at=0.25),
        with_data(tiny_run, crop=11),
    ]
    assert len({run.run_id for run in [tiny_run, *others]}) == 7


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


@pytest.mark.parametrize(("recipe", "matters"), [(STEP, True), (PLATEAU, False)])
def test_milestones_count_only_where_the_schedule_reads_them(
    recipe: Recipe, matters: bool, tiny_run: Run
):
    one = replace(tiny_run, recipe=recipe)
    assert (one.run_id != with_recipe(one, milestones=(0.6,)).run_id) is matters
    assert (one.run_id == with_recipe(one, patience=3).run_id) is matters


# There and back


@pytest.mark.parametrize(
    "changes",
    [
        {"model": Model.cifar_conv, "seed": 3, "fingerprint": "f00d", "pretrained": "0123456789ab"},
        {"recipe": replace(STEP, bias_lr_mult=2.0, precision=Precision.bf16, stop_at=0.25)},
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
    assert (again.model, again.seed, again.pretrained) == (run.model, run.seed, run.pretrained)
    assert replace(again.techniques, evaluation=run.techniques.evaluation) == run.techniques


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


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: content.replace(b"threads: 1", b"threads: 3"), "checksum"),
        (lambda content: content.partition(b"\n")[2].replace(b"seed: 0", b"seed: x"), "run.seed"),
        (lambda content: content.partition(b"\n")[2].replace(b"seed: 0", b"seed: 1"), "belongs to"),
        (lambda content: b"{a: [", "flow node"),
        (lambda content: b"[" * 100_000, "recursion"),
        (lambda content: b"!!python/object/apply:os.mkdir [hacked]", "constructor"),
    ],
)
def test_a_damaged_job_is_refused_in_one_line(damage, problem: str, folder: Path):
    path = folder / "config.yaml"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConfigError, match=rf"^{path}: [^\n]*({problem})[^\n]*next step: [^\n]*$"):
        Job.load(folder)
