"""Convert a network in plain torch to ONNX with torch's exporter."""

import logging
import runpy
import tempfile
import warnings
from pathlib import Path

import torch

from ablations.config import ConfigError
from ablations.exporting.plain import PlainNetwork


def to_onnx(plain: PlainNetwork, size: int) -> bytes:
    """Return the network as ONNX, from ``pixels``, uint8, (N, 3, size, size), to ``logits``.

    Args:
        plain: The network.
        size: Height and width of the images, in pixels.

    Raises:
        ConfigError: onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401  # pyright: ignore
    except ImportError:
        raise ConfigError(
            "--onnx: needs onnxscript, which is not installed; next step: "
            "pip install 'alexnet-ablations[onnx]'"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "model.py", Path(folder) / "model.onnx"
        source.write_text(plain.source)
        network = runpy.run_path(str(source))["Network"]()
        network.load_state_dict(plain.state)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns about itself
            torch.onnx.export(
                network.eval(),
                (torch.zeros(2, 3, size, size, dtype=torch.uint8),),
                target,
                input_names=["pixels"],
                output_names=["logits"],
                dynamic_shapes={"pixels": {0: torch.export.Dim("N")}},
                external_data=False,
                verbose=False,
            )
        return target.read_bytes()
