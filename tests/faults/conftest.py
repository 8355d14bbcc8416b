"""Fixtures for fault injection, checks of the guarantees, and the table of all faults."""

import io
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import numbers_of
from conftest import make_config
from faults import warm
from faults.injection import SIGNALS, Fault
from PIL import Image

from ablations.config import Config, ConfigError, Source
from ablations.data.store import Store
from ablations.record import CHECKPOINT, load

SEED = int(os.environ.get("FAULTS_SEED", "0"))
MARKS = ("<!-- faults -->", "<!-- /faults -->")
WRONG = ("lost", "mixed", "stuck", "orphaned", "unclear")
BYSTANDER = 7  # seed of a run that finished before the fault


@dataclass
class Case:
    """One fault; failures are collected, so that the table shows all of them.

    Attributes:
        output: Folder of the runs; one of them finished before the fault.
        random: Random generator for the damaged positions, seeded by ``FAULTS_SEED``.
        expected: The results of the run without a fault.
        bystander: Files of the run that finished before the fault.
        wrong: Failures, by kind.
    """

    output: Path
    random: Random
    expected: dict[str, Any]
    bystander: dict[str, bytes]
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.output / self.expected["run_id"]

    def check(self, found: warm.Ended, *, ended: bool, deed: str = "") -> None:
        """Check a process; with ``ended``, the run must have its record and no temporary file."""
        self.check_numbers(ended=ended)
        self.check_words(found.said, found.code != 0, deed)
        self.check_left(found.orphans, ended=ended)

    def check_numbers(self, *, ended: bool) -> None:
        """Check that records are correct and, with ``ended``, that the run has one."""
        for name, content in self.bystander.items():
            path = self.output / name
            if not path.is_file() or path.read_bytes() != content:
                self.wrong["lost"].append(name)
        try:
            record = load(self.folder)
        except (ConfigError, OSError) as error:
            if ended:
                self.wrong["stuck"].append(str(error))
            return
        if record is None:
            if ended:
                self.wrong["stuck"].append("there is no record")
        elif differing := _differing(numbers_of(record), self.expected):
            self.wrong["mixed"].append(differing)

    def check_words(self, said: str, failed: bool, deed: str = "") -> None:
        """Check that the output explains a failure in one line."""
        if noise := re.search(r"Traceback|\w*Warning:|Error: .*\n\s+raise ", said):
            self.wrong["unclear"].append(f"{noise.group()} in {said[-2000:]}")
        errors = re.findall(r"^.*\berror: .*$", said, re.MULTILINE)
        if failed and deed not in SIGNALS and len(errors) != 1:
            self.wrong["unclear"].append(f"{len(errors)} lines of an error in {said[-2000:]}")

    def check_left(self, orphans: list[str], *, ended: bool = False) -> None:
        """Check that no process remains and, with ``ended``, no temporary file."""
        self.wrong["orphaned"] += orphans
        if ended:
            self.wrong["orphaned"] += [path.name for path in self.folder.glob(".*")]


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    return ", ".join(key for key in theirs if ours[key] != theirs[key])


@dataclass
class Laboratory:
    """Trains a tiny run in processes that have imported torch.

    Attributes:
        config: Configuration of the run; its data are parquet files.
        cache: Cache folder with the data.
        finished: Folder with the finished run.
        interrupted: Folder with the run after an interruption in its second epoch.
    """

    config: Config
    cache: Path
    finished: Path
    interrupted: Path

    def training(self, output: Path, **changes: Any) -> warm.Training:
        """Return the command that trains the run in ``output``."""
        return warm.Training(replace(self.config, **changes), self.cache, output)


