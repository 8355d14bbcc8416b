"""Every file in conf/ composes, and every experiment whose data are at hand goes through once."""

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from ablations import models
from ablations.composition import compose, experiment_names, shipped
from ablations.config import Config, ConfigError, Model
from ablations.techniques import Depth, Edition

CONF = shipped("conf")
EXPERIMENTS = experiment_names()
HARDWARE = ("trainer", "logger")
# What an experiment changes in the printed network.
NOT_PRINTED = {
    "imagenet_released": {"edition": Edition.released},
    "imagenet_fall2009": {"depth": Depth.six},
    "imagenet_fall2011": {"depth": Depth.six},
    "imagenet_pretrained": {"depth": Depth.six},
}
FIXED = [model for model, spec in models.MODELS.items() if spec.fixed]
PARQUET = ["data.train=[a.parquet]", "data.test=[b.parquet]"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_composes_and_fits_its_network(experiment: str):
    config = compose([f"experiment={experiment}"])
    assert config.experiment == experiment
    models.check(config.run)
    changed = {
        key: value
        for key, value in asdict(config.run.techniques).items()
        if value is not getattr(Config(), key)
    }
    assert changed == NOT_PRINTED.get(experiment, {})


@pytest.mark.parametrize("network", FIXED, ids=lambda network: network.value)
def test_a_network_that_its_source_fixes_has_an_experiment(network: Model):
    config = compose([f"experiment={network.value}"])
    assert config.model is network
    for source in (["data.source=synthetic"], ["data.source=huggingface", *PARQUET]):
        models.check(compose([f"experiment={network.value}", *source]).run)
    with pytest.raises(ConfigError, match=f"next step: use experiment={network.value},"):
        models.check(compose(["experiment=smoke", f"model={network.value}"]).run)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_chooses_no_hardware(experiment: str):
    values = yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text())
    assert not values.keys() & {"trainer", "logger", "seed", "output", "cache"}


@pytest.mark.parametrize(
    "choice",
    [f"{group}={path.stem}" for group in HARDWARE for path in (CONF / group).glob("*.yaml")],
)
def test_hardware_and_loggers_affect_no_result(choice: str):
    assert compose([choice]).run == compose([]).run


@pytest.mark.slow
def test_a_fast_dev_run_of_the_built_in_experiment(start):
    data = {"ABLATIONS_CACHE": str(Path("cache").resolve())}  # all images of the experiment
    command = start("experiment=smoke", "fast_dev_run=true", "trainer=cpu", **data).finish()
    assert command.code == 0, command.out + command.err
    assert not list(Path("runs").rglob("record.json"))
    assert not command.left_over(5)


@pytest.mark.slow
def test_a_fast_dev_run_of_the_tutorials_networks(start):
    write_images("train.parquet", 48)
    write_images("test.parquet", 16)
    tutorials = [network.value for network in FIXED if network is not Model.lenet5]
    command = start(
        "-m",
        f"experiment={','.join(tutorials)}",
        "data.source=huggingface",
        "data.train=[train.parquet]",
        "data.test=[test.parquet]",
        "data.val_size=16",
        "recipe.batch_size=8",
        "width=0.25",
        "fast_dev_run=true",
        "trainer=cpu",
    ).finish(240)
    assert command.code == 0, command.out + command.err
    assert "ran one batch of each split" in command.out


def write_images(path: str, count: int) -> None:
    """Random images of ten classes."""
    rng = np.random.default_rng(0)
    images = []
    for pixels in rng.integers(0, 256, (count, 32, 32, 3), np.uint8):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        images.append({"bytes": file.getvalue(), "path": None})
    labels = [number % 10 for number in range(count)]
    pq.write_table(pa.table({"image": images, "label": labels}), path)
