"""A user's own Lightning callbacks, from the key ``callbacks``."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pydantic import ImportString, TypeAdapter, ValidationError

from ablations.config import ConfigError

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
    except ValidationError as error:
        why = error.errors()[0].get("ctx", {}).get("error", "not a dotted path")
        raise ConfigError(
            f"{key}._target_={_target_}: {why}; next step: give the dotted path of a class "
            "that Python can import here"
        ) from None
    # Before it is called: a configuration must not call just any function.
    if not (isinstance(kind, type) and issubclass(kind, pl.Callback)):
        raise ConfigError(
            f"{key}._target_={_target_}: not a Lightning callback; next step: give a subclass "
            "of pytorch_lightning.Callback"
        )
    try:
        return kind(**arguments)
    except Exception as error:
        raise ConfigError(
            f"{key}._target_={_target_}: {error}; next step: correct {key}.ARGUMENT=VALUE"
        ) from error
