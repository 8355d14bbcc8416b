"""Benchmarks with separate processes: sweeps, DDP, memory, plans, and reports."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.measure import Row, alternate

ROOT = Path(__file__).resolve().parents[1]
IMAGES, EPOCHS = 1280, 1


def command(*words: str) -> float:
    """Return the wall time of a Python command in seconds.

    Raises:
        RuntimeError: The command failed; the message has the end of its output.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    return time.perf_counter() - start


def sweep(runs: int, rounds: int) -> list[Row]:
    """Compare a sweep over seeds with a loop over the template's command, start-up included."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            *("ablations/run.py", "-m", "model=cifar_conv", "width=1"),
            *("logger=none", "data.val_size=10"),
            *(f"data.train_limit={IMAGES}", f"recipe.epochs={EPOCHS}", f"cache={folder}/cache"),
        ]
        # Prepare the data for both beforehand.
        command(*words, "seed=1000", f"output={folder}/first")
        store = next((Path(folder) / "cache").rglob("train_images*")).parent
        seeds = ",".join(str(seed) for seed in range(runs))
        ours, theirs = [], []
        for number in range(rounds):
            ours.append(1e3 * command(*words, f"seed={seeds}", f"output={folder}/{number}"))
            loop = [
                command("-m", "benchmarks.processes", "template", str(store), str(seed))
                for seed in range(runs)
            ]
            theirs.append(1e3 * sum(loop))
    name, peer = f"sweep of {runs} short runs, whole commands", "loop over the template's command"
    return [Row(name, peer, ours, theirs, note="both test ten views")]


def run_template(folder: Path, seed: int) -> None:
    """Run the template's command: train for an epoch, then test with ten views."""
    import pytorch_lightning as pl
    import torch

    from ablations import models
    from ablations.data.store import Store
    from benchmarks.training import Photographs, TemplateModule, configure

    pl.seed_everything(seed, verbose=False)
    data = Store.open(folder)
    network = models.build(configure("cifar_conv", 32, 28, 128).run, len(data.classes))
    loader = partial(torch.utils.data.DataLoader, num_workers=2)
    train = Photographs(data.train_images[:IMAGES], data.train_labels, 28)
    test = Photographs(data.test_images[:], data.test_labels, 28, test=True)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=EPOCHS, logger=False, enable_checkpointing=False
    )
    module = TemplateModule(network)
    trainer.fit(module, loader(train, batch_size=128, shuffle=True, drop_last=True))
    trainer.test(module, loader(test, batch_size=12))


def start_up(rounds: int, seconds: float) -> list[Row]:
    """Measure the start-up time of a run from the fork server."""
    from ablations.config import Job
    from ablations.launch.pool import Pool, warm_up
    from ablations.training.fit import train
    from benchmarks.training import IMAGES, configure, store

    config, data = configure("cifar_conv", 32, 28, 128, "recipe.epochs=1"), store(32, IMAGES)
    run = replace(config.run, fingerprint=data.fingerprint)
    job = Job(
        *(run, config.experiment, "benchmark", "benchmark"),
        trainer=replace(config.trainer, threads=1),
        logger=config.logger,
        store=str(data.path),
    )
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
    name, peer = "start of a warm run in a sweep", "one second"
    return [Row(name, peer, extra, limit, less=True)]


def together(runs: list[list[str]]) -> list[float]:
    """Return the mean seconds per step of bare loops that run simultaneously.

    Args:
        runs: Model, size, crop, batch size, steps and options of each loop.
    """
    call = [sys.executable, "-m", "benchmarks.processes", "together"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen([*call, *words], cwd=ROOT, env=environment, **pipes) for words in runs
    ]
    for process in started:  # each prints a line after its warm-up
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"{' '.join(call)} ended before its first step")
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [float(process.communicate()[0]) for process in started]


