"""The README's table is the one that the records give."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_verdict_table_is_that_of_the_committed_results():
    block = README.partition("<!-- verdicts -->")[2].partition("<!-- /verdicts -->")[0]
    rows = [line for line in block.splitlines() if line.startswith("|")]
    results = (ROOT / "results/cifar10_small/RESULTS.md").read_text()
    assert len(rows) > 3
    assert "\n".join(rows) in results


def test_every_file_that_the_readme_links_to_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
