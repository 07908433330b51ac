"""The sections of the configuration: frozen, strictly typed models. `config/file.py` reads them from YAML.

The docstring of each field is shown in the reference (`docs/configuration.md`) and in the JSON schema for
editors (`configs/schema.json`).
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
#: Largest vocabulary that is allowed with `train.embedding_init=counts`, which needs about 8 bytes of memory
#: for each pair of pieces.
MAX_COUNTED_PIECES = 16_000
LanguageCode = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """Base class of the sections. It is immutable, refuses unknown keys and converts no values."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="after")
    def _no_text_has_a_nul(self) -> Self:
        for key, value in self:
            if isinstance(value, str) and "\0" in value:
                raise ValueError(f"{key}={value!r} contains a NUL character; names and paths must not")
        return self


class RunConfig(Section):
    """The folder of a training run."""

    name: Annotated[str, Field(pattern=r"^[^/\\\s.][^/\\]*$")] | None = None
    """Folder of the run inside `run.root`; null: the name of the configuration file."""
    root: Annotated[str, Field(min_length=1)] = "runs"
    """Folder that contains all runs."""


class NoiseConfig(Section):
    """Typing noise in training sources (translator/data/noise.py): the probability of each change.

    In each epoch, the sentences to change are drawn anew. With probability 0, no sentence is changed.
    Targets are never changed.
    """

    space: Rate = 0.0
    """Remove the space before ? ! : and ;."""
    quotes: Rate = 0.0
    """Replace quotation marks with another kind: " ", “ ” or « »."""
    final: Rate = 0.0
    """Remove the final punctuation mark."""
    accents: Rate = 0.0
    """Remove accents, and write ligatures as two letters."""
    lower: Rate = 0.0
    """Convert the whole sentence to lower case or, just as often, only its first letter."""
    upper: Rate = 0.0
    """Convert the sentence to capitals."""


class SourceConfig(Section):
    """Where the sentence pairs come from."""

    format: Literal[
        "phrasebook", "text", "tsv", "csv", "xlsx", "jsonl", "tmx", "po", "xliff", "parquet", "hub"
    ] = "phrasebook"
    """phrasebook: the embedded corpus; text: one file per language; tsv, csv, xlsx, jsonl, parquet: one file
    with one column per language; tmx, xliff (1.2), po: one file with both languages; hub: a Hugging Face
    dataset or a local folder of Parquet files. `translator import FILE` recognises all of them."""
    root: str | None = None
    """Folder or http(s) address prepended to each name in `data.files`."""
    files: dict[str, str | dict[str, str]] = Field(default_factory=dict)
    """Split → file, plain, .gz, .xz, .zst or inside a zip archive (`NAME.zip/FILE`), local or http(s). For
    `text`, the file name contains `{lang}`, or a map language → file is given. For `hub`, split → the
    dataset's own name of the split."""
    columns: dict[str, str | PositiveInt] = Field(default_factory=dict)
    """Language → column: its name, or its number from 1 in tsv, csv and xlsx files without a header line.
    In tmx and xliff files, language → its code there; in po files, language → msgid or msgstr. Empty: columns
    named by language code, or a column `translation` that contains both."""
    encoding: str | None = None
    """Encoding of the files, such as cp1252 or utf-16; null: UTF-8, or what a tmx, xliff or po file says."""
    delimiter: Literal["comma", "semicolon", "tab"] | None = None
    """What separates columns; null: a comma in csv, a tab in tsv, or what a line `sep=;` in the file says."""
    quoting: Literal["double", "none"] | None = None
    """double: a field may be in double quotes, and a quote in it is written twice; none: quotes are text;
    null: double in csv and none in tsv."""
    dataset: str | None = None
    """For `hub`: the Hub id or the local folder."""
    subset: str | None = None
    """For `hub`: the name of the dataset's configuration, such as `en-fr`."""
    held_out: dict[str, PositiveInt] = Field(default_factory=dict)
    """Split → number of random pairs that are moved from `train` to this split; only for splits that the
    corpus does not already have."""


