"""Run the benchmarks and print them as ratios to their peers.

    python -m benchmarks [WORKLOAD ...] [--quick]

Without names, the workloads that are not yet in the results file are run. ``--device cuda`` runs
the workloads for a GPU.
"""

import argparse
import logging
import os
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler logs each start and stop

import torch

from ablations.data.cpu import cpu_cores
from ablations.training.environment import device_name, provenance
from ablations.training.fit import keep_freed_memory
from benchmarks import goals, gpu, processes, training
from benchmarks.table import into, markdown, read, save

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).resolve().parents[1] / "docs/speed.md"
# Tables of docs/speed.md: the results file, the goals, and whether a workload belongs there.
BLOCKS = {
    "speed": ("cpu", goals.CPU, lambda name: name != "bf16"),
    "bf16": ("cpu", goals.CPU, lambda name: name == "bf16"),
    "gpu": ("gpu", goals.GPU, lambda name: True),
}


def machine(device: str) -> dict[str, object]:
    """Return the hardware and package versions that affect the results."""
    return {
        "processor": device_name(torch.device("cpu")),
        **({"gpu": device_name(torch.device("cuda", 0))} if device == "cuda" else {}),
        "cores": cpu_cores(),
        "threads": torch.get_num_threads(),
        **provenance()["versions"],
    }


def with_tables(text: str) -> str:
    """Return the text of docs/speed.md with the tables of the saved results."""
    for block, (file, limits, belongs) in BLOCKS.items():
        first, second = (
            (machine, {name: rows for name, rows in groups.items() if belongs(name)})
            for machine, groups in (read(RESULTS / f"{file}{n}.json") for n in ("", "-again"))
        )
        text = into(text, markdown(first, second, limits), block)
    return text


def main() -> None:
    """Run the workloads, save the results after each, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", help="names of workloads (default: all new ones)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--table", action="store_true", help="only update docs/speed.md")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="results file (default: benchmarks/results/)")
    given = parser.parse_intermixed_args()
    if given.table:
        PAGE.write_text(with_tables(PAGE.read_text()))
        return
    on_gpu = given.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        sys.exit("error: --device cuda: torch finds no GPU; next step: check `nvidia-smi`")
    keep_freed_memory()  # as in a run, and also for the peers
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    path = given.json or RESULTS / ("gpu.json" if on_gpu else "cpu.json")
    _, rows = read(path)
    if on_gpu:
        workloads = gpu.workloads(given.quick)
    else:
        workloads = training.workloads(given.quick) | processes.workloads(given.quick)
    if unknown := set(given.workloads) - set(workloads):
        known = ", ".join(workloads)
        sys.exit(f"error: {', '.join(sorted(unknown))}: unknown workload; valid: {known}")
    command = "python -m benchmarks" + " --device cuda" * on_gpu + " --quick" * given.quick
    found = machine(given.device) | {"command": command}
    for name in given.workloads or [name for name in workloads if name not in rows]:
        start = time.perf_counter()
        rows[name] = workloads[name]()
        save(path, found, {key: rows[key] for key in workloads if key in rows})
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(markdown((found, rows), ({}, {}), goals.GPU if on_gpu else goals.CPU))


if __name__ == "__main__":
    main()
