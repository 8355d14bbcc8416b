"""One run, from its frozen configuration to its record.

``python -m ablations.train RUN_FOLDER`` trains it on one device; on several, torchrun starts that
command once for each.
"""

import argparse
import ctypes
import io
import logging
import os
import platform
import signal
import subprocess
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed
from torch.distributed.elastic.multiprocessing.errors import record as recorded

from ablations import networks
from ablations.callbacks import (
    AtomicCheckpointIO,
    EpochSaver,
    History,
    Progress,
    Saver,
    latest_checkpoint,
)
from ablations.classifier import Classifier
from ablations.config import NUMERICS, Accelerator, ConfigError, Job
from ablations.data.executors import cpu_flags
from ablations.data.store import Store
from ablations.datamodule import Images
from ablations.errors import plain_errors
from ablations.files import write_atomically
from ablations.loggers import ReplayMetrics, build_logger, close_logger, log_record
from ablations.neighbors import neighbor_agreement
from ablations.networks.pretrained import transfer
from ablations.record import PREDICTIONS, Hardware, Record, describe_data, load, pack
from ablations.techniques.augmentation import to_input
from ablations.techniques.evaluation import center_crop
from ablations.techniques.towers import tower_colors

# Parameters of mallopt, as malloc.h numbers them.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


class ConstantBuffersDDP(DDPStrategy):
    """DDP that broadcasts buffers once, not in every step.

    The mean image and the color axes never change, and the statistics of a batch normalization
    are those of the global batch on every rank.
    """

    def configure_ddp(self) -> None:
        """Wrap the module; see :class:`DDPStrategy`."""
        super().configure_ddp()
        # An argument of DDP's would warn: its name is about to change.
        self.model.broadcast_buffers = False  # pyright: ignore


@recorded  # torchrun shows the traceback of the rank that failed first
def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the command.

    Raises:
        SystemExit: With one line where the folder or the number of processes does not fit.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ablations.train",
        description="Train a frozen run, or continue it, and write its record.",
        epilog="On several devices: torchrun --standalone --nproc-per-node=N -m ablations.train "
        "RUN_FOLDER",
    )
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="holds its config.yaml")
    folder = parser.parse_args(arguments).folder
    with plain_errors(folder):
        job = _frozen(folder)
        if load(folder) is not None:
            return
        if os.environ.get("RANK", "0") != "0":
            train(job, folder)
            return
        try:
            with FileLock(folder / "lock", timeout=0):
                train(job, folder)
        except Timeout:
            raise ConfigError(f"{folder}: another process trains this run at the moment") from None


def _frozen(folder: Path) -> Job:
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"{folder}: is not the folder of a run; `python ablations/run.py` makes one in runs/"
        )
    job = Job.load(folder)
    devices, nodes = job.trainer.devices, job.trainer.num_nodes
    if int(os.environ.get("WORLD_SIZE", "1")) != devices * nodes:
        raise ConfigError(
            f"{folder}: is to be trained by {devices * nodes} processes, here are "
            f"{os.environ.get('WORLD_SIZE', '1')}; torchrun --nnodes={nodes} "
            f"--nproc-per-node={devices} -m ablations.train {folder}"
        )
    return job


def train_folder(folder: Path) -> None:
    """Train the run whose ``config.yaml`` lies in ``folder``; see :func:`train`."""
    train(Job.load(folder), folder)