def peak_memory() -> float:
    """Return the peak memory of this process, in MiB.

    Not ``ru_maxrss``, which includes the peak of the parent process.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory() -> list[Row]:
    """Compare the peak memory of a few steps with that of the bare loop."""
    from benchmarks.loops import store

    cases = {
        "AlexNet-227, batch 128": (("alexnet", "256", "227", "128"), 256, 2),
        "cifar_conv on 50,000 images": (("cifar_conv", "32", "28", "128"), 50_000, 20),
    }
    rows = []
    for name, (words, images, steps) in cases.items():
        path = str(store(int(words[1]), images).path)

        def peak(kind: str, *given: str) -> float:
            call = [sys.executable, "-m", "benchmarks.processes", "memory", kind, *given]
            done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
            return float(done.stdout.split()[-1])

        ours, theirs = (peak(kind, *words, str(steps), path) for kind in ("suite", "bare"))
        peer, note = "bare loop, same tricks", "in MiB, not ms"
        rows.append(Row(f"peak memory, {name}", peer, [ours], [theirs], less=True, note=note))
    return rows


def records(counts: tuple[int, ...]) -> list[Row]:
    """Compare the time of a report with one second per hundred records.

    The records are copies of those in ``results``; if there are none, no row is returned.
    """
    from ablations.config import NUMERICS
    from ablations.record import load_all
    from ablations.report import report
    from ablations.reporting.evidence import gather

    given = [
        record for folder in sorted((ROOT / "results").glob("*")) for record in load_all(folder)
    ]
    rows = []
    for count in counts if given else ():
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                record = given[number % len(given)]
                run = replace(record.run, seed=1000 + number)
                copy = replace(
                    record,
                    run_id=run.run_id,
                    numerics=NUMERICS,
                    seed=run.seed,
                    differences=run.differences,
                )
                run_folder = Path(folder) / "runs" / copy.run_id
                run_folder.mkdir(parents=True)
                copy.save(run_folder)

            def draw(folder: str = folder) -> None:
                report(gather(Path(folder) / "runs"), Path(folder) / "page", pictures=False)

            taken = alternate({"report": draw}, 2, 30.0)["report"]
        allowed = [1000.0 * max(1.0, count / 100)] * len(taken)
        name, peer = f"report on {count} records", "one second per hundred"
        rows.append(Row(name, peer, taken, allowed, less=True))
    return rows


def ddp(steps: int) -> list[Row]:
    """Compare the suite with bare DDP on one and two ranks, and two ranks with one."""

    def steps_of(ranks: int) -> dict[str, list[float]]:
        words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        words += ["-m", "benchmarks.ranks", str(steps)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    one, two = steps_of(1), steps_of(2)
    name = "cifar_conv in DDP"
    return [
        Row(f"{name}, 1 rank", "bare DDP", one["suite"], one["bare"]),
        Row(f"{name}, 2 ranks", "bare DDP", two["suite"], two["bare"]),
        Row(f"{name}, 2 ranks", "1 rank", two["suite"], one["suite"]),
    ]


def plans(counts: tuple[int, ...]) -> list[Row]:
    """Compare the planning time of a sweep over seeds with one second per hundred runs."""

    def plan(folder: str, count: int) -> None:
        words = ["-m", "logger=none", f"cache={folder}/cache", f"output={folder}/runs"]
        # With two nodes the command only writes configurations for torchrun and trains nothing.
        words += ["trainer.num_nodes=2", f"seed=range({count})"]
        subprocess.run(
            [sys.executable, "-m", "ablations", "run", *words], check=True, capture_output=True
        )

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            taken = alternate({"plan": partial(plan, folder, count)}, 2, 60.0)["plan"]
            allowed = [1000.0 * max(1.0, count / 100)] * len(taken)
            name, peer = f"plan of {count} runs", "one second per hundred"
            rows.append(Row(name, peer, taken, allowed, less=True))
    return rows


def workloads(quick: bool) -> dict[str, Callable[[], list[Row]]]:
    """Return all workloads of this module, by name."""
    rounds, seconds = (2, 20.0) if quick else (5, 60.0)
    return {
        "sweep": partial(sweep, 12, 1 if quick else 3),
        "start": partial(start_up, rounds, seconds),
        "records": partial(records, (1, 10, 100) if quick else (1, 10, 100, 1000)),
        "plans": partial(plans, (1, 10, 100)),
        "ddp": partial(ddp, 60 if quick else 300),
        "memory": memory,
    }


def main() -> None:
    """Run one measurement, in a process that a function above has started."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("template", "together", "memory"))
    parser.add_argument("words", nargs="*")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.kind == "template":
        run_template(Path(given.words[0]), int(given.words[1]))
        return
    import torch

    from ablations.data.store import Store
    from benchmarks.loops import WARM_UP, bare, bare_step, configure, store, suite_step, timed

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    words = given.words[1:] if given.kind == "memory" else given.words
    network, (size, crop, batch, steps) = words[0], map(int, words[1:5])
    config = configure(network, size, crop, batch)
    if given.kind == "together":
        step = bare(config, store(size, 4 * batch), tricks=True, device=given.device)
        timed(step, WARM_UP)
        print("warm", flush=True)
        sys.stdin.readline()
        print(timed(step, steps))
        return
    kinds = {"suite": suite_step, "bare": bare_step}
    kinds[given.words[0]](config, Store.open(Path(words[5])), steps)
    print(peak_memory())


if __name__ == "__main__":
    main()
