"""The configuration: frozen, strict, typed. `config_file.py` reads it from YAML and overrides.

Each field's description is what the reference (`docs/configuration.md`), the JSON schema for editors
(`configs/schema.json`) and `translator train --print-config` show.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PositiveInt = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=1, le=65_536)]
Depth = Annotated[int, Field(ge=1, le=1000)]
BeamSize = Annotated[int, Field(ge=1, le=1000)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(ge=0, le=1)]
#: Largest vocabulary whose pairs of pieces are counted, at about 8 bytes a pair.
MAX_COUNTED_PIECES = 16_000
LanguageCode = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """What every section shares: it is frozen, takes no unknown key and converts nothing."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="after")
    def _no_text_has_a_nul(self) -> Self:
        for key, value in self:
            if isinstance(value, str) and "\0" in value:
                raise ValueError(f"{key}={value!r} holds a NUL character; no name or path may")
        return self


class RunConfig(Section):
    """Where a training run is kept."""

    name: Annotated[str, Field(pattern=r"^[^/\\\s.][^/\\]*$")] | None = None
    """Folder of the run below `run.root`; null: the name of the configuration file."""
    root: Annotated[str, Field(min_length=1)] = "runs"
    """Folder that holds the runs."""


class NoiseConfig(Section):
    """How often training sources are changed as people change them in typing (translator/data/noise.py).

    Each is the probability that a sentence is changed so, drawn anew each epoch; 0: never. Targets stay.
    """

    space: Rate = 0.0
    """The space before ? ! : and ; is missing."""
    quotes: Rate = 0.0
    """Quotation marks, where there are any, are of another kind: " ", “ ” or « »."""
    final: Rate = 0.0
    """The mark at the end is missing."""
    accents: Rate = 0.0
    """Accents are missing, and ligatures are two letters."""
    lower: Rate = 0.0
    """All is in lower case, or the first letter alone is: half of them each."""
    upper: Rate = 0.0
    """All is in capitals."""


