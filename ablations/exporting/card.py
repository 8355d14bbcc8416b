"""The model card of a network: its use, errors, data and training."""

from collections.abc import Sequence
from typing import Any

from ablations.config import SIZES
from ablations.exporting.plain import TEMPLATES
from ablations.record import Record
from ablations.trained import TrainedNetwork


def describe(trained: TrainedNetwork) -> dict[str, Any]:
    """Return the content of ``config.json``: sizes, class names and settings of the network.

    Args:
        trained: The network.
    """
    record = trained.record
    return {
        "run_id": record.run_id,
        "model": trained.run.model.value,
        "size": trained.size,
        "crop": trained.crop,
        "classes": trained.classes,
        "settings": _settings(record),
    }


def write_card(trained: TrainedNetwork, files: Sequence[str]) -> str:
    """Return the model card: Markdown with metadata for the Hugging Face Hub.

    Args:
        trained: The network.
        files: Names of the exported files.
    """
    return TEMPLATES.get_template("README.md.jinja").render(
        record=trained.record, run=trained.run, settings=_settings(trained.record), files=files
    )


def _settings(record: Record) -> dict[str, Any]:
    """Return all keys of the run that affect results; of its data, only the sizes."""
    flat = record.run.flat
    sizes = [f"data.{key}" for key in SIZES]
    return {
        key: value
        for key, value in flat.items()
        if key in sizes or not key.startswith(("data.", "fingerprint"))
    }