@pytest.fixture(scope="session")
def laboratory(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """A tiny run, once finished and once interrupted in its second epoch."""
    warm.preload()
    folder = tmp_path_factory.mktemp("laboratory")
    (manifest,) = cache.glob("synthetic-16px-*/manifest.json")
    store = Store(manifest.parent)
    write_parquet(folder / "train.parquet", store.train_images, store.train_labels)
    write_parquet(folder / "test.parquet", store.test_images, store.test_labels)
    config = make_config()
    config = replace(
        config,
        trainer=replace(config.trainer, checkpoint_steps=1),
        data=replace(
            config.data,
            source=Source.huggingface,
            train=(str(folder / "train.parquet"),),
            test=(str(folder / "test.parquet"),),
        ),
    )
    found = Laboratory(config, folder / "cache", folder / "finished", folder / "interrupted")
    for seed in (config.seed, BYSTANDER):
        ended = warm.start(found.training(found.finished, seed=seed), folder / "log")
        assert ended.code == 0, ended.said
    stop = Fault("term", "train 4")
    ended = warm.start(found.training(found.interrupted), folder / "log", stop)
    assert ended.code == 143, ended.said
    assert next(found.interrupted.glob(f"*/{CHECKPOINT}"))
    return found


def write_parquet(path: Path, images: Any, labels: np.ndarray) -> None:
    """Write images as PNG (lossless) with their labels."""
    column = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "png")
        column.append({"bytes": buffer.getvalue()})
    pq.write_table(pa.table({"image": column, "label": labels}), path)


@pytest.fixture
def case(laboratory: Laboratory, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    """A folder with one finished run; the test fails if any failure was collected."""
    output = tmp_path / "runs"
    records = {
        record.parent: load(record.parent) for record in laboratory.finished.glob("*/record.json")
    }
    (other,) = (path for path, record in records.items() if record and record.seed == BYSTANDER)
    (expected,) = (record for record in records.values() if record and record.seed != BYSTANDER)
    shutil.copytree(other, output / other.name)
    kept = {
        f"{other.name}/{name}": (other / name).read_bytes()
        for name in ("record.json", "predictions.npz", CHECKPOINT)
    }
    random = Random(f"{SEED} {request.node.name}")
    case = Case(output, random, numbers_of(expected), kept)
    yield case
    request.node.user_properties.append(("wrong", {key: len(v) for key, v in case.wrong.items()}))
    problems = {key: found for key, found in case.wrong.items() if found}
    assert not problems


# The table of faults


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Callable[[str, str, str], None]:
    """Sets the position of a test in the report: table, fault, and moment."""
    return lambda *place: request.node.user_properties.append(("place", place))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-page", type=Path, help="write the table of faults into this page")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table of faults, and write it into a page."""
    found: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for reports in terminalreporter.stats.values():
        for report in reports:
            given = dict(getattr(report, "user_properties", ()))
            if getattr(report, "when", "") == "teardown" and "place" in given:
                found[tuple(given["place"])] += Counter(tried=1, **given.get("wrong", {}))
    if not found:
        return
    text = markdown(found)
    terminalreporter.section("faults")
    terminalreporter.write_line(text)
    if page := config.getoption("--faults-page"):
        before, rest = page.read_text().split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def markdown(found: dict[tuple[str, str, str], Counter[str]]) -> str:
    """Return a table for each kind of faults, with a row per fault and a column per moment."""
    total = sum(found.values(), Counter())
    counts = ", ".join(f"{total[key]} {key}" for key in ("tried", *WRONG))
    lines = [f"**{counts}** (`FAULTS_SEED={SEED}`). Cells show the numbers of faults and failures."]
    for table in dict.fromkeys(table for table, _, _ in found):
        faults = dict.fromkeys(fault for name, fault, _ in found if name == table)
        moments = dict.fromkeys(moment for name, _, moment in found if name == table)
        lines += ["", f"| {table} | {' | '.join(moments)} |", "| --- " * (len(moments) + 1) + "|"]
        for fault in faults:
            cells = [_cell(found.get((table, fault, moment), Counter())) for moment in moments]
            lines.append(f"| {fault} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(counts: Counter[str]) -> str:
    wrong = [f"{counts[key]} {key}" for key in WRONG if counts[key]]
    return ", ".join([str(counts["tried"] or ""), *wrong])
