"""The LightningDataModule: training, validation and test images of one run."""

import pytorch_lightning as pl
import torch
from torch import distributed

from ablations.config import Run
from ablations.data.loading import (
    Batch,
    EpochBatches,
    EvaluationBatches,
    Loader,
    PixelBatches,
    ResumableLoader,
)
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
    """

    def __init__(self, run: Run, store: Store) -> None:
        super().__init__()
        self.store = store
        train, val = store.split(run.data.train_limit, run.data.val_size)
        self.train_rows = train
        self.train_images = PixelBatches(store.train_images, store.train_labels, train)
        self.val_images = PixelBatches(store.train_images, store.train_labels, val)
        self.test_images = PixelBatches(store.test_images, store.test_labels)
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

    def train_dataloader(self) -> Loader:
        batches = EpochBatches(
            len(self.train_images), self.batch_size, self.order_seed, *self._rank_and_world
        )
        return ResumableLoader(self.train_images, batches)

    def val_dataloader(self) -> Loader:
        return self._load_once(self.val_images, self.batch_size)

    @property
    def test_splits(self) -> list[str]:
        """Names of the loaders of :meth:`test_dataloader`; ``center`` has the test images."""
        return ["train", *(["val"] if len(self.val_images) else []), "center"]

    def test_dataloader(self) -> list[Loader]:
        """Return loaders of the training, validation and test images, in this order."""
        train = self._load_once(self.train_images, self.batch_size)
        val = [self._load_once(self.val_images, self.batch_size)] if len(self.val_images) else []
        test = self._load_once(self.test_images, max(1, self.batch_size // VIEWS_PER_IMAGE))
        return [train, *val, test]

    def predict_dataloader(self) -> Loader:
        return self._load_once(self.test_images, self.batch_size)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        # Lightning's default would search nested collections in every step.
        return Batch(*(part.to(device, non_blocking=True) for part in batch))

    def _load_once(self, images: PixelBatches, batch_size: int) -> Loader:
        shares = EvaluationBatches(len(images), batch_size, *self._rank_and_world)
        return Loader(images, shares)

    @property
    def _rank_and_world(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size
