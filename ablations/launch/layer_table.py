"""The table of layers that ``print_model=true`` prints instead of training."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from ablations import models
from ablations.config import Config, DataConfig, Source
from ablations.data.store import is_prepared, prepare
from ablations.launch.display import fit, show

# Numbers of classes that are known without reading the data.
_CLASSES = {Source.synthetic: 10, Source.cifar10: 10, Source.imagenet: 1000}


def show_layers(console: Console, config: Config) -> None:
    """Print name, output shape, parameters and multiply-adds of every layer of a network.

    Args:
        console: The console to print on.
        config: The network, and the data whose number of classes is its number of outputs.

    Raises:
        ConfigError: The network does not fit the configuration.
    """
    run = config.run
    models.check(run)
    classes = _count_classes(config.data, Path(config.cache) if config.cache else None)
    # Imported here, so that other commands do not load torch.
    from ablations.models.layers import layers

    rows = layers(run, classes or 1000)
    table = Table(
        title=f"{run.model.value}, width {run.width:g}, {run.data.crop}x{run.data.crop} "
        f"pixels{f', {classes:,} classes' if classes else ''}",
        title_style="bold",
        title_justify="left",
    )
    table.add_column("layer")
    table.add_column("kind")
    for name in ("output", "parameters", "multiply-adds"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            row.kind,
            "x".join(str(n) for n in row.shape),
            f"{row.parameters + row.statistics:,}" if row.parameters else "",
            f"{row.multiply_adds:,}" if row.multiply_adds else "",
        )
    trained = sum(row.parameters for row in rows)
    statistics = sum(row.statistics for row in rows)
    table.add_section()
    total = sum(row.multiply_adds for row in rows)
    table.add_row("total", "", "", f"{trained + statistics:,}", f"{total:,}", style="bold")
    console.print(fit(console, table, ["kind", "multiply-adds"]))
    if classes is None:
        show(
            console,
            "classes",
            "their number is unknown, so the last layer has 1,000 outputs; next step: run "
            "ablations/prepare.py",
        )
    if statistics:
        console.print(f"{trained:,} parameters are trained, {statistics:,} are running statistics.")


def _count_classes(data: DataConfig, cache: Path | None) -> int | None:
    """Return the number of classes; None if it is unknown until the data are prepared."""
    if is_prepared(data, cache):
        return len(prepare(data, cache).classes)
    return _CLASSES.get(data.source)
