"""The Lightning module that trains a Transformer: training steps, validation, and contents of checkpoints."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from translator import console
from translator.config import Config
from translator.data.batching import START, Batch, Position
from translator.engine.backend import choose_training_backend, training_engine
from translator.engine.reference import ReferenceTraining
from translator.engine.replicas import Replicas
from translator.engine.training import TrainingEngine
from translator.errors import TrainingError, is_out_of_memory
from translator.model.transformer import Transformer
from translator.symbols import PAD
from translator.training.checkpoint import STATE, check_vocabulary, diverged, refuse_divergence
from translator.training.computed_with import computed_with, note_difference
from translator.training.data import TranslationData, ValidationLines
from translator.training.data_record import vocabulary_digest
from translator.training.optimizer import build_optimizer
from translator.training.schedule import Progress, learning_rate
from translator.training.validation import Validation

DOES_NOT_FIT = "the checkpoint to resume from does not fit; leave --resume out to start another run"

#: Maximum number of replicas (see `Replicas`) if the configuration does not set their number. More replicas
#: were not measured.
MAX_REPLICAS = 4


class TranslationModule(LightningModule):
    """A model in training: loss, optimiser, learning rate, budget, and validation by beam search."""

    def __init__(self, model: Transformer, config: Config):
        """Wrap a model that is to be trained. Freeze the parts of it that `train.freeze` names."""
        super().__init__()
        self.model, self.config = model, config
        for name in config.train.freeze:
            part = model.embedding if name == "embeddings" else model.get_submodule(name)
            part.requires_grad_(False)  # the optimiser skips parameters without a gradient
        self.progress = Progress()
        self.position = START
        #: Translations of the validation split that the last validation made.
        self.hypotheses: list[str] = []
        #: Backend, precision, number of replicas and number of threads. They are recorded when training
        #: starts, because results are rounded differently if one of them changes.
        self.computed_with: dict[str, Any] | None = None
        #: `computed_with` of the session that wrote the checkpoint from which this session resumed.
        self._computed_before: dict[str, Any] | None = None
        self._clock: float | None = None
        # Sum of the losses since the last checkpoint. It becomes a tensor, because converting each loss to a
        # float would wait for the GPU.
        self._loss_since_save: Tensor | float = 0.0
        self._engine: TrainingEngine | ReferenceTraining | None = None
        self._replicas: Replicas | None = None
        self._threads = 1
        self._validation: Validation | None = None

    # -- training ----------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Choose the backend, and start the replicas if there are several."""
        backend, reason = choose_training_backend(self.config.hardware.backend, self.device.type)
        if reason is not None:
            rank_zero_only(console.note)(f"training by PyTorch's operations, a fifth slower: {reason}")
        self._engine = training_engine(self.model, backend)
        n_replicas, self._threads = self._n_replicas(), torch.get_num_threads()
        precision, device = str(self.trainer.precision), self.device
        self.computed_with = computed_with(
            backend, precision, replicas=n_replicas, threads=self._threads, device=device
        )
        rank_zero_only(note_difference)(self._computed_before, self.computed_with)
        if n_replicas > 1 and isinstance(self._engine, TrainingEngine):
            threads_each = max(1, self._threads // n_replicas)
            self._replicas = Replicas(self._engine, n_replicas=n_replicas, threads_each=threads_each)
            # Outside the replicas, only short operations remain. More threads would hardly speed these up,
            # and would cost much time when other processes keep the cores busy.
            torch.set_num_threads(1)

    def _n_replicas(self) -> int:
        """Return the number of replicas.

        It is 1 on a GPU, in distributed training and with the reference engine. Otherwise, it is the
        configured number or, if none is configured, the number of threads up to `MAX_REPLICAS`.
        """
        is_single_cpu_process = self.device.type == "cpu" and self.trainer.world_size == 1
        if not is_single_cpu_process or isinstance(self._engine, ReferenceTraining):
            return 1
        return self.config.hardware.replicas or min(torch.get_num_threads(), MAX_REPLICAS)

    def teardown(self, stage: str) -> None:
        """Stop the replicas' threads. Calling this method again has no effect."""
        if self._replicas is not None:
            self._replicas.close()
            self._replicas = None
            torch.set_num_threads(self._threads)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the random seed and the learning rate.

        The random generators get a new seed for each batch. A resumed run is therefore reproducible although
        checkpoints do not contain the states of the generators.
        """
        trainer = self.trainer
        seed = (self.config.train.seed * 1_000_003 + trainer.global_step) * 1_000_003 + batch_idx
        seed = (seed * trainer.world_size + trainer.global_rank) % 2**62
        # `torch.manual_seed` also seeds the generators of all other kinds of devices, which is slow.
        (torch.default_generator if self.device.type == "cpu" else torch).manual_seed(seed)
        if self._replicas is not None:
            self._replicas.seed(seed)
        if self._clock is None:
            self._clock = time.monotonic()
        rate = learning_rate(self.config.train, self.progress)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.log("learning_rate", rate)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss, scaled so that a step minimises the mean loss per target token of all its batches.

        Lightning averages gradients over accumulated batches and over ranks. The scale undoes both averages,
        and divides by the number of target tokens in the whole step, without padding.
        """
        scale = self.config.train.accumulate * self.trainer.world_size / batch.n_step_tokens
        shard_loss = partial(self._shard_loss, factor=scale)
        if self._replicas is None:
            loss, nll = shard_loss(self._engine, batch)
        else:
            loss, nll = self._replicas.forward_backward(batch, shard_loss)
        self._loss_since_save = self._loss_since_save + loss.detach()
        self.log("train_loss", nll / (batch.target_out != PAD).sum())
        return loss

    def _shard_loss(
        self, engine: TrainingEngine | ReferenceTraining | None, batch: Batch, *, factor: float
    ) -> tuple[Tensor, Tensor]:
        """Return two sums over a batch: `factor` times the smoothed loss, and the negative log-likelihood."""
        assert engine is not None
        # Autocast is entered here, in the replica's thread, because it is a setting of the current thread.
        with self.trainer.precision_plugin.forward_context():
            smoothed, nll = engine.loss(batch, self.config.train.label_smoothing)
        return smoothed * factor, nll

    def record_step(self, batch: Batch) -> None:
        """Update the progress after an optimiser step, before any callback saves a checkpoint."""
        self.position = batch.position
        self.progress.steps = self.trainer.global_step
        self.progress.epochs = batch.epochs
        self.progress.target_tokens += batch.n_step_tokens
        self.count_time()

    def count_time(self) -> None:
        """Increase `progress.seconds` by the time since the previous call. Stop if the budget is used up.

        The first call adds the time since the start of this session's first step.
        """
        now = time.monotonic()
        assert self._clock is not None
        elapsed, self._clock = now - self._clock, now
        if self.trainer.world_size > 1:  # all ranks use the first rank's clock, so that they stop together
            elapsed = self.trainer.strategy.broadcast(elapsed)
        self.progress.seconds += elapsed
        if self.progress.fraction(self.config.train) >= 1:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the configured optimiser."""
        dtypes = {"bf16-mixed": torch.bfloat16, "64-true": torch.float64}
        dtype = dtypes.get(str(self.trainer.precision), torch.float32)
        return build_optimizer(
            self, self.config.train, fused=self._fused, product_dtype=dtype, map_function=self._map
        )

    def _map(self, function: Callable[[Any], None], items: Iterable[Any]) -> Iterable[None]:
        return (map if self._replicas is None else self._replicas.map)(function, items)

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients by norm.

        If AdamW is fused, Lightning's own implementation cannot be used, because it rejects fused optimisers.
        """
        if not self._fused:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val, foreach=True)

    @property
    def _fused(self) -> bool:
        """Whether to use fused AdamW.

        It is not used with float16, because it would unscale the gradients only after they were clipped.
        """
        return str(self.trainer.precision) != "16-mixed"

    # -- checkpoints -------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the progress of the run to a checkpoint, in a form that loads with `weights_only=True`.

        Raises:
            TrainingError: the training has diverged: a weight, or a loss since the last checkpoint, is not
                finite. In that case, no rank writes the checkpoint.
        """
        refuse_divergence(checkpoint, steps=self.progress.steps)
        if str(self.trainer.precision) != "16-mixed":  # with float16, the scaler skips infinite losses
            loss = torch.as_tensor(self._loss_since_save, device=self.device)
            self._refuse_loss(float(self.trainer.strategy.reduce(loss, reduce_op="sum")))  # over all ranks
        self._loss_since_save = 0.0
        checkpoint[STATE] = {
            "progress": asdict(self.progress),
            "position": list(self.position),
            "vocabulary": vocabulary_digest(self.data.prepared),
            "computed_with": self.computed_with,
        }

    def _refuse_loss(self, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(diverged(f"the loss became {value}", steps=self.progress.steps))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the progress. The data loader is created afterwards, and starts at the restored position.

        Raises:
            TrainingError: the checkpoint was written by another version of this program or with another
                vocabulary.
        """
        check_vocabulary(checkpoint, vocabulary_digest(self.data.prepared))
        try:
            self.progress = Progress(**checkpoint[STATE]["progress"])
            self.position = Position(*checkpoint[STATE]["position"])
            self._computed_before = checkpoint[STATE].get("computed_with")
        except (TypeError, KeyError) as error:
            raise TrainingError(f"{DOES_NOT_FIT}: {error}") from None
        self.data.start = self.position
        # Lightning counts batches, of which a step has another number if the number of processes has changed.
        counts = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        more = self.progress.steps * self.config.train.accumulate - counts["current"]["ready"]
        for count in (counts["total"], counts["current"]):
            count.update({name: number + more for name, number in count.items()})

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights.

        Raises:
            TrainingError: the names or shapes of the weights are not those of this model.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[-1].strip()
            raise TrainingError(f"{DOES_NOT_FIT}: {reason}") from None

    @property
    def data(self) -> TranslationData:
        """The data module that the trainer uses."""
        data: TranslationData = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    # -- validation --------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Start a validation. It uses all threads, even if there are replicas."""
        if self._replicas is not None:
            torch.set_num_threads(self._threads)
        self._validation = Validation(self.model, self.config, self.data)

    def validation_step(self, batch: ValidationLines, batch_idx: int) -> None:
        """Compute the loss of a batch of lines and translate them.

        Raises:
            TrainingError: the loss is not finite. In that case, nothing is translated.
        """
        assert self._validation is not None
        loss = partial(self._shard_loss, self._engine, factor=1.0)
        self._refuse_loss(self._validation.add_loss(batch, loss, self.device))
        with torch.autocast(self.device.type, enabled=False):  # in float32, as in `translator evaluate`
            self._validation.translate(batch)

    def on_validation_epoch_end(self) -> None:
        """Combine the results of all ranks, and log the metrics, which are the same on every rank."""
        if self._replicas is not None:
            torch.set_num_threads(1)
        assert self._validation is not None
        metrics, self.hypotheses = self._validation.gather(self.trainer.world_size)
        self.log_dict(metrics)
