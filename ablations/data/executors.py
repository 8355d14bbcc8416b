"""Properties of the CPU, and a process pool for decoding images."""

import multiprocessing
import os
import re
import signal
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def core_numbers() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(core_numbers())


def physical_cores() -> int:
    """Return the number of physical cores that this process may use; all cores without Linux."""
    folder = Path("/sys/devices/system/cpu")
    files = [folder / f"cpu{n}/topology/thread_siblings_list" for n in core_numbers()]
    return len({path.read_text() if path.exists() else str(path) for path in files})


def cpu_flags() -> list[str]:
    """Return the CPU's vector instructions as Linux names them; empty on other systems."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    # x86 lists flags, Arm lists features.
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    vector = re.compile(r"(avx|amx|fma|sse|f16c|asimd|sve|bf16)")
    return sorted(flag for flag in found[1].split() if vector.match(flag)) if found else []


def processes() -> ProcessPoolExecutor:
    """Return a pool with a process per core; the processes end even if this one is killed."""
    # Spawned, because a fork may copy locks that other threads hold.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(cpu_cores(), context, initializer=_begin)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    # Pillow warns about damaged EXIF data, which do not affect the pixels.
    warnings.simplefilter("ignore")
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
