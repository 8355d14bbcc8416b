"""``python ablations/prepare.py`` decodes the data of an experiment once."""

import json
import sys
from pathlib import Path

if __package__ in {None, ""}:
    # Run as a file: import from the folder above, so that no module here shadows a library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from omegaconf import DictConfig
from rich.table import Column, Table
from rich.text import Text

from ablations import composition
from ablations.config import Config
from ablations.data.store import Store, prepare
from ablations.launch.display import make_console, show


def prepare_one(composed: DictConfig) -> None:
    """Prepare the data of a configuration, and print a summary."""
    console = make_console()
    config = composition.to_config(composed)
    with composition.in_start_folder():
        cache = Path(config.cache) if config.cache else None
        store = prepare(config.data, cache, lambda line: show(console, "data", line))
    console.print(describe(config, store))
    console.print(str(store.path), soft_wrap=True, highlight=False)


def describe(config: Config, store: Store) -> Table:
    """Return a table that summarizes a store."""
    manifest = json.loads((store.path / "manifest.json").read_text())
    size = len(store.mean_image)
    used = sum(path.stat().st_size for path in store.path.iterdir())
    mean = store.mean_image.mean((0, 1))
    table = Table("", Column(Text(config.data.name or store.name)), box=None, pad_edge=False)
    for name, value in (
        ("images", f"{len(store.train_labels):,} training, {len(store.test_labels):,} test"),
        ("classes", f"{len(store.classes):,}"),
        ("stored as", f"{size}x{size} pixels, {manifest['storage']}, {used / 1e6:,.0f} MB"),
        ("mean color", " ".join(f"{channel:.1f}" for channel in mean)),
        ("SD along principal colors", " ".join(f"{std:.1f}" for std in store.color_std)),
        ("skipped", f"{len(store.skipped):,} broken" if store.skipped else "none"),
        ("fingerprint", store.fingerprint[:16]),
    ):
        table.add_row(name, value)
    return table


def main() -> None:
    """Run the command."""
    composition.main(prepare_one, "prepare")


if __name__ == "__main__":
    main()