def train(job: Job, folder: Path) -> None:
    """Train, evaluate and record ``job`` in ``folder``, continuing from its checkpoint if any.

    Under torch's elastic agent every rank calls this; rank 0 writes.

    Args:
        job: The run and its hardware.
        folder: The run's folder.

    Raises:
        ConfigError: It is to be trained on a GPU, and there is none.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # The folder of a run holds its configuration before its checkpoint.
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    # On a login node Lightning misses `srun`; whether SLURM takes part is the launcher's to say.
    warnings.filterwarnings("ignore", "The `srun` command is available")
    # One gather a batch leaves nothing for worker processes to do.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # Lightning 2.6 with a later torch.
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
    # trainer=cpu is what was asked for.
    warnings.filterwarnings("ignore", "GPU available but not used")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # float32 is float32: cuDNN would round the factors of convolutions to ten bits.
    torch.backends.cudnn.allow_tf32 = False
    store = Store.open(Path(job.store))
    images = Images(job.run, store, rank, world)
    module = Classifier.of_store(job.run, store, len(images.train_images))
    if job.weights:
        transfer(module.network, Path(job.weights))
    history = History(job.run.recipe)
    saver = Saver(folder, job.trainer.checkpoint_steps)
    logger = build_logger(job, folder) if rank == 0 else None
    threads = job.trainer.threads or 1
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # or Lightning's DDP would choose another number
    keep_freed_memory()
    exit_code = 1
    try:
        trainer = pl.Trainer(
            accelerator=_accelerator(job.trainer.accelerator),
            devices=here,
            num_nodes=world // here,
            # Named, or Lightning would look for SLURM, and take the ranks for SLURM's tasks.
            plugins=[
                TorchElasticEnvironment() if world > 1 else LightningEnvironment(),
                AtomicCheckpointIO(),
            ],
            strategy=ConstantBuffersDDP(gradient_as_bucket_view=True) if world > 1 else "auto",
            precision=job.run.recipe.precision.lightning,
            max_epochs=job.run.recipe.epochs,
            fast_dev_run=job.fast_dev_run,
            logger=logger or False,
            callbacks=[
                history,
                Progress(folder),
                ReplayMetrics(history),
                saver,
                EpochSaver(folder, saver),
            ],
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            log_every_n_steps=0,
            default_root_dir=folder,
        )
        if not job.run.data.val_size:
            trainer.limit_val_batches = 0  # as an argument `fast_dev_run` would overrule it
        trainer.fit(module, images, ckpt_path=latest_checkpoint(folder))
        if not history.diverged:
            trainer.test(module, images, verbose=False)
        if not job.fast_dev_run:
            _finish(job, folder, trainer, module, images, history, logger)
        if world > 1:
            # Lightning leaves gloo's threads running; one that needs the interpreter while it ends
            # aborts the process (pytorch/pytorch#179291).
            distributed.destroy_process_group()
        exit_code = 0
    except SystemExit as error:
        exit_code = error.code if isinstance(error.code, int) else 1
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        close_logger(logger, exit_code)


def _accelerator(wanted: Accelerator) -> str:
    available = torch.cuda.is_available()
    if wanted is Accelerator.gpu and not available:
        raise ConfigError(
            "trainer.accelerator=gpu, but torch sees no GPU here; check `nvidia-smi`, "
            "CUDA_VISIBLE_DEVICES and that torch is a CUDA build"
        )
    return "gpu" if available and wanted is not Accelerator.cpu else "cpu"


def keep_freed_memory() -> None:
    """Have the C library reuse freed memory instead of returning it to the operating system.

    Every step allocates the same tensors again, and pages that come fresh from the kernel are a
    large part of a step of AlexNet on a CPU (``python -m benchmarks kept``); see mallopt(3).
    Nothing happens where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _finish(
    job: Job,
    folder: Path,
    trainer: pl.Trainer,
    module: Classifier,
    images: Images,
    history: History,
    logger: Logger | None,
) -> None:
    store = images.store
    scores, predictions = {}, {}
    if not history.diverged:
        scores, predictions = module.scores(), _gather(module.seen)
    if not trainer.is_global_zero:
        return
    predicted, colors, neighbors = {}, [], None
    device = trainer.strategy.root_device  # the module is on the host by now
    if predictions:
        predictions = _in_order(predictions, len(store.test_images))
        _save_predictions(folder, predictions, store.test_labels)
        predicted = {view: pack(table.argmax(1)) for view, table in predictions.items()}
        colors = tower_colors(module.network.get_parameter("conv1.weight").detach().cpu().numpy())
        network: Any = module.network.to(device).eval()
        mean, crop = module.mean.to(device), job.run.data.crop
        neighbors = neighbor_agreement(
            store,
            images.train_rows,
            lambda pixels: to_input(center_crop(pixels, crop), mean),
            lambda x: networks.features(network, x),
            device,
        )
    samples = history.curve[-1].samples if history.curve else 0
    record = Record(
        run_id=job.run.run_id,
        numerics=NUMERICS,
        status="diverged" if history.diverged else "finished",
        experiment=job.experiment,
        arm=job.arm,
        seed=job.run.seed,
        differences=job.run.differences,
        evaluation=job.run.techniques.evaluation.value,
        data=describe_data(
            job.run,
            classes=len(store.classes),
            train_images=len(images.train_images),
            val_images=len(images.val_images),
            test_images=len(images.test_images),
            skipped=len(store.skipped),
        ),
        parameters=sum(p.numel() for p in module.network.parameters() if p.requires_grad),
        epochs=len(history.curve),
        steps=trainer.global_step,
        samples=samples,
        train=scores.get("train"),
        val=scores.get("val"),
        test={view: scores[view] for view in ("center", "ten_view") if view in scores},
        curve=history.curve,
        online_loss=history.online_loss,
        labels=pack(store.test_labels),
        predicted=predicted,
        colors=colors,
        neighbors=neighbors,
        seconds=history.seconds,
        evaluation_seconds=history.evaluation_seconds,
        images_per_second=samples / history.seconds,
        hardware=Hardware(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            device=device_name(device),
            devices=trainer.world_size,
            threads=torch.get_num_threads(),
            cpu_flags=cpu_flags(),
        ),
        provenance=provenance(),
    )
    record.save(folder)
    if logger is not None:
        log_record(logger, record)


