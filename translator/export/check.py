"""Verification of an exported model: translate the same lines with both models and compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from translator.config import SearchConfig
from translator.errors import DataError, ExportError
from translator.evaluation.metrics import bleu
from translator.search.scoring import normalised
from translator.translation.inference import Translator

#: If the outputs of the two models differ, our model scores both: with Σ log p for greedy search, as in
#: `search.scoring` for beam search. If the scores differ by at most this number, rounding is accepted as the
#: cause.
CLOSE_CALL = 1e-4

#: Beam size of the comparison with beam search, and the largest difference in BLEU that is accepted. The beam
#: search of CTranslate2 differs from ours in when it stops and in how it scores hypotheses. So single
#: translations may differ, and only the BLEU scores must be close. That of Transformers is ours.
BEAM_SIZE, MAX_BLEU_DIFFERENCE = 5, 0.1


class Engine(Protocol):
    """The exported model, run by another program.

    Attributes:
        same_search: whether its beam search is ours, so that beams are compared line by line.
    """

    same_search: bool

    def search(
        self,
        sources: Sequence[Sequence[int]],
        max_lengths: Sequence[int],
        options: SearchConfig,
    ) -> list[list[int]]:
        """Translate tokenized sources with our search options.

        Returns:
            For each source, in order, the token ids of the best output.
        """
        ...


@dataclass(frozen=True)
class CloseCall:
    """A line that the two models translate differently because of rounding.

    Attributes:
        line: line number, from 1.
        ours: our model's translation.
        theirs: the exported model's translation.
        scores: the scores of `ours` and of `theirs`, both computed by our model; see `CLOSE_CALL`.
    """

    line: int
    ours: str
    theirs: str
    scores: tuple[float, float]

    def __str__(self) -> str:
        ours, theirs = self.scores
        alternatives = f"{self.ours!r} ({ours:.5f}), exported {self.theirs!r} ({theirs:.5f})"
        return f"line {self.line}: close call: {alternatives}"


@dataclass(frozen=True)
class Comparison:
    """The lines that the two models translate differently with one beam size, 1 for greedy search.

    Attributes:
        beam_size: the beam size.
        close_calls: lines that differ because of rounding. Any other difference makes the verification fail,
            except those of `at_limit`.
        at_limit: numbers of lines that differ because our maximum length ended the search. The exported
            model has another limit.
    """

    beam_size: int
    close_calls: list[CloseCall]
    at_limit: list[int]

    def lines(self, n_lines: int) -> list[str]:
        """Return the result as lines of text, given the number of lines that were translated."""
        name = "greedy" if self.beam_size == 1 else f"beam {self.beam_size}"
        close, n_limit = {call.line for call in self.close_calls}, len({*self.at_limit})
        n_same = n_lines - len(close | {*self.at_limit})
        first = f"{name}: {n_same:,} of {n_lines:,} lines identical, {len(close):,} close calls"
        limit = [f"lines at the length limit: {', '.join(map(str, self.at_limit))}"] if n_limit else []
        first += f", {n_limit:,} at the length limit" if n_limit else ""
        return [first, *limit, *map(str, self.close_calls)]


@dataclass(frozen=True)
class Agreement:
    """The result of a verification.

    Attributes:
        n_lines: number of lines that both models translated. Blank lines are not counted.
        comparisons: the comparison of greedy search and, if the exported model has our search, that of beam
            search.
        bleu: BLEU of our model and of the exported model with beam search. None if no references are given.
        n_beam_identical: number of lines that both models translate identically with beam search. None if no
            references are given.
    """

    n_lines: int
    comparisons: list[Comparison]
    bleu: tuple[float, float] | None
    n_beam_identical: int | None

    def lines(self) -> list[str]:
        """Return the result as lines of text."""
        lines = [line for comparison in self.comparisons for line in comparison.lines(self.n_lines)]
        if self.bleu is not None:
            ours, theirs = self.bleu
            lines.append(
                f"beam {BEAM_SIZE}: {self.n_beam_identical:,} of {self.n_lines:,} lines identical, "
                f"BLEU {ours:.2f}, exported {theirs:.2f}"
            )
        return lines


def check(
    translator: Translator, engine: Engine, lines: Sequence[str], references: Sequence[str] | None = None
) -> Agreement:
    """Translate lines with our model and with the exported model, in float32, and compare the translations.

    With greedy search, the two outputs for a line must be identical, or a `CloseCall`, or at our maximum
    length if the exported model has another one. If the exported model has our search, the same is true of
    beam search. If there are references, the lines are translated with beam search in any case, and the BLEU
    scores of the two models must differ by at most `MAX_BLEU_DIFFERENCE`.

    Args:
        translator: our model, on the CPU.
        engine: the exported model.
        lines: lines in the source language; blank lines are skipped.
        references: a translation of each line.

    Raises:
        DataError: all lines are blank.
        ExportError: the models disagree; the message shows the first difference.
    """
    # Lines are not split into sentences, because users of the exported model translate whole lines.
    parts = translator.cut(lines, sentences=False)
    if not parts:
        raise DataError("there is no text to check the export with; give a file with some lines")
    ids, line_of = [part_ids for _, part_ids in parts], [part.number for part, _ in parts]
    comparisons = [_compare(translator, ids, line_of, search_both(translator, engine, ids, 1), beam_size=1)]
    n_lines = len(set(line_of))
    if references is None and not engine.same_search:
        return Agreement(n_lines, comparisons, None, None)
    outputs = search_both(translator, engine, ids, BEAM_SIZE)
    if engine.same_search:
        comparisons.append(_compare(translator, ids, line_of, outputs, beam_size=BEAM_SIZE))
    if references is None:
        return Agreement(n_lines, comparisons, None, None)
    ours, theirs = (_texts(translator, found, line_of, len(lines)) for found in outputs)
    scores = bleu(ours, references), bleu(theirs, references)  # blank lines are scored, too
    if abs(scores[0] - scores[1]) > MAX_BLEU_DIFFERENCE:
        raise ExportError(
            f"the exported model translates differently: with a beam of {BEAM_SIZE}, BLEU {scores[1]:.2f} "
            f"instead of {scores[0]:.2f}; nothing was written"
        )
    same = sum(ours[number] == theirs[number] for number in set(line_of))
    return Agreement(n_lines, comparisons, scores, same)


def search_both(
    translator: Translator, engine: Engine, sources: list[list[int]], beam_size: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Translate tokenized sources with both models and the same options.

    Returns:
        Our model's outputs, and the exported model's outputs. Each output is a source's best
        translation, as a list of token ids.
    """
    options = translator.config.search.model_copy(update={"beam_size": beam_size})
    ours = [result.hypotheses[0].ids for result in translator.search(sources, options)]
    limits = [translator.longest_output(ids, options) for ids in sources]
    theirs = engine.search(sources, limits, options)
    return ours, theirs


