from pathlib import Path

import pytest

from benchmarks.paper import Parts, line, table

ROOT = Path(__file__).resolve().parents[2]


def test_a_claim_costs_its_hours_on_all_gpus():
    parts = Parts(rate=1000.0, decode=2.0, kilobytes=10.0, sharing=0.5, price=3.0)
    found = line(parts, 4)
    assert found["images/s"] == 2000
    assert found["read, MB/s"] == 20
    assert found["cores for decoding"] == 4
    assert found["hours per run"] == pytest.approx(1_280_000 * 90 / 2000 / 3600)
    assert found["price per claim"] == pytest.approx(found["hours per run"] * 6 * 4 * 3)


def test_the_page_shows_the_computed_table():
    assert table(Parts()) in (ROOT / "docs/speed.md").read_text()
