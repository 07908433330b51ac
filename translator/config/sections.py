"""The sections of the configuration: frozen, strictly typed models. `config/file.py` reads them from YAML.

The docstring of each field is shown in the reference (`docs/configuration.md`) and in the JSON schema for
editors (`configs/schema.json`).
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from translator.config.base import PositiveInt, Section
from translator.config.data import DataConfig

Size = Annotated[int, Field(ge=1, le=65_536)]
Depth = Annotated[int, Field(ge=1, le=1000)]
BeamSize = Annotated[int, Field(ge=1, le=1000)]
Probability = Annotated[float, Field(ge=0, lt=1)]

#: Smallest vocabulary that has pieces of two digits (`tokenizer.digits_per_piece`).
MIN_FOR_DIGIT_PAIRS = 500
#: Largest vocabulary that is allowed with `train.embedding_init=counts`, which needs about 8 bytes of memory
#: for each pair of pieces.
MAX_COUNTED_PIECES = 16_000


class RunConfig(Section):
    """The folder of a training run."""

    name: Annotated[str, Field(pattern=r"^[^/\\\s.][^/\\]*$")] | None = None
    """Folder of the run inside `run.root`; null: the name of the configuration file."""
    root: Annotated[str, Field(min_length=1)] = "runs"
    """Folder that contains all runs."""


class TokenizerConfig(Section):
    """The SentencePiece model, shared by both languages."""

    kind: Literal["bpe", "unigram"] = "bpe"
    """Byte-pair encoding (Sennrich et al. 2016) or unigram language model (Kudo 2018)."""
    vocabulary_size: Annotated[int, Field(ge=300, le=64000)] = 8000
    """Number of pieces, including 261 for special tokens and bytes; a small corpus gets fewer."""
    sample_sentences: PositiveInt = 200_000
    """Maximum number of random sentences used to build the vocabulary."""
    digits_per_piece: Literal[1, 2] = 1
    """Longest piece of digits: 1987 is read as 1 9 8 7 or, with 2, as 19 87, which is easier to copy.
    2 needs tokenizer.kind=bpe, and is 1 in a vocabulary of fewer than 500 pieces."""
    dropout: Probability = 0.0
    """Training only: probability of skipping a merge (BPE-dropout, Provilkov et al. 2020); needs
    tokenizer.kind=bpe."""

    @model_validator(mode="after")
    def _some_options_need_bpe(self) -> Self:
        for key, is_used in (("dropout", self.dropout > 0), ("digits_per_piece", self.digits_per_piece > 1)):
            if is_used and self.kind != "bpe":
                raise ValueError(
                    f"tokenizer.{key}={getattr(self, key)} needs tokenizer.kind=bpe, not {self.kind}; "
                    "change one of them"
                )
        return self


class ModelConfig(Section):
    """The Transformer's shape (Vaswani et al. 2017)."""

    width: Size = 256
    """D: dimension of embeddings and hidden states."""
    n_heads: Size = 4
    """H: attention heads in each layer; must divide the width."""
    feed_forward: Size = 1024
    """F: inner dimension of the feed-forward sublayer."""
    n_encoder_layers: Depth = 3
    """Number of encoder layers."""
    n_decoder_layers: Depth = 3
    """Number of decoder layers."""
    dropout: Probability = 0.1
    """Dropout on embeddings and on each sublayer's output."""
    attention_dropout: Probability = 0.0
    """Dropout on attention weights."""
    activation_dropout: Probability = 0.0
    """Dropout inside the feed-forward sublayer."""
    activation: Literal["relu", "gelu", "silu"] = "relu"
    """Activation function of the feed-forward sublayer."""
    norm: Literal["pre", "post"] = "pre"
    """Layer normalisation before each sublayer, or after it as in the original."""
    position_base: Annotated[float, Field(gt=1)] = 10_000.0
    """Base of the sinusoidal positions; a smaller one separates the positions of short sentences better."""
    max_length: Annotated[int, Field(ge=8, le=65_536)] = 256
    """Maximum sentence length in tokens, end token included; longer training pairs are left out."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.n_heads:
            unit = self.n_heads * (1 + self.n_heads % 2)  # sinusoidal positions need an even width
            low = max(1, self.width // unit) * unit
            raise ValueError(
                f"model.width={self.width} is not a multiple of model.n_heads={self.n_heads}; "
                f"try {low} or {low + unit}"
            )
        if self.width % 2:
            raise ValueError(f"model.width={self.width} is odd; sinusoidal positions need an even width")
        return self


class TrainConfig(Section):
    """Optimisation. Training ends, with a learning rate of zero, when the first of the budgets is used up."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of all random numbers."""
    max_steps: PositiveInt | None = None
    """Budget in optimiser steps."""
    max_epochs: PositiveInt | None = None
    """Budget in passes over the training pairs."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Budget in minutes from the first step to the last, validation included."""
    max_tokens_per_batch: PositiveInt = 3000
    """Maximum size of a batch in tokens, padding included, for sources and targets separately."""
    accumulate: PositiveInt = 1
    """Batches per optimiser step; the gradient is the mean over all of their target tokens."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw: AdamW (Loshchilov & Hutter 2019); muon: Muon (Jordan et al. 2024) for the layers' matrices, and
    AdamW for the other weights."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Peak learning rate, of AdamW and of Muon."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Steps over which the learning rate rises linearly from zero to its peak."""
    decay_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Fraction of the budget, at its end, over which the learning rate falls linearly to zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay, on matrices only."""
    adam_betas: tuple[Probability, Probability] = (0.9, 0.98)
    """AdamW's running-average coefficients."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Maximum norm of the gradient; null: no clipping."""
    label_smoothing: Probability = 0.1
    """Fraction of the target probability spread over the vocabulary (Szegedy et al. 2016)."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = 0.998
    """Decay per step of the exponential moving average of the weights; null: no averaging."""
    embedding_init: Literal["normal", "counts"] = "normal"
    """Initial embeddings. normal: random; counts: from co-occurrence counts of the training pairs (PPMI and
    SVD), which saves many steps in a short run (translator/training/embedding_init.py)."""
    attention_init: Literal["xavier", "copying"] = "xavier"
    """Initial weights of attention. xavier: random (Glorot & Bengio 2010); copying: some heads start as an
    induction head, so that unknown words can be copied (translator/training/attention_init.py)."""
    init_from: Annotated[str, Field(min_length=1)] | None = None
    """Model folder, or folder of a finished run, to start from: its weights and vocabulary, and all keys
    of `model` and `tokenizer` that are not given here (docs/adapting.md); null: random initial weights."""
    init_rate_factor: Annotated[float, Field(gt=0, le=1)] = 0.25
    """With `train.init_from`, the peak learning rate is this fraction of `train.learning_rate`."""
    init_average: Annotated[float, Field(ge=0, lt=1)] = 0.35
    """With `train.init_from`, the saved weights are this fraction of the initial weights plus the rest of the
    trained ones, an average that forgets less (Wortsman et al. 2022)."""
    freeze: tuple[Literal["encoder", "decoder", "embeddings"], ...] = ()
    """Parts of the model whose weights are not trained. The embeddings are also the output layer."""
    checkpoint_minutes: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Maximum minutes between two checkpoints from which the run can be resumed."""

    @model_validator(mode="after")
    def _has_a_budget(self) -> Self:
        if self.max_steps is None and self.max_epochs is None and self.max_minutes is None:
            raise ValueError(
                "train has no budget; give train.max_steps, train.max_epochs or train.max_minutes"
            )
        return self

    @model_validator(mode="after")
    def _something_is_trained(self) -> Self:
        if {*self.freeze} == {"encoder", "decoder", "embeddings"}:
            raise ValueError("train.freeze names every part, so nothing would be trained; leave one out")
        return self


