import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from ablations import techniques

NAMES = sorted(field.name for field in fields(techniques.Techniques))


def test_every_technique_is_a_key_with_a_file():
    assert (
        sorted(path.stem for path in Path(str(techniques.__file__)).parent.glob("[!_]*.py"))
        == NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_technique_opens_with_its_card(name: str):
    card = import_module(f"ablations.techniques.{name}").__doc__ or ""
    found = re.findall(r"^(Claim|Source|Variants|Deviates):", card, re.MULTILINE)
    assert found == ["Claim", "Source", "Variants", "Deviates"]
