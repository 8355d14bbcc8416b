"""Run the benchmarks and print them as ratios to their peers.

    python -m benchmarks [WORKLOAD ...] [--quick]

Workloads that are already in the results file are skipped, unless ``--again`` is given.
``--device cuda`` runs the workloads for a GPU.
"""

import argparse
import os
import platform
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler logs each start and stop

import logging

import torch
from rich.console import Console

from ablations.data.executors import cpu_cores
from ablations.training.environment import device_name
from ablations.training.fit import keep_freed_memory
from benchmarks import goals, gpu, processes, training
from benchmarks.table import into, markdown, read, save, terminal

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).resolve().parents[1]
# Tables of docs/speed.md: the results file and the goals.
BLOCKS = {"speed": ("cpu", goals.CPU), "bf16": ("bf16", goals.CPU), "gpu": ("gpu", goals.GPU)}


def machine(device: str) -> dict[str, object]:
    """Return the hardware and package versions that affect the results."""
    packages = ("torch", "torchvision", "pytorch-lightning", "tensorflow", "timm", "numpy")
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": device_name(torch.device("cpu")),
        **({"gpu": device_name(torch.device("cuda", 0))} if device == "cuda" else {}),
        "cores": cpu_cores(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **versions,
    }


def main() -> None:
    """Run the workloads, save the results after each, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", help="names of workloads (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--again", action="store_true", help="repeat existing results")
    parser.add_argument(
        "--table", action="store_true", help="only update the tables in docs/speed.md"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--json", type=Path, help="results file (default: benchmarks/results/DEVICE.json)"
    )
    given = parser.parse_intermixed_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: --device cuda: torch finds no GPU; next step: check `nvidia-smi`")
    keep_freed_memory()  # as in a run, and also for the peers
    path = given.json or RESULTS / ("gpu.json" if given.device == "cuda" else "cpu.json")
    console = Console()
    if given.table:
        page = ROOT / "docs/speed.md"
        text = page.read_text()
        for block, (file, wanted) in BLOCKS.items():
            executions = read(RESULTS / f"{file}.json"), read(RESULTS / f"{file}-again.json")
            text = into(text, markdown(*executions, wanted), block)
        page.write_text(text)
        return
    _, rows = read(path)
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    if given.device == "cuda":
        workloads = gpu.workloads(given.quick, given.device)
    else:
        workloads = {**training.workloads(given.quick), **processes.workloads(given.quick)}
    if unknown := set(given.workloads) - set(workloads):
        known = ", ".join(workloads)
        sys.exit(f"error: {', '.join(sorted(unknown))}: unknown workload; valid: {known}")
    for name in given.workloads or workloads:
        if name in rows and not given.again:
            continue
        start = time.perf_counter()
        rows[name] = workloads[name]()
        command = "python -m benchmarks" + " --device cuda" * (given.device == "cuda")
        save(
            path,
            {**machine(given.device), "command": command + " --quick" * given.quick},
            {key: rows[key] for key in workloads if key in rows},
        )
        console.print(f"{name}: {time.perf_counter() - start:.0f} s", highlight=False)
    console.print(terminal(rows, goals.GPU if given.device == "cuda" else goals.CPU))


if __name__ == "__main__":
    main()
