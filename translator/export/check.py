"""Verification of an exported model: translate the same lines with both models and compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from translator.config import SearchConfig
from translator.errors import DataError, ExportError
from translator.evaluation.metrics import bleu
from translator.translation.inference import Translator

#: If the greedy outputs of the two models differ, our model computes Σ log p of both outputs. If the two
#: values of Σ log p differ by at most this number, rounding is accepted as the cause.
CLOSE_CALL = 1e-4

#: Beam size of the comparison with beam search, and the largest difference in BLEU that is accepted. The beam
#: search of CTranslate2 differs from ours in when it stops and in how it scores hypotheses. So single
#: translations may differ, and only the BLEU scores must be close.
BEAM_SIZE, MAX_BLEU_DIFFERENCE = 5, 0.1


class Engine(Protocol):
    """The exported model, run by another program."""

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
        log_probs: Σ log p of `ours` and of `theirs`, both computed by our model.
    """

    line: int
    ours: str
    theirs: str
    log_probs: tuple[float, float]

    def __str__(self) -> str:
        ours, theirs = self.log_probs
        alternatives = f"{self.ours!r} ({ours:.5f}), exported {self.theirs!r} ({theirs:.5f})"
        return f"line {self.line}: close call: {alternatives}"


@dataclass(frozen=True)
class Agreement:
    """The result of a verification.

    Attributes:
        n_lines: number of lines that both models translated. Blank lines are not counted.
        close_calls: the lines that the two models translate differently with greedy search. The cause is
            always rounding, because any other difference makes the verification fail.
        bleu: BLEU of our model and of the exported model with beam search. None if no references are given.
        n_beam_identical: number of lines that both models translate identically with beam search. None if no
            references are given.
    """

    n_lines: int
    close_calls: list[CloseCall]
    bleu: tuple[float, float] | None
    n_beam_identical: int | None

    def lines(self) -> list[str]:
        """Return the result as lines of text."""
        n_close = len({call.line for call in self.close_calls})
        lines = [
            f"greedy: {self.n_lines - n_close:,} of {self.n_lines:,} lines identical, "
            f"{n_close:,} close calls",
            *map(str, self.close_calls),
        ]
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

    With greedy search, the two outputs for a line must be identical, or their Σ log p, both computed by our
    model, must differ by at most `CLOSE_CALL`. If there are references, the lines are also translated with
    beam search, and the BLEU scores of the two models must differ by at most `MAX_BLEU_DIFFERENCE`.

    Args:
        translator: our model, on the CPU.
        engine: the exported model.
        lines: lines in the source language; blank lines are skipped.
        references: a translation of each line.

    Raises:
        DataError: all lines are blank.
        ExportError: the models disagree; the message shows the first difference.
    """
    # Lines are not split into sentences, because users of CTranslate2 translate whole lines.
    parts = translator.cut(lines, sentences=False)
    if not parts:
        raise DataError("there is no text to check the export with; give a file with some lines")
    ids, line_of = [part_ids for _, part_ids in parts], [part.number for part, _ in parts]
    calls = _compare_greedy(translator, engine, ids, line_of)
    n_lines = len(set(line_of))
    if references is None:
        return Agreement(n_lines, calls, None, None)
    ours, theirs = (
        _texts(translator, outputs, line_of, len(lines))
        for outputs in search_both(translator, engine, ids, BEAM_SIZE)
    )
    scores = bleu(ours, references), bleu(theirs, references)  # blank lines are scored, too
    if abs(scores[0] - scores[1]) > MAX_BLEU_DIFFERENCE:
        raise ExportError(
            f"the exported model translates differently: with a beam of {BEAM_SIZE}, BLEU {scores[1]:.2f} "
            f"instead of {scores[0]:.2f}; nothing was written"
        )
    same = sum(ours[number] == theirs[number] for number in set(line_of))
    return Agreement(n_lines, calls, scores, same)


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


def _compare_greedy(
    translator: Translator, engine: Engine, sources: list[list[int]], line_of: list[int]
) -> list[CloseCall]:
    ours, theirs = search_both(translator, engine, sources, 1)
    calls = []
    for source, line, our_ids, their_ids in zip(sources, line_of, ours, theirs, strict=True):
        if our_ids == their_ids:
            continue
        our_score, their_score = translator.score_ids([source] * 2, [our_ids, their_ids], batch_size=1)
        texts = [translator.tokenizer.decode(ids) for ids in (our_ids, their_ids)]
        call = CloseCall(line + 1, texts[0], texts[1], (our_score, their_score))
        distance = abs(our_score - their_score)
        if distance > CLOSE_CALL:
            raise ExportError(
                f"the exported model's translations differ: line {call.line} becomes {call.theirs!r} instead "
                f"of {call.ours!r}, {distance:.4f} apart in log p; nothing was written"
            )
        calls.append(call)
    return calls


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
