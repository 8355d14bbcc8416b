"""The network of a finished run, ready to classify images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ablations import models
from ablations.config import ConfigError, Run
from ablations.data.decode import decode, square
from ablations.data.loading import channels_last
from ablations.models.pretrained import network_state, read_checkpoint
from ablations.record import CHECKPOINT, VIEWS, Record, find_folder
from ablations.record import load as load_record
from ablations.techniques.augmentation import to_input
from ablations.techniques.evaluation import average_probabilities, center_crop, ten_views

BATCH = 16  # images per forward pass, each in up to ten views

Picture = str | Path | Image.Image


class TrainedNetwork(nn.Module):
    """The network of a finished run in evaluation mode, with its preprocessing.

    It computes in float32. After training with ``recipe.precision=bf16``, a few predictions
    may therefore differ from those in the record.

    Attributes:
        network: The layers. They take pixels minus ``mean`` and return logits.
        mean: Mean image, on the scale 0 to 255, shape (crop, crop, 3).
        classes: Names of the classes; their numbers if the checkpoint has no names.
        record: The run's record: its errors, recipe and data.
        run: The run's configuration.
        size: Height and width to which images are scaled, in pixels.
        crop: Height and width of the network's input, in pixels.
    """

    mean: Tensor

    def __init__(
        self, network: nn.Sequential, mean: Tensor, classes: list[str], record: Record, run: Run
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.classes, self.record, self.run = classes, record, run
        self.size, self.crop = run.data.size, run.data.crop

    @classmethod
    def of_run(cls, run: str | Path, output: str | Path = "runs") -> "TrainedNetwork":
        """Load the network of a run, see :func:`ablations.load`."""
        folder = find_folder(run, Path(output))
        record = load_record(folder)
        if record is None:
            raise ConfigError(
                f"{folder}: the run has not finished; next step: repeat the command that started it"
            )
        if record.status == "diverged":
            raise ConfigError(
                f"{folder}: the training diverged, so there is no network; next step: choose "
                "another run, or train one with a lower recipe.lr"
            )
        content = read_checkpoint(folder / CHECKPOINT)
        hyperparameters = {"names": (), **content["hyper_parameters"]}  # earlier ones had no names
        trained = Run.from_dict(hyperparameters["run"])
        if trained.run_id != record.run_id:
            raise ConfigError(
                f"{folder / CHECKPOINT}: belongs to run {trained.run_id}; next step: copy the "
                f"checkpoint of {record.run_id} there"
            )
        network = models.construct(trained, hyperparameters["classes"])
        network.load_state_dict(network_state(content))
        classes = range(hyperparameters["classes"])
        names = list(hyperparameters["names"]) or [str(number) for number in classes]
        return cls(network, content["state_dict"]["mean"].clone(), names, record, trained).eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify images by their center view.

        Args:
            pixels: Shape (N, S, S, 3) or (N, 3, S, S), uint8; S is at least the crop.

        Returns:
            Logits, shape (N, classes).
        """
        return self.network(to_input(center_crop(channels_last(pixels), self.crop), self.mean))

    def preprocess(self, images: Sequence[Picture]) -> Tensor:
        """Read images, scale their short side to ``size`` and crop the center (§2).

        Args:
            images: Paths, or Pillow images.

        Returns:
            Pixels, shape (N, size, size, 3), uint8, on the device of the network.

        Raises:
            ConfigError: A file is not an image.
            OSError: A file cannot be read.
        """
        pixels = [torch.tensor(_read(image, self.size)) for image in images]
        return torch.stack(pixels).to(self.mean.device)

    @torch.no_grad()
    def predict(self, images: Sequence[Picture] | Tensor, views: str = "ten_view") -> Tensor:
        """Return the probability of each class for each image.

        Args:
            images: As for :meth:`preprocess`, or the pixels that it returns.
            views: ``ten_view`` averages the probabilities of the four corners, the center and
                their mirror images (§4.1); ``center`` uses only the center.

        Returns:
            Shape (N, classes), float32; each row sums to 1.

        Raises:
            ConfigError: A file is not an image, or ``views`` is not valid.
        """
        if views not in VIEWS:
            raise ConfigError(f"views={views}: must be {' or '.join(VIEWS)}")
        rows = [torch.empty(0, len(self.classes), device=self.mean.device)]
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            pixels = part if isinstance(part, Tensor) else self.preprocess(part)
            if views == "center":
                rows.append(self(pixels).softmax(1))
            else:
                crops = ten_views(channels_last(pixels), self.crop)
                logits = self.network(to_input(crops.flatten(0, 1), self.mean))
                rows.append(average_probabilities(logits.view(*crops.shape[:2], -1)))
        return torch.cat(rows)

    def top(self, probabilities: Tensor, count: int = 5) -> list[tuple[str, float]]:
        """Return the most probable classes of one image with their probabilities.

        Args:
            probabilities: One row of the result of :meth:`predict`.
            count: Maximum number of classes.
        """
        values, numbers = probabilities.topk(min(count, len(self.classes)))
        return [
            (self.classes[n], p) for n, p in zip(numbers.tolist(), values.tolist(), strict=True)
        ]


def _read(image: Picture, size: int) -> Any:
    if isinstance(image, Image.Image):
        return square(image, size)
    content = Path(image).read_bytes()
    try:
        return decode(content, size)
    except Exception:  # decoders raise errors of many types
        raise ConfigError(
            f"{image}: damaged, or not an image that Pillow can read; next step: convert it to "
            "PNG or JPEG, or remove it"
        ) from None
