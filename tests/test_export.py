"""An exported network, in the hands of a user who does not have this package."""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hub_server import TOKEN, serve
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file

import ablations
from ablations import models
from ablations.config import ConfigError, Job, Model, Run
from ablations.data.store import Store
from ablations.export import export
from ablations.exporting.card import write_card
from ablations.exporting.plain import PlainNetwork, plain_network
from ablations.record import Record
from ablations.trained import TrainedNetwork

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def exported(finished: Path, tmp_path: Path) -> Path:
    export(finished, to=tmp_path / "exported")
    return tmp_path / "exported"


@pytest.fixture
def pixels(finished: Path) -> torch.Tensor:
    """Test images of the tiny run, shape (23, 16, 16, 3)."""
    return torch.tensor(Store(Path(Job.load(finished).store)).test_images[:])


@pytest.mark.slow
def test_the_files_are_enough_for_a_user_without_this_package(finished, exported, pixels):
    image = np.random.default_rng(0).integers(0, 256, (21, 40, 3), np.uint8)
    Image.fromarray(image).save(exported / "image.png")
    np.save(exported / "pixels.npy", pixels.permute(0, 3, 1, 2).numpy())
    code = """
import sys
sys.modules["ablations"] = None
sys.path.insert(0, "")
import runpy, numpy, torch
from model import load
numpy.save("logits.npy", load()(torch.tensor(numpy.load("pixels.npy"))).detach().numpy())
runpy.run_path("model.py", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "image.png"], cwd=exported, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    trained = ablations.load(finished)
    expected = trained(pixels).detach().numpy()
    np.testing.assert_allclose(np.load(exported / "logits.npy"), expected, rtol=1e-5, atol=1e-5)
    best = trained.top(trained.predict([exported / "image.png"], "center")[0])
    lines = [f"{100 * probability:7.1f} %  {name}" for name, probability in best]
    assert done.stdout.splitlines() == ["image.png", *lines]


def test_the_layers_have_torchvisions_names(exported):
    theirs = set(torchvision.models.alexnet(num_classes=10).state_dict())
    state = torch.load(exported / "model.pth", weights_only=True)
    assert set(state) == theirs | {"mean"}
    same = load_file(exported / "model.safetensors")
    assert all(torch.equal(same[name], state[name]) for name in state)


def test_the_card_and_the_configuration_say_what_the_network_is(exported, record):
    card = ModelCard.load(exported / "README.md")
    assert card.data.library_name == "pytorch"
    for text in (
        record.run_id,
        record.data.fingerprint,
        f"| test images, ten views | {100 * record.test['ten_view'].top1:.2f} % |",
        f"| training images, center view | {100 * record.train.top1:.2f} % |",
        "| `recipe.lr` | 0.01 |",
        "16 × 16 pixels",  # of the image
        "12 × 12 pixels",  # of the network's input
        "(N, 3, 16, 16)",
        f"torch {record.provenance['versions']['torch']}",
    ):
        assert text in card.content
    values = json.loads((exported / "config.json").read_text())
    assert (values["size"], values["crop"], len(values["classes"])) == (16, 12, 10)


@pytest.mark.parametrize(("classes", "shown"), [(5, False), (6, True)])
def test_the_card_has_a_top5_error_only_if_it_can_differ_from_zero(record, classes, shown):
    trained = fresh(
        replace(record, data=replace(record.data, classes=classes)), Model.cifar_conv, 24
    )
    card = ModelCard(write_card(trained, ["model.py"]))
    rows = [line for line in card.text.splitlines() if line.startswith(("| |", "| test images"))]
    assert len(rows) == 3
    assert ("top-5 error" in rows[0]) == shown
    assert {row.count("|") for row in rows} == {6 if shown else 5}


CHOICES = [
    {},
    {"edition": "released"},
    {"norm": "batchnorm", "pooling": "nonoverlap"},
    {"towers": "merged", "activation": "sigmoid", "dropout": "off"},
    {"depth": "six", "norm": "batchnorm"},
    {"depth": "no_conv3_conv4"},
]


def fresh(record: Record, model: Model, crop: int, **techniques: str) -> TrainedNetwork:
    """A network whose weights, statistics and mean are random."""
    values = {"techniques": techniques, "model": model.value, "width": 0.25}
    values["init"] = "paper" if models.MODELS[model].fixed else "fan_in"
    run = Run.from_dict(values | {"data": {"size": crop + 4, "crop": crop}})
    torch.manual_seed(0)
    network = models.build(run, 5)
    for name, value in network.state_dict().items():
        if name.startswith("norm") and value.is_floating_point():
            value.uniform_(0.5, 2)
    return TrainedNetwork(
        network, 255 * torch.rand(crop, crop, 3), list("abcde"), record, run
    ).eval()


def made_of(plain: PlainNetwork, folder: Path) -> torch.nn.Module:
    (folder / "model.py").write_text(plain.source)
    network = runpy.run_path(str(folder / "model.py"))["Network"]()
    network.load_state_dict(plain.state)
    return network.eval()


@pytest.mark.parametrize("techniques", CHOICES, ids=lambda given: "-".join(given.values()))
def test_every_technique_can_be_exported(record, tmp_path, techniques):
    check(fresh(record, Model.alexnet_small, 28, **techniques), tmp_path)


@pytest.mark.parametrize(
    ("model", "crop"),
    [(Model.alexnet, 67), (Model.cifar_conv, 24), (Model.torch_style, 224)],
)
def test_other_networks_of_torchs_layers_can_be_exported(record, tmp_path, model, crop):
    check(fresh(record, model, crop), tmp_path)


def check(trained: TrainedNetwork, folder: Path) -> None:
    """The exported network has the same logits, and the gradients to go on from."""
    side = trained.size
    pixels = torch.randint(256, (2, side, side, 3), dtype=torch.uint8)
    expected = trained(pixels).detach()
    assert expected.std() > 0.01
    network = made_of(plain_network(trained), folder)
    logits = network(pixels.permute(0, 3, 1, 2))
    bound = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(logits.detach(), expected, rtol=1e-5, atol=bound)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_network_of_other_layers_is_refused(record):
    trained = fresh(record, Model.cifar_local, 24)
    with pytest.raises(ConfigError, match=r"layer local3 of model=cifar_local .*; next step"):
        plain_network(trained)


@pytest.mark.slow
def test_onnx_gives_the_same_logits(finished, tmp_path, pixels):
    pytest.importorskip("onnxscript")
    reference = pytest.importorskip("onnx.reference")
    export(finished, to=tmp_path, onnx=True)
    session = reference.ReferenceEvaluator(str(tmp_path / "model.onnx"))
    given = pixels[:3].permute(0, 3, 1, 2).contiguous().numpy()  # not as many as were traced
    (logits,) = session.run(None, {"pixels": given})
    expected = ablations.load(finished)(pixels[:3]).detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_the_onnx_file_of_an_earlier_export_is_removed_and_files_of_others_stay(finished, tmp_path):
    (tmp_path / "to").mkdir()
    for name in ("model.onnx", "other.onnx"):
        (tmp_path / "to" / name).write_text("of another network")
    written = export(finished, to=tmp_path / "to")
    assert set((tmp_path / "to").iterdir()) == {*written, tmp_path / "to" / "other.onnx"}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[dict[str, str]]:
    with serve(tmp_path / "hub") as variables:
        yield variables


@pytest.mark.slow
def test_the_files_are_uploaded_to_a_model_of_the_hub(finished, tmp_path, hub, start):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "private.txt").touch()
    arguments = (str(finished), "--to", "to", "--to-hub", "me/alexnet")
    program = (str(REPOSITORY / "ablations" / "export.py"),)
    done = start(*arguments, program=program, **hub, HF_TOKEN=TOKEN).finish()
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"{hub['HF_ENDPOINT']}/me/alexnet"
    uploaded = {path.name: path.read_bytes() for path in (tmp_path / "hub/me/alexnet").iterdir()}
    exported = {path.name: path.read_bytes() for path in (tmp_path / "to").iterdir()}
    assert uploaded == {name: held for name, held in exported.items() if name != "private.txt"}


@pytest.mark.slow
def test_a_refused_upload_ends_in_one_line(finished, hub, start):
    arguments = (str(finished), "--to-hub", "me/alexnet")
    program = (str(REPOSITORY / "ablations" / "export.py"),)
    command = start(*arguments, program=program, **hub).finish()
    assert command.code == 1
    (line,) = command.err.splitlines()
    assert line.startswith("error: --to-hub me/alexnet: the upload failed (")
    assert "hf auth login" in line
