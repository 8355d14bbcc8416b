"""The table of layers that ``print_model=true`` prints instead of training."""

from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from ablations import models
from ablations.config import Config, ConfigError, DataConfig, Source
from ablations.data.cache import cache_folder
from ablations.data.sources import find_files
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
    try:
        classes, problem = _count_classes(config.data), ""
    except ConfigError as error:
        classes, problem = 1000, str(error)
    # Imported here, so that other commands do not load torch.
    from ablations.models.layers import layers

    rows = layers(run, classes)
    table = Table(
        title=f"{run.model.value}, width {run.width:g}, {run.data.crop}x{run.data.crop} "
        f"pixels{'' if problem else f', {classes:,} classes'}",
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
    if problem:
        unknown = "their number is unknown, so the last layer has 1,000 outputs"
        show(console, "classes", f"{unknown}: {problem}")
    if statistics:
        console.print(f"{trained:,} parameters are trained, {statistics:,} are running statistics.")


def _count_classes(data: DataConfig) -> int:
    """Return the number of classes without downloading or decoding images.

    Raises:
        ConfigError: The data are missing.
    """
    if is_prepared(data):
        return len(prepare(data).classes)
    if data.source in _CLASSES:
        return _CLASSES[data.source]
    if not find_files(data):
        raise ConfigError(
            f"data.path={data.path}: not prepared; next step: run ablations/prepare.py"
        )
    source = import_module(f"ablations.data.{data.source.value}")
    with TemporaryDirectory() as scratch:
        return len(source.read(data, cache_folder(), Path(scratch), lambda line: None).classes)
