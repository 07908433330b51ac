"""Translation of texts with a loaded model."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, overload

from translator.config import Config, SearchConfig
from translator.data.input_map import map_input
from translator.data.tokenizer import Tokenizer
from translator.engine.native_decoding import PRECISIONS, Precision
from translator.errors import ModelError, UsageError
from translator.model_folder import LoadedModel, load_model_folder
from translator.search.result import Result, SearchOptions
from translator.search.trace import Trace
from translator.translation.batched_search import batched_search
from translator.translation.confidence import Calibration, Confidence
from translator.translation.decoders import DecodingBackend, choose_decoder
from translator.translation.joining import Translation, join_parts
from translator.translation.origin import describe
from translator.translation.splitting import (
    SHARE,
    Part,
    SplitSentences,
    learnt_single_sentences,
    tokenized_parts,
)

if TYPE_CHECKING:
    from translator.model.transformer import Transformer

_BLANK = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]"  # whitespace, soft hyphens and zero-width characters
_BLANK_ENDS = re.compile(rf"\A{_BLANK}+|{_BLANK}+\Z")

DEVICES = ("cpu", "cuda", "mps", "xpu")

NOT_FINITE_SCORES = "the model's scores are not finite (nan or inf), so its weights cannot be used"


def _strings(texts: object) -> list[str]:
    """Return a text as a list, and a list of texts as it is.

    Raises:
        TypeError: `texts` is anything else.
    """
    if isinstance(texts, str):
        return [texts]
    if not isinstance(texts, list):
        raise TypeError(f"give a string or a list of strings, not {type(texts).__name__}")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"give a string or a list of strings; item {number} is {type(text).__name__}")
    return texts


def _check_finite(scores: Iterable[float]) -> None:
    if not all(map(math.isfinite, scores)):
        raise ModelError(NOT_FINITE_SCORES)


class Translator:
    """A model with its tokenizer and its search settings. All methods are thread-safe.

    `load`, `translate` and `score` are public; everything else may change without notice.
    """

    def __init__(
        self,
        model: "Transformer | LoadedModel",
        tokenizer: Tokenizer,
        config: Config,
        *,
        precision: Precision = "float32",
        splits_sentences: bool = False,
        backend: DecodingBackend = "auto",
        manifest: Mapping[str, Any] | None = None,
        folder: Path | None = None,
    ):
        """Prepare a model for decoding.

        The model must not be changed afterwards. The effect of a change would be undefined, because the
        decoding engine has its own copies of some of the weights.

        Args:
            model: the model, in evaluation mode and on the device on which it is to run; or a loaded model
                folder, of which the model is only built if torch is needed.
            tokenizer: the tokenizer of the model.
            config: the config with which the model was trained.
            precision: as in `load`.
            splits_sentences: whether each sentence of a line is translated separately.
            backend: as in `load`.
            manifest: the manifest of the model folder, if there is one: its scores and its calibration.
            folder: the model folder, if there is one. Explanations show the film of the training beside it.
        """
        self._model, self.tokenizer, self.config = model, tokenizer, config
        self.manifest, self.folder = manifest or {}, folder
        #: Computes the confidence in a translation; None if the model has no calibration.
        self.calibration = Calibration.from_manifest(self.manifest)
        self.splits_sentences = splits_sentences
        #: What decodes, and why C does not; None if it does, or if another backend was asked for.
        self.decoder, self.why_not_native = choose_decoder(
            model, config.model, precision=precision, backend=backend
        )
        self.precision = self.decoder.precision

    @cached_property
    def model(self) -> "Transformer":
        """The model."""
        model = self._model.model if isinstance(self._model, LoadedModel) else self._model
        return model.eval()

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str = "cpu",
        precision: Precision = "float32",
        split_sentences: SplitSentences = "auto",
        backend: DecodingBackend = "auto",
    ) -> "Translator":
        """Load a model folder.

        Args:
            folder: the model folder of a finished run.
            device: the torch device on which the model is to run.
            split_sentences: whether each sentence of a line is translated separately. "auto" means that this
                is done if, according to the manifest of the model, almost all its training sources were
                single sentences (see `splitting`).
            precision: precision of the matrix products; int8 is the fastest. Without the C library, it is
                float32 on a CPU, and bfloat16 instead of int8 on other devices.
            backend: the decoding implementation. "auto" chooses C on a CPU if the C library is available,
                else PyTorch. "native" refuses to do without C. "reference" is `translator.model` itself,
                which is slow and always computes in float32.

        Raises:
            ModelError: the folder is absent, unfinished, damaged or of another format version.
            UsageError: the device, precision, backend or `split_sentences` is unknown, or the device cannot
                be used.
        """
        for name, value, known in (
            ("precision", precision, PRECISIONS),
            ("split_sentences", split_sentences, get_args(SplitSentences)),
            ("backend", backend, get_args(DecodingBackend)),
            ("device", device.partition(":")[0], DEVICES),
        ):
            if value not in known:
                raise UsageError(f"{name} {value!r} is not one of {', '.join(known)}")
        loaded = load_model_folder(Path(folder))
        try:
            model = loaded if device == "cpu" else loaded.model.to(device)
        except (RuntimeError, AssertionError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"device {device!r} cannot be used: {reason}; try cpu") from None
        splits = split_sentences == "auto" and learnt_single_sentences(loaded.manifest.get(SHARE))
        return cls(
            model,
            loaded.tokenizer,
            loaded.config,
            precision=precision,
            splits_sentences=splits or split_sentences == "always",
            backend=backend,
            manifest=loaded.manifest,
            folder=Path(folder).resolve(),
        )

    def __repr__(self) -> str:
        weights = self._model.weights if isinstance(self._model, LoadedModel) else self._model.state_dict()
        return describe(self, weights)

    def confidence(self, log_probs: Sequence[tuple[float, int]]) -> Confidence | None:
        """Return the confidence in a translation; see `Calibration.of_lines`. None without a calibration."""
        return None if self.calibration is None else self.calibration.of_lines(log_probs)

    def mapped(self, text: str) -> str:
        """Return a source as the model reads it. If the model has an input map, this is the mapped source."""
        return map_input(text) if self.config.data.input_map else text

    @overload
    def translate(
        self,
        texts: str,
        *,
        beam_size: int | None = None,
        n_best: int = 1,
        batch_size: int = 128,
        prefix: str = "",
    ) -> Translation: ...

    @overload
    def translate(
        self,
        texts: list[str],
        *,
        beam_size: int | None = None,
        n_best: int = 1,
        batch_size: int = 128,
        prefix: str = "",
    ) -> list[Translation]: ...

    def translate(
        self,
        texts: str | list[str],
        *,
        beam_size: int | None = None,
        n_best: int = 1,
        batch_size: int = 128,
        prefix: str = "",
    ) -> Translation | list[Translation]:
        """Translate a text, or the texts of a list independently of each other.

        The lines of a text are translated separately. If `splits_sentences` is true, the sentences of a line
        are translated separately too, unless there is a prefix or `n_best` is above 1. In C, the translation
        of a text depends neither on the other texts nor on `batch_size`.

        Args:
            texts: a text in the source language, or a list of them. The translation of a blank text is empty.
            beam_size: number of hypotheses that the search keeps at each step. 1 means greedy search. None
                means `search.beam_size` of the model's config.
            n_best: maximum number of candidates of each translation; at most the beam size.
            batch_size: maximum number of sentences that are decoded together.
            prefix: the text with which every translation starts. Whitespace at both ends of it is ignored.

        Returns:
            The translation of the text or, for a list, a list of one translation per text, in their order.

        Raises:
            TypeError: `texts` is neither a string nor a list of strings.
            UsageError: `n_best` exceeds the beam size, a number is below 1, or the prefix has a line break or
                is longer than `model.max_length`.
            ModelError: the scores are not finite.
        """
        sources = _strings(texts)
        prefix_ids = self.forced(prefix)
        options = self.options(beam_size, n_best=n_best, batch_size=batch_size)
        parts = self.cut(sources, sentences=n_best == 1 and not prefix_ids)
        # Only the first part of a text gets the prefix, so parts with and without it are searched separately.
        has_prefix = [bool(prefix_ids) and not part.separator for part, _ in parts]
        found: list[tuple[Part, Result]] = []
        for wanted, ids in ((True, prefix_ids), (False, [])):
            chosen = [part for part, has in zip(parts, has_prefix, strict=True) if has == wanted]
            tokenized = [part_ids for _, part_ids in chosen]
            results = self.search(tokenized, options, n_best=n_best, batch_size=batch_size, prefix=ids)
            found += zip((part for part, _ in chosen), results, strict=True)
        penalty = options.length_penalty
        translations = join_parts(sources, found, self, length_penalty=penalty, n_best=n_best)
        return translations[0] if isinstance(texts, str) else translations

    def cut(self, texts: Sequence[str], *, sentences: bool = True) -> list[tuple[Part, list[int]]]:
        """Map texts, split them into parts (see `splitting.Part`), and tokenize the parts.

        Args:
            texts: texts in the source language. A blank text yields no parts.
            sentences: whether lines may be split into sentences. They are split only if `splits_sentences` is
                true as well.

        Returns:
            The parts of all texts in order, each with its token ids.
        """
        return tokenized_parts(
            texts,
            self.tokenizer,
            input_map=self.mapped,
            sentences=sentences and self.splits_sentences,
            language=self.config.data.source_language,
            max_tokens=self.config.model.max_length - 1,
        )

    def search(
        self,
        sources: Sequence[Sequence[int]],
        options: SearchConfig,
        *,
        n_best: int = 1,
        batch_size: int = 128,
        prefix: Sequence[int] = (),
        prefixes: Sequence[Sequence[int]] | None = None,
        seeds: Sequence[int] = (),
        trace: Trace | None = None,
    ) -> list[Result]:
        """Search for the translations of tokenized sources.

        Args:
            sources: token ids of each source, without the start symbol and the end symbol.
            options: the search settings.
            n_best: maximum number of hypotheses per source; at most the beam size.
            batch_size: maximum number of sentences that are decoded together.
            prefix: ids of the tokens with which every output starts.
            prefixes: for each source, the ids of the tokens with which its output starts, if not `prefix`.
            seeds: for each source, the seed with which its translation is sampled; see `SearchOptions`.
            trace: as in `beam_search`. A trace requires that there is only one source.

        Returns:
            One result per source, in the order of the sources.

        Raises:
            ModelError: the scores are not finite.
            UsageError: a prefix is longer than `model.max_length`.
        """
        n_forced = [*map(len, prefixes)] if prefixes is not None else [len(prefix)] * len(sources)
        longest, most = max([len(prefix), *n_forced]), self.config.model.max_length
        if longest > most:
            raise UsageError(f"the prefix has {longest} tokens; this model allows {most}")
        try:
            results = batched_search(
                self.decoder,
                sources,
                max_lengths=[
                    self.longest_output(ids, options) + n for ids, n in zip(sources, n_forced, strict=True)
                ],
                options=SearchOptions(
                    beam_size=options.beam_size,
                    length_penalty=options.length_penalty,
                    forbidden=self.tokenizer.never_emitted,
                    n_best=n_best,
                    prefix=prefix,
                    seeds=seeds,
                ),
                batch_size=batch_size,
                prefixes=prefixes,
                trace=trace,
            )
        except FloatingPointError:
            raise ModelError(NOT_FINITE_SCORES) from None
        _check_finite(hypothesis.score for result in results for hypothesis in result.hypotheses)
        return results

    def longest_output(self, source: Sequence[int], options: SearchConfig) -> int:
        """Return the maximum length of the translation of a tokenized source, including the end symbol."""
        length = int(len(source) * options.max_length_ratio) + options.max_length_offset
        return min(max(length, 2), self.config.model.max_length)

    def score(
        self, sources: str | list[str], targets: str | list[str], *, batch_size: int = 64
    ) -> list[float]:
        """Return Σ log p of the tokens of each given translation, including the end symbol.

        Args:
            sources: a text of any length, or a list of texts.
            targets: the translations of the sources, one per source.
            batch_size: maximum number of pairs that are scored together.

        Raises:
            TypeError: `sources` or `targets` is neither a string nor a list of strings.
            ModelError: the scores are not finite.
        """
        encode = self.tokenizer.encode_batch
        source_ids = encode([*map(self.mapped, _strings(sources))])
        return self.score_ids(source_ids, encode(_strings(targets)), batch_size=batch_size)

    def score_ids(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], *, batch_size: int = 64
    ) -> list[float]:
        """Return what `score` returns, given the token ids of the texts, without start and end symbols."""
        from translator.translation.scoring import token_log_probs

        log_probs = token_log_probs(self.model, sources, targets=targets, batch_size=batch_size)
        scores = [*map(math.fsum, log_probs)]
        _check_finite(scores)
        return scores

    def forced(self, prefix: str) -> list[int]:
        """Return the token ids of a prefix, a text with which translations are to start.

        Whitespace at both ends of the prefix is removed. In a translation, a space belongs to the token that
        follows it. A space at the end of the prefix would instead become a token of its own, which no
        translation contains.

        Raises:
            UsageError: the prefix has a line break.
        """
        if "\n" in prefix or "\r" in prefix:
            raise UsageError(f"prefix {prefix!r} has a line break; give one line")
        prefix = _BLANK_ENDS.sub("", prefix)
        return self.tokenizer.encode_prefix(prefix) if prefix else []

    def options(self, beam_size: int | None, *, n_best: int = 1, batch_size: int = 1) -> SearchConfig:
        """Return the model's search settings. If `beam_size` is given, it replaces the model's beam size.

        Raises:
            UsageError: `n_best` exceeds the beam size, or a number is below 1.
        """
        options = self.config.search
        if beam_size is not None:
            options = options.model_copy(update={"beam_size": beam_size})
        for name, value in (("beam size", options.beam_size), ("n-best", n_best), ("batch size", batch_size)):
            if value < 1:
                raise UsageError(f"{name} {value} is below 1")
        if n_best > options.beam_size:
            raise UsageError(f"n-best {n_best} is above the beam size {options.beam_size}; raise the beam")
        return options