class DataConfig(Section):
    """Where the sentence pairs come from and which are fit for training."""

    format: Literal["phrasebook", "text", "tsv", "csv", "jsonl", "parquet", "hub"] = "phrasebook"
    """phrasebook: the embedded corpus; text: one file a language; tsv, csv, jsonl, parquet: one file
    with a column a language; hub: a Hugging Face data set or a local folder of Parquet."""
    source_language: LanguageCode = "fr"
    """Language translated from."""
    target_language: LanguageCode = "en"
    """Language translated into; swap the two to train the other direction from the same files."""
    root: str | None = None
    """Folder or http(s) address put before each name in `data.files`."""
    files: dict[str, str | dict[str, str]] = Field(default_factory=dict)
    """Split → file. For `text` the name holds `{lang}`, or is a map language → file. For `hub`:
    split → the data set's own split name. Plain or .gz, local or http(s)."""
    columns: dict[str, str | PositiveInt] = Field(default_factory=dict)
    """Language → column: its name, or, in tsv and csv without a header line, its place from 1.
    Empty: the language codes, or a column `translation` that holds both."""
    dataset: str | None = None
    """For `hub`: the Hub id or the local folder."""
    subset: str | None = None
    """For `hub`: the name of the data set's configuration, such as `en-fr`."""
    held_out: dict[str, PositiveInt] = Field(default_factory=dict)
    """Split → number of pairs cut from `train` for it, where the source has no such split."""
    max_characters: PositiveInt = 1000
    """Training pairs with a longer side are left out."""
    max_length_ratio: Annotated[float, Field(ge=1)] = 3.0
    """Training pairs are left out where (longer + 10) / (shorter + 10) characters is above it."""
    strict: bool = False
    """Whether `train` and `evaluate` refuse a corpus that something would be left out of (docs/data.md)."""
    noise: NoiseConfig = NoiseConfig()
    """Changes in training sources."""
    input_map: Literal[1] | None = 1
    """Version of the input map (docs/input.md) that sources go through, in training and ever after; null:
    none. What was saved before there was one has none."""
    cache: str = "data/cache"
    """Folder for downloads and tokenised corpora; safe to delete."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.source_language == self.target_language:
            raise ValueError(
                f"data.source_language and data.target_language are both {self.source_language!r}; "
                "they name the two sides of the corpus, so give two different ones"
            )
        if self.format == "hub":
            if self.dataset is None:
                raise ValueError("data.dataset is missing; data.format=hub needs a Hub id or a folder")
        elif self.format != "phrasebook" and "train" not in self.files:
            raise ValueError(f"data.files.train is missing; data.format={self.format} needs it")
        for split, name in self.files.items():
            if self.format == "text":
                self._check_text_files(split, name)
            elif not isinstance(name, str):
                raise ValueError(
                    f"data.files.{split} is a map; only data.format=text has one file a language"
                )
        for split in self.held_out:
            if split == "train" or split in self.files or self.format == "phrasebook":
                raise ValueError(
                    f"data.held_out.{split} would cut a split that the source has already; "
                    "take it out of data.held_out or out of data.files"
                )
        return self

    def _check_text_files(self, split: str, name: str | dict[str, str]) -> None:
        if isinstance(name, str):
            if "{lang}" not in name:
                raise ValueError(
                    f"data.files.{split}={name!r} has no {{lang}}; write the language code's place as "
                    f"{{lang}}, or a map such as {{fr: a.fr, en: a.en}}"
                )
        elif missing := [x for x in (self.source_language, self.target_language) if x not in name]:
            raise ValueError(f"data.files.{split} names no file for language {missing[0]!r}")


class TokenizerConfig(Section):
    """The joint SentencePiece model of both languages."""

    kind: Literal["bpe", "unigram"] = "bpe"
    """Byte-pair encoding (Sennrich et al. 2016) or unigram language model (Kudo 2018)."""
    vocabulary_size: Annotated[int, Field(ge=300, le=64000)] = 8000
    """Pieces of both languages together, 261 of them special and bytes; a small corpus gets fewer."""
    sample_sentences: PositiveInt = 200_000
    """At most this many sentences, drawn with the seed, are read to build the vocabulary."""
    dropout: Probability = 0.0
    """Training only: probability of leaving out a merge (BPE-dropout, Provilkov et al. 2020); needs
    tokenizer.kind=bpe."""

    @model_validator(mode="after")
    def _only_merges_are_dropped(self) -> Self:
        if self.dropout and self.kind != "bpe":
            raise ValueError(
                f"tokenizer.dropout={self.dropout} needs tokenizer.kind=bpe, not {self.kind}; "
                "set one of them otherwise"
            )
        return self


class ModelConfig(Section):
    """The Transformer's shape (Vaswani et al. 2017)."""

    width: Size = 256
    """D: length of each token's vector."""
    n_heads: Size = 4
    """H: attention heads in each layer; must divide the width."""
    feed_forward: Size = 1024
    """F: inner width of the feed-forward sublayer."""
    n_encoder_layers: Depth = 3
    """Layers of the encoder."""
    n_decoder_layers: Depth = 3
    """Layers of the decoder."""
    dropout: Probability = 0.1
    """Dropout on embeddings and on each sublayer's output."""
    attention_dropout: Probability = 0.0
    """Dropout on attention weights."""
    activation_dropout: Probability = 0.0
    """Dropout inside the feed-forward sublayer."""
    activation: Literal["relu", "gelu", "silu"] = "relu"
    """Non-linearity of the feed-forward sublayer."""
    norm: Literal["pre", "post"] = "pre"
    """Layer normalisation before each sublayer, or after it as in the original."""
    max_length: Annotated[int, Field(ge=8, le=65_536)] = 256
    """Longest sentence in pieces, end symbol included; longer training pairs are left out."""

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
            raise ValueError(f"model.width={self.width} is odd; sinusoidal positions need an even one")
        return self


class TrainConfig(Section):
    """Optimisation and its budget; the first limit reached ends it, the decay follows the nearest."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of everything random."""
    max_steps: PositiveInt | None = None
    """Budget in optimiser steps."""
    max_epochs: PositiveInt | None = None
    """Budget in passes over the training pairs."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Budget in minutes from the first step to the last, validation included."""
    max_tokens_per_batch: PositiveInt = 3000
    """Largest padded size of a batch, counted on each side by itself."""
    accumulate: PositiveInt = 1
    """Batches whose gradients make one step; their mean is over all their target tokens."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW (Loshchilov & Hutter 2019); muon: Muon (Jordan et al. 2024) for the layers' matrices."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Peak learning rate, of AdamW and of Muon."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Steps over which the rate rises from zero to its peak."""
    decay_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Last part of the budget over which the rate falls in a straight line to zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay, on matrices only."""
    adam_betas: tuple[Probability, Probability] = (0.9, 0.98)
    """AdamW's running-average coefficients."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient; null: no clipping."""
    label_smoothing: Probability = 0.1
    """Share of the target probability spread over the vocabulary (Szegedy et al. 2016)."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = 0.998
    """Decay per step of the averaged weights; null: no averaging."""
    embedding_init: Literal["normal", "counts"] = "normal"
    """Initial embeddings. normal: random; counts: from co-occurrence counts of the training pairs (PPMI and
    SVD), which saves a short run many steps (translator/training/embedding_init.py)."""
    checkpoint_minutes: Annotated[float, Field(gt=0, le=1)] = 1.0
    """A checkpoint to go on from is written at least this often."""

    @model_validator(mode="after")
    def _has_a_budget(self) -> Self:
        if self.max_steps is None and self.max_epochs is None and self.max_minutes is None:
            raise ValueError(
                "train has no budget; give train.max_steps, train.max_epochs or train.max_minutes"
            )
        return self


class ValidationConfig(Section):
    """How often and how the model is looked at while it trains."""

    every_steps: PositiveInt = 500
    """Optimiser steps between validations; there is always one at the end."""
    beam_size: BeamSize = 1
    """Beam of the search behind validation BLEU; 1 is greedy and quickest."""
    n_samples: Annotated[int, Field(ge=0)] = 3
    """Translations shown after each validation."""
    patience: PositiveInt | None = None
    """Stop after this many validations without a better BLEU; null: never."""


class SearchConfig(Section):
    """Beam search; `translate` and `evaluate` take it from the model folder."""

    beam_size: BeamSize = 5
    """Hypotheses kept for each sentence; 1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 1.0
    """α in Σ log p / length^α, the end symbol counted."""
    max_length_ratio: Annotated[float, Field(gt=0)] = 2.0
    """Longest output in pieces: this times the source's pieces, plus `search.max_length_offset`."""
    max_length_offset: PositiveInt = 10
    """See `search.max_length_ratio`."""


