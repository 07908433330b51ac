"""Translation of texts with a loaded model."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import torch

from translator.config import Config, SearchConfig
from translator.data.input_map import map_input
from translator.data.tokenizer import Tokenizer
from translator.engine.backend import decoding_engine
from translator.engine.quantized import PRECISIONS, Precision, nearest
from translator.engine.runtime import device_of
from translator.errors import ModelError, UsageError
from translator.model.transformer import Transformer
from translator.model_folder import load_model_folder
from translator.search import Result, SearchOptions, Trace
from translator.translation.batched_search import batched_search
from translator.translation.joining import Translation, join_parts
from translator.translation.scoring import target_log_probs
from translator.translation.splitting import Part, tokenized_parts

_BLANK = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]"  # whitespace and zero-width characters
_BLANK_ENDS = re.compile(rf"\A{_BLANK}+|{_BLANK}+\Z")

#: Key of the model's manifest for the fraction of training sources that have two or more sentences.
SHARE = "multi_sentence_share"
#: A model for which that fraction is smaller than this translates sentences separately by default.
MAX_MULTI_SENTENCE_SHARE = 0.05

DEVICES = ("cpu", "cuda", "mps", "xpu")

SplitSentences = Literal["auto", "always", "never"]
DecodingBackend = Literal["auto", "torch", "reference"]


def learnt_single_sentences(multi_sentence_share: object) -> bool:
    """Return whether almost all training sources of a model were single sentences; False if unrecorded.

    Args:
        multi_sentence_share: what the model's manifest records under `SHARE`; None if it records nothing.
    """
    if not isinstance(multi_sentence_share, float | int):
        return False
    return multi_sentence_share < MAX_MULTI_SENTENCE_SHARE


def _check_finite(scores: Iterable[float]) -> None:
    if not all(map(math.isfinite, scores)):
        raise ModelError("the model's scores are not finite (nan or inf), so its weights cannot be used")


class Translator:
    """A model with its tokenizer and its search settings. All methods are thread-safe."""

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        config: Config,
        *,
        precision: Precision = "float32",
        splits_sentences: bool = False,
        backend: DecodingBackend = "auto",
    ):
        """Put the model into evaluation mode and prepare it for decoding.

        The decoding engine keeps its own copies of some weights, so the model should not be changed
        afterwards: such changes have no defined effect. `load` describes most of the arguments.

        Args:
            model: on the device to run on.
            tokenizer: the tokenizer of the model.
            config: the config with which the model was trained.
            precision: see `load`.
            splits_sentences: whether each sentence of a line is translated separately.
            backend: see `load`.
        """
        self.model, self.tokenizer, self.config = model.eval(), tokenizer, config
        self.splits_sentences = splits_sentences
        self.precision = "float32" if backend == "reference" else nearest(precision, device_of(model).type)
        self.engine = decoding_engine(model, backend, precision=self.precision)

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
            device: the torch device to run on.
            split_sentences: whether each sentence of a line is translated separately. "auto" means yes if,
                according to its manifest, almost all training sources of the model were single sentences
                (`MAX_MULTI_SENTENCE_SHARE`).
            precision: precision of the linear layers. bfloat16 and int8 are faster on a CPU, but the
                translation of a text may then depend on the other texts in its batch. On a CPU without
                bfloat16 multiplication, bfloat16 means float32.
            backend: the decoding implementation. "reference" is the textbook model, which is slow and always
                computes in float32.

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
            model = loaded.model.to(device)
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
        )

    def mapped(self, text: str) -> str:
        """Return a source as the model reads it: mapped, if the model was trained with an input map."""
        return map_input(text) if self.config.data.input_map else text

    def translate(
        self,
        texts: Sequence[str],
        *,
        beam_size: int | None = None,
        n_best: int = 1,
        batch_size: int = 128,
        prefix: str = "",
    ) -> list[Translation]:
        """Translate texts independently of each other.

        The lines of a text are translated separately. If `splits_sentences` is set, the sentences of a line
        are also translated separately, unless there is a prefix or `n_best` is above 1. In float32, the
        translation of a text depends neither on the other texts nor on `batch_size`.

        Args:
            texts: texts in the source language. The translation of a blank text is empty.
            beam_size: number of hypotheses kept; 1 means greedy search; None: the model's `search.beam_size`.
            n_best: number of candidates of each translation, at most `beam_size`.
            batch_size: maximum number of sentences decoded together.
            prefix: the text that every translation starts with. Whitespace at its ends is ignored.

        Returns:
            One translation per text, in order.

        Raises:
            UsageError: `n_best` exceeds the beam size, a number is below 1, or the prefix has a line break.
            ModelError: the scores are not finite.
        """
        prefix_ids = self.forced(prefix)
        options = self.options(beam_size, n_best=n_best, batch_size=batch_size)
        parts = self.cut(texts, sentences=n_best == 1 and not prefix_ids)
        by_text: list[list[tuple[Part, Result]]] = [[] for _ in texts]
        # Only the first part of a text starts with the prefix. Without a prefix, all parts share one search.
        has_prefix = [bool(prefix_ids) and not part.separator for part, _ in parts]
        for wanted, ids in ((True, prefix_ids), (False, [])):
            chosen = [part for part, has in zip(parts, has_prefix, strict=True) if has == wanted]
            sources = [source for _, source in chosen]
            results = self.search(sources, options, n_best=n_best, batch_size=batch_size, prefix=ids)
            for (part, _), result in zip(chosen, results, strict=True):
                by_text[part.number].append((part, result))
        return [self.joined(of_text, options, n_best=n_best) for of_text in by_text]

    def cut(self, texts: Sequence[str], *, sentences: bool = True) -> list[tuple[Part, list[int]]]:
        """Map, split and tokenize texts.

        Args:
            texts: texts in the source language. Blank texts have no parts.
            sentences: whether lines are split into sentences, if `splits_sentences` is set.

        Returns:
            All parts in order, each with its token ids.
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
        trace: Trace | None = None,
    ) -> list[Result]:
        """Search for the translations of tokenized sources.

        Args:
            sources: token ids without start and end symbols.
            options: the search settings.
            n_best: number of hypotheses per source, at most the beam size.
            batch_size: maximum number of sentences decoded together.
            prefix: token ids that every output starts with.
            trace: as in `beam_search`; only possible for a single source.

        Returns:
            One result per source, in order.

        Raises:
            ModelError: the scores are not finite.
        """
        results = batched_search(
            self.engine,
            sources,
            max_lengths=[self.longest_output(ids, options) + len(prefix) for ids in sources],
            options=SearchOptions(
                beam_size=options.beam_size,
                length_penalty=options.length_penalty,
                forbidden=torch.tensor(self.tokenizer.never_emitted, device=device_of(self.model)),
                n_best=n_best,
                prefix=prefix,
            ),
            batch_size=batch_size,
            repeat_close_calls=self.precision == "float32",
            trace=trace,
        )
        _check_finite(hypothesis.score for result in results for hypothesis in result.hypotheses)
        return results

    def longest_output(self, source: Sequence[int], options: SearchConfig) -> int:
        """Return the maximum length of the translation of a tokenized source, end symbol included."""
        length = int(len(source) * options.max_length_ratio) + options.max_length_offset
        return min(length, self.config.model.max_length)

    def score(self, sources: Sequence[str], targets: Sequence[str], *, batch_size: int = 64) -> list[float]:
        """Return Σ log p of each given translation, end symbol included, by teacher forcing.

        Args:
            sources: texts of any length.
            targets: their translations, one per source.
            batch_size: number of pairs scored together.

        Raises:
            ModelError: the scores are not finite.
        """
        encode = self.tokenizer.encode_batch
        return self.score_ids(encode([*map(self.mapped, sources)]), encode(targets), batch_size=batch_size)

    def score_ids(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], *, batch_size: int = 64
    ) -> list[float]:
        """Score tokenized pairs, given as ids without start and end symbols; see `score`."""
        scores = target_log_probs(self.model, sources, targets=targets, batch_size=batch_size)
        _check_finite(scores)
        return scores

    def forced(self, prefix: str) -> list[int]:
        """Return the token ids of the start of a translation.

        Whitespace at both ends of the prefix is removed. Whitespace at its end would become a token that no
        translation contains, since a space belongs to the token that follows it.

        Raises:
            UsageError: the prefix has a line break.
        """
        if "\n" in prefix or "\r" in prefix:
            raise UsageError(f"prefix {prefix!r} has a line break; give one line")
        prefix = _BLANK_ENDS.sub("", prefix)
        return self.tokenizer.encode_prefix(prefix) if prefix else []

    def options(self, beam_size: int | None, *, n_best: int = 1, batch_size: int = 1) -> SearchConfig:
        """Return the model's search settings, with `beam_size` replaced unless it is None.

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

    def joined(
        self, parts: Sequence[tuple[Part, Result]], options: SearchConfig, *, n_best: int = 1
    ) -> Translation:
        """Return the translation of a text from the results of its parts; see `join_parts`."""
        penalty = options.length_penalty
        return join_parts(parts, self.tokenizer, length_penalty=penalty, n_best=n_best)
