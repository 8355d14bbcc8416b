"""The weights of a finished run as the first of another one.

§6: a network is trained on more images of more classes, then on the challenge's own. All layers go
on from what they have learnt; the last one starts anew where the number of classes differs.
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

_NETWORK = "network."  # what Lightning calls the module's attribute


class DamagedCheckpoint(Exception):
    """A file is no checkpoint, or was changed after it had been written."""


def read_checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Return the content of a checkpoint.

    Args:
        path: The checkpoint.
        device: Where to put its tensors; ``meta`` for their shapes alone.

    Raises:
        DamagedCheckpoint: See there.
        OSError: It cannot be read.
    """
    try:
        with ZipFile(path) as file:
            if name := file.testzip():  # torch does not compare the checksums
                raise DamagedCheckpoint(name)
        return torch.load(path, map_location=device, weights_only=True, mmap=True)
    except (RuntimeError, EOFError, ValueError, BadZipFile, pickle.UnpicklingError) as error:
        raise DamagedCheckpoint(str(error)) from None


def checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Return the content of a run's checkpoint.

    Args:
        path: The checkpoint.
        device: See :func:`read_checkpoint`.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        content = read_checkpoint(path, device)
        if "state_dict" not in content:
            raise DamagedCheckpoint("it has no weights")
    except OSError as error:
        raise ConfigError(plain(error)) from None
    except DamagedCheckpoint:
        raise ConfigError(
            f"{path}: no whole checkpoint; next step: delete its folder, and the command that made "
            "it trains the run again"
        ) from None
    return content


def weights(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Return weights and running statistics of the network in a checkpoint.

    Args:
        path: The checkpoint of a run.
        device: See :func:`read_checkpoint`.

    Raises:
        ConfigError: The file cannot be read.
    """
    return network_state(checkpoint(path, device))


def network_state(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return weights and running statistics of the network in a checkpoint's content."""
    return {
        name.removeprefix(_NETWORK): value
        for name, value in content["state_dict"].items()
        if name.startswith(_NETWORK)
    }


def check_fit(run: Run, classes: int, path: Path) -> None:
    """Refuse weights whose shapes are not those of a run's network; nothing is computed.

    Args:
        run: The run that is to start from them.
        classes: Number of its classes.
        path: The checkpoint.

    Raises:
        ConfigError: One message that names the first layer that does not fit.
    """
    with torch.device("meta"):
        network = construct(run, classes)
    ours, theirs = _shapes(network, network.state_dict()), _shapes(network, weights(path, "meta"))
    for name in ours | theirs:
        if ours.get(name) != theirs.get(name):
            raise ConfigError(
                f"pretrained={run.pretrained}: its {name} is {_size(theirs.get(name))}, here it is "
                f"{_size(ours.get(name))}. Both runs need the same network, width, techniques and "
                "data.crop; next step: train one with the keys of the other"
            )


def transfer(network: nn.Sequential, path: Path) -> None:
    """Put the weights of a checkpoint into a network that they fit, in place.

    Args:
        network: The network, initialized: its last layer stays as it is where the checkpoint's is
            for another number of classes.
        path: The checkpoint.
    """
    state = network.state_dict()
    found = weights(path)
    network.load_state_dict(
        {
            name: found[name] if found[name].shape == state[name].shape else state[name]
            for name in state
        }
    )


def _shapes(network: nn.Sequential, state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name, those of the last layer without the number of classes."""
    *_, (last, _) = network.named_children()
    return {
        name: tuple(value.shape[name.startswith(f"{last}.") :]) for name, value in state.items()
    }


def _size(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "one number"
