"""A user's own Lightning callbacks, from the key ``callbacks``."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pydantic import ImportString, TypeAdapter

from ablations.config import ConfigError, first_problem

_CLASS = TypeAdapter(ImportString)


def build_callbacks(callbacks: Mapping[str, Mapping[str, Any]]) -> list[pl.Callback]:
    """Return the callbacks, in the order given.

    Args:
        callbacks: By name, each with its class as ``_target_`` and its arguments.

    Raises:
        ConfigError: A class cannot be imported, is not a callback, or does not take its arguments.
    """
    return [_build(f"callbacks.{name}", **values) for name, values in callbacks.items()]


def _build(key: str, _target_: str, **arguments: Any) -> pl.Callback:
    try:
        kind = _CLASS.validate_python(_target_)
        # Before it is called: a configuration must not call just any function.
        if not (isinstance(kind, type) and issubclass(kind, pl.Callback)):
            raise TypeError("not a subclass of pytorch_lightning.Callback")
        return kind(**arguments)
    except Exception as error:
        raise ConfigError(
            f"{key}._target_={_target_}: {first_problem(error)}; next step: give the dotted path "
            f"of a Lightning callback that Python can import here, and its arguments as {key}.NAME"
        ) from error
