"""The section `data` of the configuration: where sentence pairs come from, and which are fit for training."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from translator.config.base import PositiveInt, Section

Rate = Annotated[float, Field(ge=0, le=1)]
LanguageCode = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


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
    random_names: Rate = 0.0
    """Probability that a name or number on both sides of a training pair is replaced by random pieces, by
    others in each epoch, so that the model learns to copy it (translator/data/copies.py)."""
    copies: Rate = 0.0
    """Rows of random pieces to copy, in proportion to the rows of each batch. They teach the model to copy
    unknown words, and are part of the training loss."""
    input_map: Literal[1] | None = 1
    """Version of the input map (docs/input.md) applied to sources in training and translation; null: none.
    Models saved before the input map existed use none."""
    cache: str = "data/cache"
    """Folder for downloads and tokenized corpora; safe to delete."""

    @property
    def direction(self) -> str:
        """The languages, as in `fr → en`."""
        return f"{self.source_language} → {self.target_language}"

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
