"""Studies whose runs are written by hand: no network is trained here."""

from pathlib import Path

import pytest
from laboratory import Laboratory

from ablations.claims import runs as claim_runs


@pytest.fixture
def laboratory(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Laboratory:
    """A folder with one claim and one study, and a launcher that writes records by hand."""
    monkeypatch.setenv("COLUMNS", "200")
    # The ledger is in the cache folder, and the prepared images are as well.
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