def _in_order(predictions: dict[str, np.ndarray], images: int) -> dict[str, np.ndarray]:
    """Probabilities by view in the order of the store, each test image exactly once."""
    seen = predictions["index"]
    if not np.array_equal(np.sort(seen), np.arange(images)):
        raise RuntimeError(f"{len(seen)} test predictions are not one for each of {images} images")
    order = np.argsort(seen)
    return {view: table[order] for view, table in predictions.items() if view != "index"}


def _save_predictions(folder: Path, predictions: dict[str, np.ndarray], labels: np.ndarray) -> None:
    # Eight bits of each probability are enough for ensembles, and compress to half the size.
    compact = {view: _rounded(table) for view, table in predictions.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, labels=labels.astype(np.uint16), **compact)
    write_atomically(folder / PREDICTIONS, buffer.getvalue())


def _rounded(probabilities: np.ndarray) -> np.ndarray:
    """Round to seven significant bits as float16; what is below 2**-14 becomes 0."""
    bits = probabilities.astype(np.float16).view(np.uint16).astype(np.uint32)
    short = ((bits + 8) & 0xFFF0).astype(np.uint16).view(np.float16)
    return np.where(short < 2.0**-14, np.float16(0), short)


def _gather(seen: list[tuple[torch.Tensor, ...]]) -> dict[str, np.ndarray]:
    """Predictions of all processes: image numbers and probabilities in the two views."""
    parts = [torch.cat(column).cpu().numpy() for column in zip(*seen, strict=True)]
    if distributed.is_initialized():
        shares: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(shares, parts)
        parts = [np.concatenate(column) for column in zip(*shares, strict=True)]
    return dict(zip(("index", "center", "ten_view"), parts, strict=True))


def provenance() -> dict[str, Any]:
    """Return the versions and the commit behind a record, and the time of its completion."""
    packages = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "alexnet-ablations")
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **_commit(),
    }


def _commit() -> dict[str, Any]:
    here = Path(__file__).resolve().parent
    git = ("git", "-C", str(here))
    try:
        head = subprocess.run((*git, "rev-parse", "HEAD"), capture_output=True, text=True)
        if head.returncode:  # an installed package, outside a clone
            return {"commit": None, "dirty": None}
        status = subprocess.run(
            (*git, "status", "--porcelain", "--", "."), capture_output=True, text=True
        )
        return {"commit": head.stdout.strip(), "dirty": bool(status.stdout.strip())}
    except FileNotFoundError:  # no git
        return {"commit": None, "dirty": None}


def device_name(device: torch.device) -> str:
    """Name of a card, or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
