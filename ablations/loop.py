"""Lightning's loop over the batches of an epoch, less the hooks of a step that nobody has."""

from typing import Any

from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor

# Lightning's hooks of a step that the loop below does not call.
_OF_ANY = (
    *("on_before_zero_grad", "on_before_backward", "on_after_backward"),
    "on_before_optimizer_step",
)
_OF_THE_MODULE = (
    *("on_train_batch_start", "on_train_batch_end", "backward", "optimizer_step"),
    *("optimizer_zero_grad", "configure_gradient_clipping", "lr_scheduler_step"),
    *("on_before_batch_transfer", "on_after_batch_transfer"),
)


class EpochLoop(_TrainingEpochLoop):
    """Trains on one batch after another: the module's step, the update, the callbacks.

    Lightning looks for some thirty hooks at every step, in the module and in each callback, gathers
    metrics that no ``self.log`` has sent, and, with several processes, waits for a word on SIGTERM
    from the first of them. That takes 2,000 Python calls, 3 to 4 % of a step of ``cifar_conv``.
    Of those hooks this loop calls the callbacks' ``on_train_batch_start`` and
    ``on_train_batch_end``.
    Everything around an epoch, checkpoints and their continuation are Lightning's.
    """

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Refuse hooks that would never be called.

        Raises:
            TypeError: The module or a callback has one.
        """
        trainer: Any = self.trainer
        module = trainer.lightning_module
        hooks = [(module, hook) for hook in (*_OF_ANY, *_OF_THE_MODULE)]
        hooks += [(callback, hook) for callback in trainer.callbacks for hook in _OF_ANY]
        for owner, hook in hooks:
            if is_overridden(hook, owner):
                raise TypeError(
                    f"{type(owner).__name__}.{hook} would never be called: ablations/loop.py calls "
                    "the callbacks' on_train_batch_start and on_train_batch_end in a step. Use "
                    "these, or leave out EpochLoop in ablations/train.py"
                )
        super().on_run_start(data_fetcher)

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Train on the next batch.

        Raises:
            StopIteration: There is none.
        """
        if self.restarting:  # the first step of a continued run settles what the checkpoint left
            super().advance(data_fetcher)
            return
        trainer: Any = self.trainer
        module = trainer.lightning_module
        batch, _, _ = next(data_fetcher)
        batch_idx = self.batch_idx + 1
        batch = trainer.datamodule.transfer_batch_to_device(batch, trainer.strategy.root_device, 0)
        self.batch_progress.is_last_batch = data_fetcher.done
        self.batch_progress.increment_ready()
        self.batch_progress.increment_started()
        for callback in trainer.callbacks:
            callback.on_train_batch_start(trainer, module, batch, batch_idx)
        optimizer = trainer.optimizers[0]
        outputs: dict[str, Any] = {}

        def closure() -> Tensor:
            loss: Any = trainer.strategy.training_step(batch, batch_idx)
            optimizer.zero_grad()
            loss.backward()
            outputs["loss"] = loss.detach()
            return outputs["loss"]

        steps = self.automatic_optimization.optim_progress.optimizer.step
        steps.increment_ready()
        optimizer.step(closure)
        steps.increment_completed()
        self.batch_progress.increment_processed()
        for callback in trainer.callbacks:
            callback.on_train_batch_end(trainer, module, outputs, batch, batch_idx)
        self.batch_progress.increment_completed()

    def on_advance_end(self, data_fetcher: _DataFetcher) -> None:
        """Validate after the last batch."""
        if self._num_ready_batches_reached() or self.trainer.should_stop:
            super().on_advance_end(data_fetcher)
        else:
            self._batches_that_stepped += 1
