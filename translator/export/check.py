"""Whether an exported model translates as ours does: the same search by both, compared line by line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from translator.config import SearchConfig
from translator.errors import DataError, ExportError
from translator.evaluation.metrics import bleu
from translator.translation.inference import Translator

#: Two greedy outputs whose Σ log p, by our model, are this near differ by a rounding error.
CLOSE_CALL = 1e-4

#: Beam searches differ in more than rounding (when to stop, what is summed), so their BLEU is compared.
BEAM_SIZE, MAX_BLEU_DIFFERENCE = 5, 0.1


class Engine(Protocol):
    """Another program with our model in it."""

    def search(
        self,
        sources: Sequence[Sequence[int]],
        max_lengths: Sequence[int],
        options: SearchConfig,
    ) -> list[list[int]]:
        """Translate tokenised sources by the rules of our search; the ids of the best of each, in order."""
        ...


@dataclass(frozen=True)
class CloseCall:
    """A line that came out otherwise by rounding.

    Attributes:
        line: its number, from 1.
        ours: our translation.
        theirs: the other program's.
        log_probs: Σ log p of the two, by our model.
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
    """What a check found.

    Attributes:
        n_lines: lines translated greedily by both, blank ones left out.
        close_calls: those that are not identical; none of them is decided by more than rounding.
        bleu: ours and the other's with a beam of 5; None without references.
        n_beam_identical: lines that are identical with that beam; None without references.
    """

    n_lines: int
    close_calls: list[CloseCall]
    bleu: tuple[float, float] | None
    n_beam_identical: int | None

    def lines(self) -> list[str]:
        """Return what to print."""
        n_close = len({call.line for call in self.close_calls})
        said = [
            f"greedy: {self.n_lines - n_close:,} of {self.n_lines:,} lines identical, "
            f"{n_close:,} close calls",
            *map(str, self.close_calls),
        ]
        if self.bleu is not None:
            ours, theirs = self.bleu
            said.append(
                f"beam {BEAM_SIZE}: {self.n_beam_identical:,} of {self.n_lines:,} lines identical, "
                f"BLEU {ours:.2f}, exported {theirs:.2f}"
            )
        return said


def check(
    translator: Translator, engine: Engine, lines: Sequence[str], references: Sequence[str] | None = None
) -> Agreement:
    """Translate lines by our model and by the exported one, in float32, and compare.

    Greedily, every line must be identical, or our model must score both outputs within `CLOSE_CALL`. With
    references, the BLEU of both with a beam must be within `MAX_BLEU_DIFFERENCE`.

    Args:
        translator: our model, on the CPU.
        engine: the exported one.
        lines: in the source language; blank ones are left out.
        references: a translation of each line.

    Raises:
        DataError: no line has text.
        ExportError: the two do not agree; the message shows the first difference.
    """
    parts = translator.cut(lines, sentences=False)  # other engines get whole lines
    if not parts:
        raise DataError("there is no text to check the export with; give a file with some lines")
    ids, owners = [of_part for _, of_part in parts], [part.number for part, _ in parts]
    calls = _compare_greedy(translator, engine, ids, owners)
    n_lines = len(set(owners))
    if references is None:
        return Agreement(n_lines, calls, None, None)
    found = search_both(translator, engine, ids, BEAM_SIZE)
    ours, theirs = (_texts(translator, outputs, owners, len(lines)) for outputs in found)
    scores = bleu(ours, references), bleu(theirs, references)  # of every line, blank ones too
    if abs(scores[0] - scores[1]) > MAX_BLEU_DIFFERENCE:
        raise ExportError(
            f"the exported model translates otherwise: with a beam of {BEAM_SIZE}, BLEU {scores[1]:.2f} "
            f"instead of {scores[0]:.2f}; nothing was written"
        )
    same = sum(ours[number] == theirs[number] for number in set(owners))
    return Agreement(n_lines, calls, scores, same)


def search_both(
    translator: Translator, engine: Engine, sources: list[list[int]], beam_size: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Both programs' outputs by the same rules: ids of the best translation of each source."""
    options = translator.config.search.model_copy(update={"beam_size": beam_size})
    ours = [found.hypotheses[0].ids for found in translator.search(sources, options)]
    limits = [translator.longest_output(ids, options) for ids in sources]
    theirs = engine.search(sources, limits, options)
    return ours, theirs


def _compare_greedy(
    translator: Translator, engine: Engine, sources: list[list[int]], owners: list[int]
) -> list[CloseCall]:
    ours, theirs = search_both(translator, engine, sources, 1)
    calls = []
    for source, owner, our_ids, their_ids in zip(sources, owners, ours, theirs, strict=True):
        if our_ids == their_ids:
            continue
        ours_scored, theirs_scored = translator.score_ids([source] * 2, [our_ids, their_ids], batch_size=1)
        texts = [translator.tokenizer.decode(ids) for ids in (our_ids, their_ids)]
        call = CloseCall(owner + 1, texts[0], texts[1], (ours_scored, theirs_scored))
        distance = abs(ours_scored - theirs_scored)
        if distance > CLOSE_CALL:
            raise ExportError(
                f"the exported model translates otherwise: line {call.line} becomes {call.theirs!r} instead "
                f"of {call.ours!r}, {distance:.4f} apart in log p; nothing was written"
            )
        calls.append(call)
    return calls


def _texts(translator: Translator, outputs: list[list[int]], owners: list[int], n_lines: int) -> list[str]:
    """The text of each line, joined from its parts as `Translator.translate` does; empty where blank."""
    texts: list[list[str]] = [[] for _ in range(n_lines)]
    for owner, ids in zip(owners, outputs, strict=True):
        texts[owner].append(translator.tokenizer.decode(ids))
    return [" ".join(text) for text in texts]
