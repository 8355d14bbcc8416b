"""Train a run from its frozen configuration to its record."""

import ctypes
import logging
import os
import signal
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from ablations.config import Accelerator, ConfigError, Job, Precision
from ablations.data.datamodule import Images
from ablations.data.store import Store
from ablations.models.pretrained import transfer
from ablations.training.callbacks import build_callbacks
from ablations.training.checkpoints import (
    AtomicCheckpointIO,
    Saver,
    latest_checkpoint,
    stop_now,
)
from ablations.training.classifier import Classifier
from ablations.training.history import History
from ablations.training.loggers import build_logger, close_logger, final_metrics
from ablations.training.progress import Progress
from ablations.training.result import write_record

# Parameters of mallopt, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


# Warnings of Lightning and torch that do not apply.
WARNINGS = (
    "The `srun` command is available",  # the launcher decides whether to use SLURM
    ".*does not have many workers",  # a batch is a single gather
    ".*LeafSpec.* is deprecated",  # Lightning 2.6 with a later torch
    "GPU available but not used",  # trainer=cpu was chosen
    "`broadcast_buffers` is deprecated",  # older torch has no `forward_sync_buffers`
)


def train(job: Job, folder: Path) -> None:
    """Train and evaluate ``job``, from its checkpoint if there is one, and write its record.

    Under torch's elastic agent every rank calls this; rank 0 writes.

    Args:
        job: The run and its hardware.
        folder: The run's folder.

    Raises:
        ConfigError: The data are missing, damaged or not those of the run, or a GPU is required
            and there is none.
    """
    signal.signal(signal.SIGTERM, stop_now)
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # With TF32, cuDNN would round the inputs of convolutions to ten mantissa bits.
    torch.backends.cudnn.allow_tf32 = False
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    store = Store.of_run(Path(job.store), job.run)
    images = Images(job.run, store)
    module = Classifier.of_store(job.run, store, len(images.train_images))
    if job.weights:
        transfer(module.network, Path(job.weights))
    threads = job.trainer.threads or 1
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # otherwise set by Lightning's DDP
    keep_freed_memory()
    history = History(job.run.recipe)
    logger = build_logger(job, folder) if rank == 0 else None
    exit_code = 1
    try:
        trainer = build_trainer(job, folder, history, logger, world)
        trainer.fit(module, images, ckpt_path=latest_checkpoint(folder, job.run))
        if not history.diverged:
            trainer.test(module, images, verbose=False)
        if not job.fast_dev_run:
            record = write_record(job, folder, trainer, module, images, history)
            if logger is not None and record is not None:
                logger.log_metrics(final_metrics(record), step=record.steps)
        if world > 1:
            # Lightning leaves gloo's threads running; if one needs the interpreter during shutdown,
            # the process aborts (pytorch/pytorch#179291).
            distributed.destroy_process_group()
        exit_code = 0
    except SystemExit as error:
        exit_code = error.code if isinstance(error.code, int) else 1
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        close_logger(logger, exit_code)


def build_trainer(
    job: Job, folder: Path, history: History, logger: Logger | None, world: int
) -> pl.Trainer:
    """Return the trainer of a run, with its callbacks.

    Args:
        job: The run and its hardware.
        folder: The run's folder.
        history: The callback that records the learning curve.
        logger: The logger of rank 0; None without one.
        world: Number of processes.
    """
    local_world = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    trainer = pl.Trainer(
        accelerator=_accelerator(job.trainer.accelerator),
        devices=local_world,
        num_nodes=world // local_world,
        # Set explicitly, because Lightning would detect SLURM and treat the ranks as its tasks.
        plugins=[
            TorchElasticEnvironment() if world > 1 else LightningEnvironment(),
            AtomicCheckpointIO(),
        ],
        # Buffers are the same on every rank: the mean image and the color axes never change, and
        # batch normalization uses the statistics of the global batch.
        strategy=DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
        if world > 1
        else "auto",
        precision="bf16-mixed" if job.run.recipe.precision is Precision.bf16 else "32-true",
        max_epochs=job.run.recipe.epochs,
        check_val_every_n_epoch=job.trainer.check_val_every_n_epoch,
        fast_dev_run=job.fast_dev_run,
        logger=logger or False,
        callbacks=[
            history,
            Progress(folder),
            *build_callbacks(job.run.callbacks),
            Saver(folder, job.trainer.checkpoint_steps),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=0,
        default_root_dir=folder,
    )
    if not job.run.data.val_size:
        trainer.limit_val_batches = 0  # `fast_dev_run` would override the argument
    return trainer


def _accelerator(wanted: Accelerator) -> str:
    available = torch.cuda.is_available()
    if wanted is Accelerator.gpu and not available:
        raise ConfigError(
            "trainer.accelerator=gpu: torch finds no GPU; next step: check `nvidia-smi`, "
            "CUDA_VISIBLE_DEVICES, and that torch is a CUDA build"
        )
    return "gpu" if available and wanted is not Accelerator.cpu else "cpu"


def keep_freed_memory() -> None:
    """Make the C library reuse freed memory instead of returning it to the operating system.

    Every step allocates the same tensors again, and new pages from the kernel take time; see
    mallopt(3). Without glibc, this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