class HardwareConfig(Section):
    """Lightning's own flags: what the training runs on."""

    accelerator: str = "auto"
    """Lightning's `accelerator`: auto, cpu, gpu, mps …"""
    devices: PositiveInt | Literal["auto"] = 1
    """Devices of each machine."""
    n_nodes: PositiveInt = 1
    """Machines."""
    strategy: str = "auto"
    """Lightning's `strategy`: auto, ddp …"""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16-mixed where the device multiplies bfloat16 itself, else 32-true."""
    threads: PositiveInt | None = None
    """CPU threads of each process; null: torch's own choice."""
    replicas: PositiveInt | None = None
    """Threads that each train on a shard of every batch, on a CPU and in one process; null: all, at most 4.
    Results of different numbers differ in rounding and in what dropout draws."""
    backend: Literal["auto", "native", "torch", "reference"] = "auto"
    """What computes a training step. native: operations in C, compiled by `cc` or by $CC; torch: PyTorch's
    operations; reference: the textbook model, padded and unfused, to check the others against; auto: native
    on a CPU with a C compiler, else torch. Results differ in rounding and in what dropout draws."""

    @model_validator(mode="after")
    def _strategy_does_not_fork(self) -> Self:
        if "notebook" in self.strategy or "fork" in self.strategy:
            raise ValueError(
                f"hardware.strategy={self.strategy} forks a process that has threads, and hangs; use ddp"
            )
        return self


class Config(Section):
    """A whole configuration file."""

    run: RunConfig = RunConfig()
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig
    validation: ValidationConfig = ValidationConfig()
    search: SearchConfig = SearchConfig()
    hardware: HardwareConfig = HardwareConfig()

    @model_validator(mode="after")
    def _longest_pair_fits_a_batch(self) -> Self:
        if self.train.max_tokens_per_batch < self.model.max_length:
            raise ValueError(
                f"train.max_tokens_per_batch={self.train.max_tokens_per_batch} is below "
                f"model.max_length={self.model.max_length}; the longest sentence must fit a batch, "
                "so raise the one or lower the other"
            )
        return self

    @model_validator(mode="after")
    def _counts_fit_in_memory(self) -> Self:
        size = self.tokenizer.vocabulary_size
        if self.train.embedding_init == "counts" and size > MAX_COUNTED_PIECES:
            raise ValueError(
                f"tokenizer.vocabulary_size={size} is too large for train.embedding_init=counts; lower it to "
                f"{MAX_COUNTED_PIECES} or set train.embedding_init=normal"
            )
        return self

    @model_validator(mode="after")
    def _muon_has_whole_matrices(self) -> Self:
        if self.train.optimizer == "muon" and self.hardware.strategy.startswith(("fsdp", "deepspeed")):
            raise ValueError(
                f"hardware.strategy={self.hardware.strategy} cuts matrices up and train.optimizer=muon needs "
                "them whole; use ddp or adamw"
            )
        return self

    def to_json(self) -> str:
        """Return the configuration as indented JSON, for the model folder."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


class InvalidConfigError(ValueError):
    """A configuration that does not validate.

    Attributes:
        problems: pydantic's error records, each with `type`, `loc`, `input` and perhaps `ctx`.
    """

    def __init__(self, problems: list[Any]):
        super().__init__(f"{len(problems)} problems in the configuration")
        self.problems = problems


def validate(data: Any) -> Config:
    """Check plain data (maps, lists, text, numbers) strictly, in pydantic's JSON mode.

    Raises:
        InvalidConfigError: something does not fit.
    """
    try:
        return Config.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise InvalidConfigError(list(error.errors())) from None
