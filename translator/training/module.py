"""One training step and one validation: a thin Lightning module around the plain model."""

import gc
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, distributed, nn

from translator import console
from translator.config import Config
from translator.data.batching import START, Batch, Position, make_batch
from translator.engine.backend import choose_training_backend, training_engine
from translator.engine.reference import ReferenceTraining
from translator.engine.replicas import Replicas
from translator.engine.training import TrainingEngine
from translator.errors import TrainingError, is_out_of_memory
from translator.evaluation.metrics import bleu
from translator.model.transformer import Transformer
from translator.symbols import PAD
from translator.training.checkpoint import STATE, check_vocabulary, diverged, refuse_divergence
from translator.training.data import VALIDATION_CHUNK, TranslationData, ValidationLines
from translator.training.data_record import vocabulary_digest
from translator.training.muon import Muon
from translator.training.schedule import Progress, learning_rate
from translator.translation.inference import Translator, learnt_single_sentences

DOES_NOT_FIT = "the checkpoint to go on from does not fit; leave --resume out to start another run"

#: Replicas on a machine with many cores, unless the configuration says otherwise; more were not measured.
MAX_REPLICAS = 4


class TranslationModule(LightningModule):
    """The model in training: loss, optimiser, learning rate, budget, validation by real search."""

    def __init__(self, model: Transformer, config: Config):
        """Take a model to train."""
        super().__init__()
        self.model, self.config = model, config
        self.progress = Progress()
        self.position = START
        self._clock: float | None = None
        self._hypotheses: dict[int, str] = {}
        self._validation_sums = [0.0, 0.0, 0.0]  # smoothed loss, negative log-likelihood, tokens
        self._loss_since_save: Tensor | float = 0.0  # on the device: a look at each step's would wait for it
        self._translator: Translator | None = None  # of the weights that are being validated
        self._engine: TrainingEngine | ReferenceTraining | None = None
        self._replicas: Replicas | None = None
        #: Backend, precision, replicas and threads; another combination rounds differently.
        self.computed_with: dict[str, Any] | None = None
        self._computed_before: dict[str, Any] | None = None
        self._threads = 1
        self._froze = False

    # -- training ----------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Choose the backend and start the replicas."""
        # Python looks through all its objects for unused ones every few seconds, 0.2 s each time, and nearly
        # all are those of imported modules: 2 % of the steps' time. These are left out from here on.
        if not gc.get_freeze_count():  # else the caller has settled it
            gc.freeze()
            self._froze = True
        backend, reason = choose_training_backend(self.config.hardware.backend, self.device.type)
        if reason is not None:
            self._note(f"hardware.backend: {reason}; training is a fifth slower")
        self._engine = training_engine(self.model, backend)
        n_replicas, self._threads = self._n_replicas(), torch.get_num_threads()
        self.computed_with = {
            "backend": backend,
            "precision": str(self.trainer.precision),
            "replicas": n_replicas,
            "threads": self._threads,
        }
        if self._computed_before not in (None, self.computed_with):
            before, now = (
                ", ".join(f"{k} {v}" for k, v in found.items())
                for found in (self._computed_before or {}, self.computed_with)
            )
            self._note(f"resumed with {now} after {before}: no longer bit for bit what one session gives")
        if n_replicas > 1 and isinstance(self._engine, TrainingEngine):
            threads_each = max(1, self._threads // n_replicas)
            self._replicas = Replicas(self._engine, n_replicas=n_replicas, threads_each=threads_each)
            # What is done between the shards is short; a second thread gains 1 % there, and beside another
            # busy process costs half of the whole speed.
            torch.set_num_threads(1)

    def _note(self, message: str) -> None:
        if self.trainer.is_global_zero:
            console.note(message)

    def _n_replicas(self) -> int:
        """One unless a CPU is ours alone and the engine has replicas."""
        alone = self.device.type == "cpu" and self.trainer.world_size == 1
        if not alone or isinstance(self._engine, ReferenceTraining):
            return 1
        return self.config.hardware.replicas or min(torch.get_num_threads(), MAX_REPLICAS)

    def teardown(self, stage: str) -> None:
        """End the threads; called again, it does nothing."""
        if self._froze:
            gc.unfreeze()
            self._froze = False
        if self._replicas is not None:
            self._replicas.close()
            self._replicas = None
            torch.set_num_threads(self._threads)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set what the step depends on: the random state and the learning rate.

        Dropout is drawn from a generator seeded anew for each batch, so that a run that goes on from a
        checkpoint needs no saved random state to be the same.
        """
        trainer = self.trainer
        seed = (self.config.train.seed * 1_000_003 + trainer.global_step) * 1_000_003 + batch_idx
        seed = (seed * trainer.world_size + trainer.global_rank) % 2**62
        torch.manual_seed(seed)
        if self._replicas is not None:
            self._replicas.seed(seed)
        if self._clock is None:
            self._clock = time.monotonic()
        rate = learning_rate(self.config.train, self.progress)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.log("learning_rate", rate)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss, scaled so that after Lightning's averaging the gradient is the per-token mean.

        Lightning divides by the batches accumulated and averages over ranks; both are undone, and the sum
        is divided by the real target tokens of the whole step.
        """
        undo = self.config.train.accumulate * self.trainer.world_size / batch.n_step_tokens
        shard_loss = partial(self._shard_loss, factor=undo)
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
        """`factor` times the smoothed loss, and the negative log-likelihood, summed over the batch."""
        assert engine is not None
        with self.trainer.precision_plugin.forward_context():  # a thread has its own
            smoothed, nll = engine.loss(batch, self.config.train.label_smoothing)
        return smoothed * factor, nll

    def record_step(self, batch: Batch) -> None:
        """Take in a finished step. Called before any callback saves a checkpoint."""
        self.position = batch.position
        self.progress.steps = self.trainer.global_step
        self.progress.epochs = batch.epochs
        self.progress.target_tokens += batch.n_step_tokens
        self.count_time()

    def count_time(self) -> None:
        """Add the time since the last call, or since the first step; stop where the budget is used up."""
        now = time.monotonic()
        assert self._clock is not None
        passed, self._clock = now - self._clock, now
        if self.trainer.world_size > 1:  # one clock for all ranks, so that they stop together
            passed = self.trainer.strategy.broadcast(passed)
        self.progress.seconds += passed
        if self.progress.share(self.config.train) >= 1:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, perhaps with Muon; weight decay on matrices only, not on biases and norms."""
        train = self.config.train
        inside = [part.weight for part in self.modules() if isinstance(part, nn.Linear)]
        by_muon = inside if train.optimizer == "muon" else []
        others = [p for p in self.parameters() if all(p is not matrix for matrix in by_muon)]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in others if p.dim() > 1], "weight_decay": train.weight_decay},
            {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
        ]
        options: dict[str, Any] = {"lr": train.learning_rate, "betas": train.adam_betas, "fused": self._fused}
        if not by_muon:
            return torch.optim.AdamW(groups, **options)
        products = torch.bfloat16 if self.trainer.precision == "bf16-mixed" else torch.float32
        decay = train.weight_decay
        return Muon(by_muon, groups, each=self._each, products=products, weight_decay=decay, **options)

    def _each(self, function: Callable[[Tensor], None], matrices: Iterable[Tensor]) -> Iterable[None]:
        return (map if self._replicas is None else self._replicas.map)(function, matrices)

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm; Lightning's own way refuses a fused optimiser, whatever the precision."""
        if not self._fused:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val, foreach=True)

    @property
    def _fused(self) -> bool:
        """A fused AdamW would undo float16's gradient scaling only after the clipping."""
        return str(self.trainer.precision) != "16-mixed"

    # -- checkpoints -------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add how far we are: plain numbers, so that loading needs no pickle.

        Raises:
            TrainingError: the training has diverged, by its weights or by a loss since the last checkpoint;
                it is not written, on any rank.
        """
        refuse_divergence(checkpoint, steps=self.progress.steps)
        if str(self.trainer.precision) != "16-mixed":  # whose scaler leaves out a step that overflows
            loss = torch.as_tensor(self._loss_since_save, device=self.device)
            self._refuse_loss(float(self.trainer.strategy.reduce(loss, reduce_op="sum")))  # on all ranks
        self._loss_since_save = 0.0
        checkpoint[STATE] = {
            "progress": asdict(self.progress),
            "position": list(self.position),
            "vocabulary": vocabulary_digest(self._data.prepared),
            "computed_with": self.computed_with,
        }

    def _refuse_loss(self, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(diverged(f"the loss became {value}", steps=self.progress.steps))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there; the loader is made afterwards and begins at the position.

        Raises:
            TrainingError: the checkpoint is of another model or another version.
        """
        check_vocabulary(checkpoint, vocabulary_digest(self._data.prepared))
        try:
            self.progress = Progress(**checkpoint[STATE]["progress"])
            self.position = Position(*checkpoint[STATE]["position"])
            self._computed_before = checkpoint[STATE].get("computed_with")
        except (TypeError, KeyError) as error:
            raise TrainingError(f"{DOES_NOT_FIT}: {error}") from None
        self._data.start = self.position

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take weights over, all of them.

        Raises:
            TrainingError: they are of another model.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[-1].strip()
            raise TrainingError(f"{DOES_NOT_FIT}: {reason}") from None

    # -- validation --------------------------------------------------------------------------------

    @property
    def _data(self) -> TranslationData:
        data: TranslationData = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation; a search uses all threads."""
        if self._replicas is not None:
            torch.set_num_threads(self._threads)
        self._hypotheses, self._validation_sums, self._translator = {}, [0.0, 0.0, 0.0], None

    def validation_step(self, batch: ValidationLines, batch_idx: int) -> None:
        """Score some lines by teacher forcing and translate them, blank and over-long ones included.

        Raises:
            TrainingError: the loss is no number; no search is tried.
        """
        if self._translator is None:  # not before: a callback may put averaged weights in first
            prepared = self._data.prepared
            splits = learnt_single_sentences(prepared.multi_sentence_share)
            self._translator = Translator(
                self.model, prepared.tokenizer, self.config, splits_sentences=splits
            )
        translator = self._translator
        encode = translator.tokenizer.encode_batch
        pairs = [
            (source, target)
            for source, target in zip(encode(batch.sources), encode(batch.references), strict=True)
            if source and target and max(len(source), len(target)) < self.config.model.max_length
        ]
        if pairs:
            lines = make_batch([s for s, _ in pairs], [t for _, t in pairs]).to(self.device)
            smoothed, nll = self._shard_loss(self._engine, lines, factor=1.0)
            for i, value in enumerate((float(smoothed), float(nll), lines.n_step_tokens)):
                self._validation_sums[i] += value
            self._refuse_loss(self._validation_sums[0])
        # Search in float32, as `evaluate` will.
        with torch.autocast(self.device.type, enabled=False):
            found = translator.translate(
                batch.sources,
                beam_size=self.config.validation.beam_size,
                batch_size=VALIDATION_CHUNK,
            )
        self._hypotheses |= dict(zip(batch.rows, [translation.text for translation in found], strict=True))

    def on_validation_epoch_end(self) -> None:
        """Log loss and perplexity per real token, and BLEU over all lines, the same on every rank."""
        if self._replicas is not None:
            torch.set_num_threads(1)
        parts = [(self._hypotheses, self._validation_sums)]
        if self.trainer.world_size > 1:
            parts = [parts[0]] * self.trainer.world_size
            distributed.all_gather_object(parts, (self._hypotheses, self._validation_sums))
        self._hypotheses = {row: text for hypotheses, _ in parts for row, text in hypotheses.items()}
        smoothed, nll, n_tokens = (sum(sums[i] for _, sums in parts) for i in range(3))
        texts = self.validation_texts()
        n_tokens = max(1.0, n_tokens)
        self.log_dict(
            {
                "val_loss": smoothed / n_tokens,
                "val_perplexity": math.exp(min(50.0, nll / n_tokens)),
                "val_bleu": bleu(texts, self._data.references),
            }
        )

    def validation_texts(self) -> list[str]:
        """Return the translations of the last validation, one a line, in order."""
        return [self._hypotheses[row] for row in range(len(self._data.references))]
