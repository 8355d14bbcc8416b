"""A user's own Lightning callbacks, from the key ``callbacks``."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from ablations.config import ConfigError, first_problem


def build_callbacks(callbacks: Mapping[str, Mapping[str, Any]]) -> list[pl.Callback]:
    """Return the callbacks, in the order given, instantiated by Hydra.

    Args:
        callbacks: By name, each with its class as ``_target_`` and its arguments.

    Raises:
        ConfigError: A class cannot be imported, is not a callback, or does not take its arguments.
    """
    return [_build(f"callbacks.{name}", values) for name, values in callbacks.items()]


def _build(key: str, values: Mapping[str, Any]) -> pl.Callback:
    # Imported here, because few runs have callbacks and Hydra is slow to import.
    from hydra.utils import instantiate

    try:
        create = instantiate({**values, "_partial_": True}, _convert_="all")
        # Checked before it is called, so that a wrong target such as sys.exit has no effect.
        if not (isinstance(create.func, type) and issubclass(create.func, pl.Callback)):
            raise TypeError("not a subclass of pytorch_lightning.Callback")
        return create()
    except Exception as error:
        problem = first_problem(error.__cause__ or error)
        raise ConfigError(
            f"{key}._target_={values['_target_']}: {problem}; next step: give the dotted path "
            f"of a Lightning callback that Python can import here, and its arguments as {key}.NAME"
        ) from error
