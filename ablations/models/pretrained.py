"""Initialize a network with the weights of a finished run (§6).

All layers take the trained weights, except that the last layer keeps its random initial weights if
the number of classes differs.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor, nn

from ablations.config import ConfigError, Run
from ablations.errors import plain
from ablations.models import construct

_NETWORK = "network."  # prefix of the network's weights in the LightningModule's state


def read_checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Return the content of a run's checkpoint.

    Args:
        path: The checkpoint.
        device: Device of the tensors; ``meta`` loads only their shapes.

    Raises:
        ConfigError: The file cannot be read, is damaged, or is not a checkpoint.
    """
    try:
        with ZipFile(path) as file:
            intact = file.testzip() is None  # torch does not verify the checksums
        if intact:
            content = torch.load(path, map_location=device, weights_only=True, mmap=True)
            if "state_dict" in content:
                return content
    except OSError as error:
        raise ConfigError(plain(error)) from None
    except (RuntimeError, EOFError, ValueError, BadZipFile, pickle.UnpicklingError):
        pass
    raise ConfigError(
        f"{path}: not a complete checkpoint; next step: delete its folder and train the run again "
        "with the same command"
    )


def network_state(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights and running statistics in the content of a checkpoint, by name."""
    return {
        name.removeprefix(_NETWORK): value
        for name, value in content["state_dict"].items()
        if name.startswith(_NETWORK)
    }


def check_fit(run: Run, classes: int, path: Path) -> None:
    """Check that the shapes of a checkpoint's weights match a run's network.

    Args:
        run: The run that starts from the checkpoint.
        classes: Number of classes of the run.
        path: The checkpoint.

    Raises:
        ConfigError: A shape differs; the message has the first difference.
    """
    with torch.device("meta"):
        network = construct(run, classes)
    try:
        transfer(network, path)
    except RuntimeError as error:
        difference = str(error).splitlines()[1].strip()
        raise ConfigError(
            f"pretrained={run.pretrained}: {difference} Both runs need the same network, width, "
            "techniques and data.crop; next step: train one of them with the keys of the other"
        ) from None


def transfer(network: nn.Sequential, path: Path) -> None:
    """Load the weights of a checkpoint into a network, in place.

    Args:
        network: The initialized network. Its last layer is unchanged if the checkpoint has a
            different number of classes.
        path: The checkpoint.

    Raises:
        RuntimeError: A layer is missing or has another shape; see :func:`check_fit`.
    """
    *_, (last, layer) = network.named_children()
    device = next(layer.parameters()).device.type
    found = network_state(read_checkpoint(path, device))
    for name, ours in layer.state_dict(prefix=f"{last}.").items():
        theirs = found.get(name)
        if theirs is not None and theirs.shape[1:] == ours.shape[1:]:
            found[name] = theirs if len(theirs) == len(ours) else ours
    network.load_state_dict(found)
