"""Studies with constructed records, without training."""

from pathlib import Path

import pytest
from laboratory import Laboratory

from ablations.claims import runs as claim_runs


@pytest.fixture
def laboratory(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Laboratory:
    """A folder with one claim and one study, and a launcher that writes constructed records."""
    monkeypatch.setenv("COLUMNS", "200")
    # A cache folder with its own ledger and links to the prepared images.
    own = tmp_path / "cache"
    own.mkdir()
    for entry in cache.iterdir():
        (own / entry.name).symlink_to(entry)
    monkeypatch.setenv("ABLATIONS_CACHE", str(own))
    lab = Laboratory(tmp_path, capsys)
    lab.claim()
    lab.study()
    monkeypatch.setattr(claim_runs, "start", lab.start)
    return lab
