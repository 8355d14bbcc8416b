import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from ablations import techniques

REFERENCE = Path(__file__).parents[2] / "docs/api/techniques.md"
NAMES = sorted(field.name for field in fields(techniques.Techniques))


def test_every_technique_is_a_key_with_a_file():
    assert (
        sorted(path.stem for path in Path(str(techniques.__file__)).parent.glob("[!_]*.py"))
        == NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_technique_has_its_test_and_its_reference(name: str):
    assert (Path(__file__).parent / f"test_{name}.py").is_file()
    assert f"::: ablations.techniques.{name}\n" in REFERENCE.read_text() + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_technique_opens_with_its_card(name: str):
    card = import_module(f"ablations.techniques.{name}").__doc__ or ""
    found = re.findall(r"^(Claim|Source|Variants|Deviates):", card, re.MULTILINE)
    assert found == ["Claim", "Source", "Variants", "Deviates"]