def _compare(
    translator: Translator,
    sources: list[list[int]],
    line_of: list[int],
    outputs: tuple[list[list[int]], list[list[int]]],
    *,
    beam_size: int,
) -> Comparison:
    found = Comparison(beam_size, [], [])
    alpha = translator.config.search.length_penalty if beam_size > 1 else 0.0
    for source, line, our_ids, their_ids in zip(sources, line_of, *outputs, strict=True):
        if our_ids == their_ids:
            continue
        limit = translator.longest_output(source, translator.config.search)
        # No output of an engine that takes our limits is longer. Greedy search would continue ours. A beam
        # may also prefer an output that the limit ended to one that it would have continued.
        is_longer, their_ids = len(their_ids) >= limit, their_ids[: limit - 1]
        if (is_longer and our_ids == their_ids) or (
            beam_size > 1 and (is_longer or len(our_ids) + 1 == limit)
        ):
            found.at_limit.append(line + 1)
            continue
        both = [our_ids, their_ids]
        log_probs = translator.score_ids([source] * 2, both, batch_size=1)
        ours, theirs = (
            normalised(score, len(ids) + 1, alpha) for score, ids in zip(log_probs, both, strict=True)
        )
        texts = [translator.tokenizer.decode(ids) for ids in both]
        call = CloseCall(line + 1, texts[0], texts[1], (ours, theirs))
        if abs(ours - theirs) > CLOSE_CALL:
            raise ExportError(
                f"the exported model's translations differ: line {call.line} becomes {call.theirs!r} instead "
                f"of {call.ours!r}, {abs(ours - theirs):.4f} apart in log p; nothing was written"
            )
        found.close_calls.append(call)
    return found


def _texts(translator: Translator, outputs: list[list[int]], line_of: list[int], n_lines: int) -> list[str]:
    """Return the translation of each line: the translations of its parts, joined with spaces.

    A blank line has no parts, so its translation is empty.

    Args:
        translator: the translator whose tokenizer decodes the outputs.
        outputs: for each part, the token ids of its translation.
        line_of: for each part, the index of its line.
        n_lines: number of lines, blank lines included.
    """
    texts: list[list[str]] = [[] for _ in range(n_lines)]
    for line, ids in zip(line_of, outputs, strict=True):
        texts[line].append(translator.tokenizer.decode(ids))
    return [" ".join(text) for text in texts]