class ValidationConfig(Section):
    """Validation during training."""

    every_steps: PositiveInt = 500
    """Optimiser steps between validations; the last step is always validated."""
    beam_size: BeamSize = 1
    """Beam size for validation BLEU; 1 is greedy search, the fastest."""
    n_samples: Annotated[int, Field(ge=0)] = 3
    """Number of translations shown after each validation."""
    patience: PositiveInt | None = None
    """Stop training after this many validations in a row without a better BLEU; null: never stop early."""


class SearchConfig(Section):
    """Beam search; `translate` and `evaluate` read these settings from the model folder."""

    beam_size: BeamSize = 5
    """Hypotheses kept for each sentence; 1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 1.0
    """α in the score Σ log p / length^α; the length includes the end token."""
    max_length_ratio: Annotated[float, Field(gt=0)] = 2.0
    """Maximum output length in tokens: this times the source length, plus `search.max_length_offset`."""
    max_length_offset: PositiveInt = 10
    """See `search.max_length_ratio`."""


class HardwareConfig(Section):
    """The hardware for training; most settings are arguments of Lightning's `Trainer`."""

    accelerator: str = "auto"
    """Lightning's `accelerator`: auto, cpu, gpu, mps …"""
    devices: PositiveInt | Literal["auto"] | None = None
    """Number of devices in each machine; null: what torchrun or srun was told, else 1 (docs/scaling.md)."""
    n_nodes: PositiveInt | None = None
    """Number of machines; null: what torchrun or srun was told, else 1."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Seconds for which a process waits for the others, at the start and in each step, before it ends."""
    strategy: str = "auto"
    """Lightning's `strategy`: auto, ddp …"""
    precision: Literal["auto", "32-true", "64-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16-mixed if the device has native bfloat16 multiplication, else 32-true; 64-true is slow, to
    compare with."""
    threads: PositiveInt | None = None
    """CPU threads of each process; null: torch's default."""
    replicas: PositiveInt | None = None
    """Threads that each train on a shard of every batch, on a CPU and in one process; null: all, at most 4.
    The number affects rounding and dropout masks."""
    backend: Literal["auto", "native", "torch", "reference"] = "auto"
    """Implementation of a training step. native: operations in C, built at installation; torch: PyTorch's
    operations; reference: the textbook model, padded and unfused, to check the others against;
    auto: native on a CPU, if they were built, else torch. The backend affects rounding and dropout masks."""

    @model_validator(mode="after")
    def _strategy_does_not_fork(self) -> Self:
        if "notebook" in self.strategy or "fork" in self.strategy:
            raise ValueError(
                f"hardware.strategy={self.strategy} forks a process that has threads, and hangs; use ddp"
            )
        return self


class Config(Section):
    """The complete configuration."""

    run: RunConfig = RunConfig()
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig
    validation: ValidationConfig = ValidationConfig()
    search: SearchConfig = SearchConfig()
    hardware: HardwareConfig = HardwareConfig()

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        train, size = self.train, self.tokenizer.vocabulary_size
        if train.max_tokens_per_batch < self.model.max_length:
            raise ValueError(
                f"train.max_tokens_per_batch={train.max_tokens_per_batch} is below "
                f"model.max_length={self.model.max_length}; the longest sentence must fit in a batch, "
                "so raise the first or lower the second"
            )
        if train.embedding_init == "counts" and size > MAX_COUNTED_PIECES:
            raise ValueError(
                f"tokenizer.vocabulary_size={size} is too large for train.embedding_init=counts; lower it to "
                f"{MAX_COUNTED_PIECES} or set train.embedding_init=normal"
            )
        if train.optimizer == "muon" and self.hardware.strategy.startswith(("fsdp", "deepspeed")):
            raise ValueError(
                f"hardware.strategy={self.hardware.strategy} shards matrices and train.optimizer=muon needs "
                "them whole; use ddp or adamw"
            )
        return self

    def to_json(self) -> str:
        """Return the configuration as indented JSON, as it is saved in the model folder."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


class InvalidConfigError(ValueError):
    """Raised if data is not a valid configuration.

    Attributes:
        problems: pydantic's error records, each with the keys `type`, `loc`, `input` and sometimes `ctx`.
    """

    def __init__(self, problems: list[Any]):
        super().__init__(f"{len(problems)} problems in the configuration")
        self.problems = problems


def validate(data: Any) -> Config:
    """Return the configuration that JSON-like data describes. Values are not converted to other types.

    Raises:
        InvalidConfigError: a key or value is not allowed.
    """
    try:
        return Config.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise InvalidConfigError(list(error.errors())) from None
