"""Cores and vector instructions of this machine's CPU."""

import os
import re
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
