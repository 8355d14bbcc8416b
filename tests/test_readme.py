"""What the README says of the repository."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_every_file_that_the_readme_links_to_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_value_of_every_technique_is_in_the_table():
    from ablations.techniques import Techniques

    for name, field in Techniques.__dataclass_fields__.items():
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|", README, re.M)
        values = [member.value for member in type(field.default)]
        assert [value for value in values if f"`{value}`" not in row] == []
