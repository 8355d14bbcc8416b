"""Benchmarks with separate processes: sweeps, starts, reports, DDP, and memory."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import distributed

from ablations.config import NUMERICS
from ablations.data.store import Store
from ablations.launch.pool import Pool, warm_up
from ablations.record import load_all
from ablations.report import report
from ablations.reporting.evidence import gather
from ablations.training.fit import train
from benchmarks import template
from benchmarks.goals import LOOP, SECOND
from benchmarks.loops import bare, configure, job_of, store, store_of, suite, timed
from benchmarks.measure import Row, alternate

ROOT = Path(__file__).resolve().parents[1]
IMAGES = 1280  # training images of a short run


def command(*words: str) -> str:
    """Run a Python command; return its output.

    Raises:
        RuntimeError: The command failed; the message has the end of its output.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    return done.stdout


def sweep(runs: int, rounds: int) -> list[Row]:
    """Compare a sweep over seeds with a loop over the template's command, start-up included."""
    data = store(32, IMAGES)
    with tempfile.TemporaryDirectory() as folder:

        def ours() -> None:
            output = tempfile.mkdtemp(dir=folder)
            seeds = ",".join(str(seed) for seed in range(runs))
            command(
                *("ablations/run.py", "-m", f"seed={seeds}", f"output={output}", "logger=none"),
                *("model=cifar_conv", "width=1", "recipe.epochs=1", "recipe.batch_size=128"),
                *("data.size=32", "data.crop=28", "data.val_size=10"),
                *("data.source=huggingface", f"data.path={data.path}"),
            )

        def theirs() -> None:
            for seed in range(runs):
                command("-m", "benchmarks.template", str(data.path), str(seed))

        found = alternate({"ours": ours, "theirs": theirs}, rounds, math.inf)
    name, peer = f"sweep of {runs} short runs, whole commands", "loop over the template's command"
    return [Row(name, peer, found["ours"], found["theirs"], note="both test ten views")]


def start_up(rounds: int, seconds: float) -> list[Row]:
    """Measure the start-up time of a run from the fork server."""
    config = configure(*template.MODEL)
    job = job_of(config, store(32, IMAGES))
    warm_up()

    def pooled() -> None:
        with tempfile.TemporaryDirectory() as folder:
            states = Pool(Path(folder), lambda states: None).run([job])
            assert states[0].status == "finished", states[0].tail

    def here() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(job, Path(folder))

    found = alternate({"pooled": pooled, "here": here}, rounds, seconds)
    extra = [max(0.0, a - b) for a, b in zip(found["pooled"], found["here"], strict=True)]
    limit = [1000.0] * len(extra)
    return [Row("start of a warm run in a sweep", "one second", extra, limit, less=True)]


def records(counts: tuple[int, ...]) -> list[Row]:
    """Compare the time of a report with one second per hundred records, and at least one second.

    The records are copies of those in ``results``.
    """
    given = [record for folder in (ROOT / "results").iterdir() for record in load_all(folder)]
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                record = given[number % len(given)]
                run = replace(record.run, seed=1000 + number)
                run_folder = Path(folder) / "runs" / run.run_id
                run_folder.mkdir(parents=True)
                identity = {"run_id": run.run_id, "seed": run.seed, "differences": run.differences}
                replace(record, numerics=NUMERICS, **identity).save(run_folder)

            def draw(folder: str = folder) -> None:
                report(gather(Path(folder) / "runs"), Path(folder) / "page", pictures=False)

            taken = alternate({"report": draw}, 2, 30.0)["report"]
        allowed = [1000.0 * max(1.0, count / 100)] * len(taken)
        rows.append(Row(f"report on {count} records", SECOND, taken, allowed, less=True))
    return rows


def ddp(rounds: int) -> list[Row]:
    """Compare the suite with bare DDP on one and two ranks, and two ranks with one."""

    def steps_of(ranks: int) -> dict[str, list[float]]:
        torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}")
        lines = command(*torchrun, "-m", "benchmarks.processes", "rank", str(rounds))
        return json.loads(lines.splitlines()[-1])

    one, two = steps_of(1), steps_of(2)
    name = "cifar_conv in DDP"
    return [
        Row(f"{name}, 1 rank", "bare DDP", one["suite"], one["bare"]),
        Row(f"{name}, 2 ranks", "bare DDP", two["suite"], two["bare"]),
        Row(f"{name}, 2 ranks", "1 rank", two["suite"], one["suite"]),
    ]


def run_rank(rounds: int, steps: int = 40) -> None:
    """Time the suite and bare DDP on one rank; rank 0 prints their milliseconds as JSON."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group("gloo")
    config = configure(*template.MODEL)
    data = store_of(config, steps)
    loop = bare(config, data, rank=rank, world=world)
    found = alternate(
        {"suite": partial(suite, config, data, world), "bare": partial(timed, loop, steps)},
        rounds,
        math.inf,  # every rank takes the same number of rounds
    )
    if rank == 0:
        print(json.dumps(found))
    distributed.destroy_process_group()


def memory() -> list[Row]:
    """Compare the peak memory of a few steps with that of the bare loop."""
    cases = {
        "AlexNet-227, batch 128": (("alexnet", "256", "227", "128"), 512),
        "cifar_conv on 50,000 images": (("cifar_conv", "32", "28", "128"), 50_000),
    }
    rows = []
    for name, (words, images) in cases.items():
        path = str(store(int(words[1]), images).path)
        ours, theirs = (
            float(command("-m", "benchmarks.processes", "memory", kind, path, *words).split()[-1])
            for kind in ("suite", "bare")
        )
        note = "in MiB, not ms"
        rows.append(Row(f"peak memory, {name}", LOOP, [ours], [theirs], less=True, note=note))
    return rows


def print_peak(kind: str, path: str, network: str, *numbers: str) -> None:
    """Print the peak memory of this process in MiB, after an epoch of the suite or a bare loop."""
    config, data = configure(network, *map(int, numbers)), Store(Path(path))
    if kind == "suite":
        suite(config, data)
    else:
        timed(bare(config, data), len(data.train_labels) // config.recipe.batch_size)
    # Not `ru_maxrss`, which includes the peak of the parent process.
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def workloads(quick: bool) -> dict[str, Callable[[], list[Row]]]:
    """Return all workloads of this module, by name."""
    rounds, seconds = (2, 20.0) if quick else (5, 60.0)
    return {
        "sweep": partial(sweep, 12, 1 if quick else 3),
        "start": partial(start_up, rounds, seconds),
        "records": partial(records, (1, 10, 100) if quick else (1, 10, 100, 1000)),
        "ddp": partial(ddp, rounds),
        "memory": memory,
    }


if __name__ == "__main__":  # in a process that a function above has started
    torch.set_num_threads(1)
    kind, *words = sys.argv[1:]
    if kind == "rank":
        run_rank(int(words[0]))
    else:
        print_peak(*words)
