"""``python ablations/export.py RUN`` writes a trained network for use without this package."""

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in {None, ""}:
    # Run as a file: import from the folder above, so that no module here shadows a library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import ablations
from ablations.errors import ended_in_words, writable
from ablations.files import write_atomically
from ablations.keys import RUN, command_line


def export(
    run: str | Path, output: Path = Path("runs"), to: Path | None = None, *, onnx: bool = False
) -> list[Path]:
    """Write a trained network as weights, a module in plain torch and a model card.

    A ``model.onnx`` of an earlier export is removed, because it may be of another network.

    Args:
        run: The run, as :func:`ablations.load` takes it.
        output: Folder of the runs.
        to: Folder of the files, created if it does not exist; None takes ``exported/RUN_ID``.
        onnx: Also write ``model.onnx``.

    Returns:
        The written files.

    Raises:
        ConfigError: The run cannot be loaded, the folder cannot be written, a layer has no
            equivalent in torch, or a library is missing.
    """
    # --help does not need torch, which takes seconds to import.
    import safetensors.torch
    import torch

    from ablations.exporting.card import describe, write_card
    from ablations.exporting.plain import plain_network

    trained = ablations.load(run, output)
    plain = plain_network(trained)
    to = to or Path("exported") / trained.record.run_id
    writable(to, f"--to {to}", "--to FOLDER")
    buffer = io.BytesIO()
    torch.save(plain.state, buffer)
    written: dict[str, str | bytes] = {
        "model.py": plain.source,
        "model.pth": buffer.getvalue(),
        "model.safetensors": safetensors.torch.save(plain.state, {"format": "pt"}),
        "config.json": json.dumps(describe(trained), indent=1),
    }
    if onnx:
        from ablations.exporting.onnx import to_onnx

        written["model.onnx"] = to_onnx(plain, trained.size)
    else:
        (to / "model.onnx").unlink(missing_ok=True)
    written["README.md"] = write_card(trained, list(written))
    for name, content in written.items():
        write_atomically(to / name, content)
    return [to / name for name in written]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog=command_line("export"),
        description="Write a trained network as safetensors, a state dict, a module in plain torch "
        "and a model card.",
        parents=[RUN],
    )
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="folder of the files (default: exported/RUN_ID)"
    )
    parser.add_argument("--onnx", action="store_true", help="also write model.onnx")
    parser.add_argument(
        "--to-hub",
        metavar="OWNER/NAME",
        help="upload the files to this model of the Hugging Face Hub",
    )
    given = parser.parse_intermixed_args(arguments)
    with ended_in_words():
        written = export(given.run, given.output, given.to, onnx=given.onnx)
        for path in written:
            print(f"{path} ({path.stat().st_size / 1024:,.0f} kB)")
        if given.to_hub:
            from ablations.exporting.hub import upload

            print(upload(written[0].parent, [path.name for path in written], given.to_hub))


if __name__ == "__main__":
    main()
