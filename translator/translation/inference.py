"""Text in, text out: a loaded model as a `Translator`."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from translator.config import Config, SearchConfig
from translator.data.batching import make_batch, pad
from translator.data.input_map import map_input
from translator.data.tokenizer import Tokenizer
from translator.engine.backend import decoding_engine
from translator.engine.decoding import DecodingEngine
from translator.engine.quantized import PRECISIONS, Precision, nearest
from translator.engine.reference import ReferenceDecoding
from translator.engine.runtime import chunk_size, device_of, parallel_map
from translator.errors import ModelError, UsageError
from translator.model.transformer import EncoderOutput, Transformer
from translator.model_folder import load_model_folder
from translator.search import Result, Trace, search
from translator.search.scoring import normalised
from translator.symbols import EOS, PAD
from translator.translation.splitting import Part, cut, split_text

_BLANK = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]"  # white space, and what has no width
_BLANK_ENDS = re.compile(rf"\A{_BLANK}+|{_BLANK}+\Z")

#: A search whose closest call is nearer than this is done again by itself. In float32 the same sentence's
#: scores differ by up to about 1e-5 with the size of its batch (other orders of summation); everything
#: decided by more than twice that is the same in any batch, so the text never depends on its company.
CLOSE_CALL = 4e-5

#: What the manifest of a model folder calls the share of training sources of two sentences or more.
SHARE = "multi_sentence_share"
#: A model that saw fewer of them translates them one by one, unless told otherwise.
MAX_MULTI_SENTENCE_SHARE = 0.05

DEVICES = ("cpu", "cuda", "mps", "xpu")

SplitSentences = Literal["auto", "always", "never"]
DecodingBackend = Literal["auto", "torch", "reference"]


@dataclass(frozen=True)
class Candidate:
    """One possible translation: its text and its score, Σ log p / length^α."""

    text: str
    score: float


@dataclass(frozen=True)
class Translation:
    """A translated text.

    Attributes:
        text: the best translation; empty where the source is blank.
        score: Σ log p / length^α of it; 0 where the source is blank.
        candidates: the n best, the first being `text`; empty where the source is blank.
        n_parts: what was translated by itself: lines, their sentences where they are split, and parts of what
            is longer than the model takes; 0 if blank.
    """

    text: str
    score: float
    candidates: tuple[Candidate, ...]
    n_parts: int


def learnt_single_sentences(multi_sentence_share: object) -> bool:
    """Return whether a model learnt on lines of one sentence; False where that was not recorded."""
    if not isinstance(multi_sentence_share, float | int):
        return False
    return multi_sentence_share < MAX_MULTI_SENTENCE_SHARE


def _check_finite(scores: Iterable[float]) -> None:
    if not all(map(math.isfinite, scores)):
        raise ModelError("the model's scores are not finite (nan or inf), so its weights are of no use")


class Translator:
    """A model with its vocabulary and search settings; safe to call from several threads."""

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
        """Take a model over, in evaluation mode and with its weights as they are from here on."""
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
            folder: of a finished run.
            device: where to run.
            split_sentences: whether the sentences of a line are translated one by one; auto: where the model
                learnt on lines of one sentence, as its folder says (`MAX_MULTI_SENTENCE_SHARE`).
            precision: of the linear maps. In bfloat16 and int8 a CPU is quicker, and a text may come out
                otherwise in another batch. On a CPU that does not multiply bfloat16, float32 takes its place.
            backend: what computes; reference: the textbook model alone, slowly, in float32.

        Raises:
            ModelError: the folder is absent, unfinished, damaged or of another format version.
            UsageError: there is no such device, precision, backend or way to split.
        """
        for name, value, known in (
            ("precision", precision, PRECISIONS),
            ("split_sentences", split_sentences, get_args(SplitSentences)),
            ("backend", backend, get_args(DecodingBackend)),
            ("device", device.partition(":")[0], DEVICES),
        ):
            if value not in known:
                raise UsageError(f"{name} {value!r} is none of {', '.join(known)}")
        bundle = load_model_folder(Path(folder))
        try:
            model = bundle.model.to(device)
        except (RuntimeError, AssertionError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"device {device!r} cannot be used: {reason}; try cpu") from None
        by_itself = split_sentences == "auto" and learnt_single_sentences(bundle.manifest.get(SHARE))
        return cls(
            model,
            bundle.tokenizer,
            bundle.config,
            precision=precision,
            splits_sentences=by_itself or split_sentences == "always",
            backend=backend,
        )

    def mapped(self, text: str) -> str:
        """Return a source as the model reads it: through the input map, if the model learnt with one."""
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
        """Translate texts, each by itself: one answer a text, in order.

        The lines of a text are translated one by one, and so are the sentences of a line where
        `splits_sentences` is set; not with a prefix, nor where several candidates are wanted. In float32 the
        answer to a text does not depend on the texts beside it nor on `batch_size`.

        Args:
            texts: in the source language; blank ones give an empty answer.
            beam_size: hypotheses kept, 1 being greedy search; None: the model's `search.beam_size`.
            n_best: candidates of each answer, at most `beam_size`.
            batch_size: sentences decoded together.
            prefix: what every translation must begin with; blanks at its ends do not count.

        Raises:
            UsageError: `n_best` is above the beam, a number is below 1, or the prefix has a line break.
            ModelError: the scores are not finite.
        """
        forced = self.forced(prefix)
        options = self.options(beam_size, n_best=n_best, batch_size=batch_size)
        parts = self.cut(texts, sentences=n_best == 1 and not forced)
        by_text: list[list[tuple[Part, Result]]] = [[] for _ in texts]
        # The first part of each text takes the prefix; without one, all parts are searched together.
        firsts = [bool(forced) and not part.separator for part, _ in parts]
        for is_first, start in ((True, forced), (False, [])):
            rows = [row for row, first in enumerate(firsts) if first == is_first]
            found = self.search(
                [parts[row][1] for row in rows], options, n_best=n_best, batch_size=batch_size, prefix=start
            )
            for row, result in zip(rows, found, strict=True):
                part = parts[row][0]
                by_text[part.number].append((part, result))
        return [self.joined(found, options, n_best=n_best) for found in by_text]

    def cut(self, texts: Sequence[str], *, sentences: bool = True) -> list[tuple[Part, list[int]]]:
        """Map, cut and tokenise texts; nothing is left of what is blank.

        Args:
            texts: in the source language.
            sentences: whether lines are cut into sentences, where `splits_sentences` is set.

        Returns:
            All parts, in order, each with its ids.
        """
        limit, language = self.config.model.max_length - 1, self.config.data.source_language

        def fits(part: str) -> bool:
            return len(self.tokenizer.encode(part)) <= limit

        sentences = sentences and self.splits_sentences
        whole = [*cut(texts, self.mapped, sentences=sentences, language=language)]
        found: list[tuple[Part, list[int]]] = []
        # One by one they take 90 µs each, together 11.
        for part, ids in zip(whole, self.tokenizer.encode_batch([part.text for part in whole]), strict=True):
            if len(ids) <= limit:
                found.append((part, ids))
                continue
            pieces = split_text(part.text, fits, language=language)
            for n_before, (text, of_piece) in enumerate(
                zip(pieces, self.tokenizer.encode_batch(pieces), strict=True)
            ):
                separator = " " if n_before else part.separator
                found.append((Part(part.number, text, separator), of_piece))
        return found

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
        """Search for the translations of tokenised sources, longest together; one result each, in order.

        A trace takes what each step of the search looked at; it is of one source.
        """
        longest_first = sorted(range(len(sources)), key=lambda i: (-len(sources[i]), i))
        on_cpu = device_of(self.model).type == "cpu"
        if on_cpu:
            batch_size = chunk_size(len(sources), torch.get_num_threads(), most=batch_size)
        batches = [longest_first[at : at + batch_size] for at in range(0, len(sources), batch_size)]

        def answer(rows: list[int]) -> list[Result]:
            found = self._search_batch([sources[i] for i in rows], options, n_best, prefix, trace)
            for place, result in enumerate(found if self.precision == "float32" else ()):
                if result.margin < CLOSE_CALL and len(rows) > 1:
                    [found[place]] = self._search_batch([sources[rows[place]]], options, n_best, prefix)
            return found

        answers = parallel_map(answer, batches) if on_cpu else [answer(rows) for rows in batches]
        pairs = zip(chain(*batches), chain(*answers), strict=True)
        results = [result for _, result in sorted(pairs, key=lambda pair: pair[0])]
        _check_finite(one.score for result in results for one in result.hypotheses)
        return results

    def longest_output(self, source: Sequence[int], options: SearchConfig) -> int:
        """Return the most pieces of a translation, end symbol included, of a tokenised source."""
        wanted = int(len(source) * options.max_length_ratio) + options.max_length_offset
        return min(wanted, self.config.model.max_length)

    def score(self, sources: Sequence[str], targets: Sequence[str], *, batch_size: int = 64) -> list[float]:
        """Return Σ log p of each given translation, end symbol included, by teacher forcing.

        Args:
            sources: texts of any length.
            targets: their translations, as many.
            batch_size: pairs scored together.
        """
        encode = self.tokenizer.encode_batch
        return self.score_ids(encode([*map(self.mapped, sources)]), encode(targets), batch_size=batch_size)

    @torch.inference_mode()
    def score_ids(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], *, batch_size: int = 64
    ) -> list[float]:
        """Do what `score` does for tokenised pairs, ids without start and end symbols."""
        pairs = list(zip(sources, targets, strict=True))
        order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i][1]), len(pairs[i][0]), i))
        scores = [0.0] * len(pairs)
        for at in range(0, len(pairs), batch_size):
            rows = order[at : at + batch_size]
            batch = make_batch([pairs[i][0] for i in rows], [pairs[i][1] for i in rows])
            batch = batch.to(device_of(self.model))
            log_probs = self.model(batch.source_ids, batch.target_in).float().log_softmax(-1)
            chosen = log_probs.gather(2, batch.target_out[..., None])[..., 0].double()  # (B, T)
            totals = chosen.masked_fill(batch.target_out == PAD, 0).sum(1)
            for row, total in zip(rows, totals.tolist(), strict=True):
                scores[row] = total
        _check_finite(scores)
        return scores

    @torch.inference_mode()
    def _search_batch(
        self,
        sources: Sequence[Sequence[int]],
        options: SearchConfig,
        n_best: int,
        prefix: Sequence[int],
        trace: Trace | None = None,
    ) -> list[Result]:
        device = device_of(self.model)
        source_ids = pad([[*ids, EOS] for ids in sources]).to(device)
        longest = [self.longest_output(ids, options) + len(prefix) for ids in sources]
        return search(
            EngineStepper(self.engine, self.engine.encode(source_ids)),
            torch.tensor(longest, device=device),
            beam_size=options.beam_size,
            length_penalty=options.length_penalty,
            forbidden=torch.tensor(self.tokenizer.never_emitted, device=device),
            n_best=n_best,
            prefix=prefix,
            trace=trace,
        )

    def forced(self, prefix: str) -> list[int]:
        """Return the pieces of what a translation must begin with.

        A blank at its end would be a piece by itself, which no translation has: it belongs to the next word.

        Raises:
            UsageError: it has a line break.
        """
        if "\n" in prefix or "\r" in prefix:
            raise UsageError(f"prefix {prefix!r} has a line break; give one line")
        prefix = _BLANK_ENDS.sub("", prefix)
        return self.tokenizer.encode_prefix(prefix) if prefix else []

    def options(self, beam_size: int | None, *, n_best: int = 1, batch_size: int = 1) -> SearchConfig:
        """Return the model's search settings, with another beam where one is given.

        Raises:
            UsageError: `n_best` is above the beam, or a number is below 1.
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
        """Return the translation of a text out of what was found for its parts, none where it is blank."""
        candidates = tuple(self._candidates(parts, options, n_best))
        if not candidates:
            return Translation("", 0.0, (), 0)
        return Translation(candidates[0].text, candidates[0].score, candidates, len(parts))

    def _candidates(
        self, parts: Sequence[tuple[Part, Result]], options: SearchConfig, n_best: int
    ) -> Iterator[Candidate]:
        """The n best of a text; of a text in parts, the k-th best joins the k-th best of each part."""
        most = max((len(result.hypotheses) for _, result in parts), default=0)
        for k in range(min(n_best, most)):
            chosen = [result.hypotheses[min(k, len(result.hypotheses) - 1)] for _, result in parts]
            texts = [self.tokenizer.decode(hypothesis.ids) for hypothesis in chosen]
            text = "".join(part.separator + text for (part, _), text in zip(parts, texts, strict=True))
            length = sum(len(hypothesis.ids) + 1 for hypothesis in chosen)
            log_prob = sum(hypothesis.log_prob for hypothesis in chosen)
            yield Candidate(text, normalised(log_prob, length, options.length_penalty))


class EngineStepper:
    """A decoding engine as a search sees it (`search.step.Stepper`)."""

    def __init__(self, engine: DecodingEngine | ReferenceDecoding, memory: EncoderOutput):
        """Begin to decode a batch of encoded sources."""
        self.engine: Any = engine
        self.state = engine.start(memory)

    def step(self, tokens: Tensor) -> Tensor:
        """(B, W) last tokens → (B, W, V) float32 log-probabilities of the next."""
        logits = self.engine.step(tokens, self.state).float()
        return torch.log_softmax(logits, -1, out=logits)  # 1.1 instead of 1.4 ms for 320 rows of 8,000

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Leave the sentences out that are finished, and let each hypothesis continue its parent."""
        self.state.reorder(sentences, parents)
