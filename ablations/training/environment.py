"""Describe the software and the device of a run."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablations import __version__

if TYPE_CHECKING:
    import torch


def provenance() -> dict[str, Any]:
    """Return the package versions, the git commit and the current time, for a record."""
    packages = ("torch", "torchvision", "pytorch-lightning", "torchmetrics")
    return {
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
            "alexnet-ablations": __version__,  # a clone on PYTHONPATH is not an installed package
        },
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **commit_of("ablations"),
    }


def commit_of(*folders: str) -> dict[str, Any]:
    """Return the commit of the code as ``commit``, and as ``dirty`` whether folders differ from it.

    Both are None without git, and for an installed package.

    Args:
        folders: Folders of the repository.
    """
    here = Path(__file__).resolve()
    root = here.parents[2]

    def git(*words: str) -> str:
        command = ("git", "-C", str(root), *words)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        # Also asks for this file: an installed package may lie in a clone of something else.
        head = git("rev-parse", "HEAD", f"HEAD:./{here.relative_to(root).as_posix()}")
        changes = git("status", "--porcelain", "--", *folders)
        return {"commit": head.split()[0], "dirty": bool(changes.strip())}
    except (FileNotFoundError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def device_name(device: "torch.device") -> str:
    """Return the name of a GPU or of the CPU."""
    if device.type == "cuda":
        import torch  # not at the top, because commit_of needs no torch

        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
