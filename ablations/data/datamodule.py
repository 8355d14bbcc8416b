"""The LightningDataModule: training, validation and test images of one run."""

import pytorch_lightning as pl
import torch
from torch import distributed

from ablations.config import Run
from ablations.data.loading import Batch, EvaluationLoader, PixelBatches, TrainingLoader
from ablations.data.store import Store
from ablations.rng import derive

# Each test image is evaluated in ten views, so a test batch has a tenth of the images.
VIEWS_PER_IMAGE = 10
# Share of free GPU memory for images; the network, gradients and activations need the rest.
RESIDENT_SHARE = 0.3


class Images(pl.LightningDataModule):
    """Provides batches of stored images; the classifier augments them on the device.

    Args:
        run: The run.
        store: The prepared data.

    Attributes:
        train_rows: Rows of the stored training images to train on, shape (N,), int64.
        test_splits: Names of the loaders of :meth:`test_dataloader`: ``train``, ``val`` if there
            are validation images, and ``center``, the test images.
    """

    def __init__(self, run: Run, store: Store) -> None:
        super().__init__()
        self.store = store
        train, val = store.split(run.data.train_limit, run.data.val_size)
        self.train_rows = train
        self.train_images = PixelBatches(store.train_images, store.train_labels, train)
        self.val_images = PixelBatches(store.train_images, store.train_labels, val)
        self.test_images = PixelBatches(store.test_images, store.test_labels)
        self.test_splits = ["train", "val", "center"] if len(val) else ["train", "center"]
        self.batch_size = run.recipe.batch_size
        self.order_seed = derive(run.seed, "stream", run.replicate)

    def setup(self, stage: str) -> None:
        """Copy the pixels to the GPU if they fit, so that training copies none."""
        assert self.trainer is not None
        processes = distributed.get_world_size() if distributed.is_initialized() else 1
        assert processes == self.trainer.world_size, "images would be skipped or used twice"
        device = self.trainer.strategy.root_device
        if device.type != "cuda":
            return
        sets = (self.train_images, self.val_images, self.test_images)
        free, _ = torch.cuda.mem_get_info(device)
        if sum(images.nbytes for images in sets) < RESIDENT_SHARE * free:
            for images in sets:
                images.to(device)

    def train_dataloader(self) -> TrainingLoader:
        return TrainingLoader(
            self.train_images, self.batch_size, self.order_seed, *self._rank_and_world
        )

    def val_dataloader(self) -> EvaluationLoader:
        return self._load_once(self.val_images, self.batch_size)

    def test_dataloader(self) -> list[EvaluationLoader]:
        """Return a loader for each of ``test_splits``."""
        train = self._load_once(self.train_images, self.batch_size)
        val = [self._load_once(self.val_images, self.batch_size)] if len(self.val_images) else []
        test = self._load_once(self.test_images, max(1, self.batch_size // VIEWS_PER_IMAGE))
        return [train, *val, test]

    def predict_dataloader(self) -> EvaluationLoader:
        return self._load_once(self.test_images, self.batch_size)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        # Lightning's default would search nested collections in every step.
        return Batch(*(part.to(device, non_blocking=True) for part in batch))

    def _load_once(self, images: PixelBatches, batch_size: int) -> EvaluationLoader:
        return EvaluationLoader(images, batch_size, *self._rank_and_world)

    @property
    def _rank_and_world(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size
