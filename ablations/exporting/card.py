"""The model card of a network: its use, errors, data and training."""

from collections.abc import Sequence
from typing import Any

from ablations.config import SIZES
from ablations.exporting.plain import TEMPLATES
from ablations.record import Record, Scores
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
    record = trained.record
    return TEMPLATES.get_template("README.md.jinja").render(
        metadata=_metadata(trained),
        record=record,
        run=trained.run,
        splits=_splits(record),
        settings=_settings(record),
        versions=record.provenance.get("versions", {}),
        commit=_commit(record.provenance),
        files=files,
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


def _splits(record: Record) -> dict[str, Scores]:
    found = {
        "training images, center view": record.train,
        "validation images, center view": record.val,
        "test images, center view": record.test["center"],
        "test images, ten views": record.test["ten_view"],
    }
    return {name: scores for name, scores in found.items() if scores}


def _commit(provenance: dict[str, Any]) -> str:
    if not (commit := provenance.get("commit")):
        return "unknown (installed package)"
    return f"{commit}{' with changes' if provenance.get('dirty') else ''}"


def _metadata(trained: TrainedNetwork) -> str:
    from huggingface_hub import EvalResult, ModelCardData  # slow to import

    record = trained.record
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=record.data.name,
            dataset_name=record.data.name,
            dataset_split="test",
            metric_type="accuracy",
            metric_name=f"top-{k} accuracy, {words}",
            metric_value=round(1 - record.test_error(view, k), 6),
        )
        for view, words in (("center", "center view"), ("ten_view", "ten views"))
        for k in record.data.top_k
    ]
    return ModelCardData(
        model_name=f"{trained.run.model.value}-{record.run_id}",
        library_name="pytorch",
        pipeline_tag="image-classification",
        tags=["alexnet", "image-classification"],
        eval_results=results,
    ).to_yaml()
