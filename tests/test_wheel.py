"""The wheel: every command works from it alone, in an empty folder."""

import subprocess
import sys
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from commands import records
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, inside a clone of something else."""
    place = tmp_path_factory.mktemp("clone")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(place / "packages")
    git = ("git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-C", str(place))
    subprocess.run((*git, "init", "-q"), check=True)
    subprocess.run((*git, "commit", "-q", "--allow-empty", "-m", "other"), check=True)
    return place / "packages"


@pytest.mark.slow
def test_every_command_works_from_the_wheel_alone(installed: Path, start, tiny, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(installed), prepend=":")  # before the clone's own package

    def python(*words: str) -> str:
        done = start(program=words).finish()
        assert done.code == 0, done.out + done.err
        return done.out

    def ablations(*words: str) -> str:
        return python("-m", "ablations", *words)

    assert "ablations run -m pooling" in ablations("run", "--help")
    ablations("run", "-m", *tiny, "pooling=overlap,nonoverlap")
    assert len(list(Path("runs").glob("*/record.json"))) == 2
    record = records()[0]
    ablations("report", "--no-pictures")
    assert Path("runs/report.html").exists()
    Image.new("RGB", (16, 16)).save("image.png")
    assert "%" in ablations("predict", record.run_id, "image.png")
    ablations("export", record.run_id)
    assert Path("exported", record.run_id, "README.md").exists()
    assert "demo  Example on the built-in images" in ablations("reproduce")

    # The clone around it is another project's.
    rules = (
        "from ablations.claims import results; print(results.__file__, results.commit_of_rules())"
    )
    assert python("-c", rules).split() == [f"{installed}/ablations/claims/results.py", "None"]
    assert record.provenance["commit"] is None

    # `uvx WHEEL` starts the script that has the name of the package.
    (folder,) = installed.glob("*.dist-info")
    scripts = Distribution.at(folder).entry_points
    assert {entry.name for entry in scripts} == {"ablations", "alexnet-ablations"}