class MixedSource(SourceConfig):
    """One of several sources that are mixed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    """Name of the source in reports and logs."""
    weight: Annotated[float, Field(gt=0)]
    """Share of the target tokens that training sees, relative to the sum of all weights."""


class DataConfig(SourceConfig):
    """The source of the sentence pairs, or several, and which pairs are fit for training."""

    sources: tuple[MixedSource, ...] = ()
    """Several sources instead, mixed by weight (docs/data.md): a list in which each has a `name`, a `weight`
    and its own keys `format`, `files`, `columns`, `dataset`, `subset`, `held_out` and, if it is not that of
    `data`, `root`. Batches are mixed so that each source has its share of the target tokens."""
    source_language: LanguageCode = "fr"
    """Language to translate from."""
    target_language: LanguageCode = "en"
    """Language to translate into; swap the two to train the other direction from the same files."""
    max_characters: PositiveInt = 1000
    """Training pairs with a side longer than this are left out."""
    max_length_ratio: Annotated[float, Field(ge=1)] = 3.0
    """Training pairs are left out if (longer + 10) / (shorter + 10), in characters, exceeds this."""
    strict: bool = False
    """Whether `train` and `evaluate` refuse a corpus if any of its rows would be left out (docs/data.md)."""
    noise: NoiseConfig = NoiseConfig()
    """Typing noise in training sources."""
    input_map: Literal[1] | None = 1
    """Version of the input map (docs/input.md) applied to sources in training and translation; null: none.
    Models saved before the input map existed use none."""
    cache: str = "data/cache"
    """Folder for downloads and tokenized corpora; safe to delete."""

    def by_source(self) -> dict[str, "DataConfig"]:
        """Return the configuration of each source alone, by the source's name.

        Without `data.sources`, the only source is this configuration itself, and its name is empty.
        """
        if not self.sources:
            return {"": self}
        keys = SourceConfig.model_fields
        own = {source.name: {key: getattr(source, key) for key in keys} for source in self.sources}
        return {
            name: self.model_copy(update={**values, "root": values["root"] or self.root, "sources": ()})
            for name, values in own.items()
        }

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.source_language == self.target_language:
            raise ValueError(
                f"data.source_language and data.target_language are both {self.source_language!r}; "
                "they name the two sides of the corpus, so they must differ"
            )
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"data.sources has two sources named {name!r}; give each its own name")
        for key, field in SourceConfig.model_fields.items() if names else ():
            if key != "root" and getattr(self, key) != field.get_default(call_default_factory=True):
                raise ValueError(f"data.{key} has no effect beside data.sources; move it into one of them")
        for i, source in enumerate(self.by_source().values()):
            source._check_source(f"data.sources.{i}" if names else "data")
        return self

    def _check_source(self, at: str) -> None:
        """Check the keys of a single source. `at` is the dotted name of its section."""
        self._check_text_options(at)
        if self.format == "hub":
            if self.dataset is None:
                raise ValueError(f"{at}.dataset is missing; {at}.format=hub needs a Hub id or a folder")
        elif self.format != "phrasebook" and "train" not in self.files:
            raise ValueError(f"{at}.files.train is missing; {at}.format={self.format} needs it")
        for split, name in self.files.items():
            if self.format == "text":
                self._check_text_files(f"{at}.files.{split}", name)
            elif not isinstance(name, str):
                raise ValueError(
                    f"{at}.files.{split} is a map; only {at}.format=text has one file per language"
                )
        for split in self.held_out:
            if split == "train" or split in self.files or self.format == "phrasebook":
                raise ValueError(
                    f"{at}.held_out.{split} names a split that the source already has; "
                    f"remove it from {at}.held_out or from {at}.files"
                )

    def _check_text_options(self, at: str) -> None:
        tables = ("tsv", "csv")
        for key, formats in (
            ("encoding", ("text", *tables, "jsonl", "tmx", "xliff", "po")),
            ("delimiter", tables),
            ("quoting", tables),
        ):
            value = getattr(self, key)
            if value is not None and self.format not in formats:
                raise ValueError(
                    f"{at}.{key}={value} has no effect on {at}.format={self.format}; "
                    f"it is for {', '.join(formats)}"
                )
        try:
            "".encode(self.encoding or "utf-8")
        except LookupError:
            raise ValueError(
                f"{at}.encoding={self.encoding} is not an encoding that Python knows; "
                "try utf-8, utf-16, cp1252 or iso8859-15"
            ) from None

    def _check_text_files(self, at: str, name: str | dict[str, str]) -> None:
        if isinstance(name, str):
            if "{lang}" not in name:
                raise ValueError(
                    f"{at}={name!r} has no {{lang}}; write {{lang}} in place of the language "
                    f"code, or give a map such as {{fr: a.fr, en: a.en}}"
                )
        elif missing := [x for x in (self.source_language, self.target_language) if x not in name]:
            raise ValueError(f"{at} has no file for language {missing[0]!r}")


class TokenizerConfig(Section):
    """The SentencePiece model, shared by both languages."""

    kind: Literal["bpe", "unigram"] = "bpe"
    """Byte-pair encoding (Sennrich et al. 2016) or unigram language model (Kudo 2018)."""
    vocabulary_size: Annotated[int, Field(ge=300, le=64000)] = 8000
    """Number of pieces, including 261 for special tokens and bytes; a small corpus gets fewer."""
    sample_sentences: PositiveInt = 200_000
    """Maximum number of random sentences used to build the vocabulary."""
    dropout: Probability = 0.0
    """Training only: probability of skipping a merge (BPE-dropout, Provilkov et al. 2020); needs
    tokenizer.kind=bpe."""

    @model_validator(mode="after")
    def _only_merges_are_dropped(self) -> Self:
        if self.dropout and self.kind != "bpe":
            raise ValueError(
                f"tokenizer.dropout={self.dropout} needs tokenizer.kind=bpe, not {self.kind}; "
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
    init_from: Annotated[str, Field(min_length=1)] | None = None
    """Model folder, or folder of a finished run, to start from: its weights and vocabulary, and all keys
    of `model` and `tokenizer` that are not given here (docs/adapting.md); null: random initial weights."""
    init_rate_factor: Annotated[float, Field(gt=0, le=1)] = 0.25
    """With `train.init_from`, the peak learning rate is this fraction of `train.learning_rate`."""
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
    devices: PositiveInt | Literal["auto"] = 1
    """Number of devices in each machine."""
    n_nodes: PositiveInt = 1
    """Number of machines."""
    strategy: str = "auto"
    """Lightning's `strategy`: auto, ddp …"""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16-mixed if the device has native bfloat16 multiplication, else 32-true."""
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
