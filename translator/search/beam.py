"""Beam search over a batch of sentences."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from translator.search.scoring import best_possible, normalised
from translator.search.step import NOTHING, Hypothesis, Result, Stepper, fill_gaps, mask_log_probs
from translator.search.top import best_continuations
from translator.search.trace import Considered, Trace, considered
from translator.symbols import BOS, EOS


def beam_search(
    stepper: Stepper,
    max_lengths: Tensor,
    *,
    beam_size: int,
    length_penalty: float,
    forbidden: Tensor,
    n_best: int = 1,
    prefix: Sequence[int] = (),
    trace: Trace | None = None,
) -> list[Result]:
    """Decode a batch of sentences with a beam.

    Each step takes the best 2 · `beam_size` continuations of a sentence. Those that end, if among the best
    `beam_size`, are finished; the best `beam_size` others go on. A sentence stops when `beam_size`
    hypotheses are finished, when a bound shows that no live one can still enter the n best, or at its limit,
    whatever the scores are. Finished sentences leave the batch. Exactly equal scores are ordered by
    hypothesis, then by piece number.

    Args:
        stepper: the model, before the start symbol.
        max_lengths: (B,) int64, most pieces of each output, end symbol included, at least 2.
        beam_size: W, hypotheses kept.
        length_penalty: α of `scoring.normalised`.
        forbidden: ids that are never chosen.
        n_best: results wanted for each sentence, at most `beam_size`.
        prefix: pieces that every output begins with; they count in score and length.
        trace: takes what each step looked at; for one sentence only. It changes nothing.

    Returns:
        One result a sentence, in order.

    Raises:
        ValueError: `n_best` is above `beam_size`, or there is a trace and not one sentence.
    """
    if n_best > beam_size:
        raise ValueError(f"n_best={n_best} is above beam_size={beam_size}")
    if trace is not None and len(max_lengths) != 1:
        raise ValueError(f"a trace is of one sentence; this batch has {len(max_lengths)}")
    beam = _Beam(stepper, max_lengths, beam_size, length_penalty, n_best, trace)
    for token in prefix:
        beam.force(token)
    while beam.numbers:
        beam.advance(forbidden)
    return [sentence.result(n_best) for sentence in beam.sentences]


@dataclass
class _Sentence:
    """What is known of one sentence: its finished hypotheses and its closest call."""

    max_length: int
    finished: list[Hypothesis] = field(default_factory=list)
    margin: float = torch.inf

    def finish(self, ids: list[int], log_prob: float, alpha: float) -> None:
        score = normalised(log_prob, len(ids) + 1, alpha)
        self.finished.append(Hypothesis(ids, log_prob, score))
        self.finished.sort(key=lambda hypothesis: -hypothesis.score)  # stable: the first of equals leads

    def is_over(self, best_live: float, length: int, *, beam_size: int, n_best: int, alpha: float) -> bool:
        """Whether enough hypotheses are finished, or none that is live can enter the n best."""
        if len(self.finished) >= beam_size or best_live == -torch.inf or length >= self.max_length:
            return True
        if len(self.finished) < n_best:
            return False
        lead = self.finished[n_best - 1].score - best_possible(best_live, self.max_length, alpha)
        self.margin = min(self.margin, abs(lead))
        return lead >= 0

    def result(self, n_best: int) -> Result:
        if not self.finished:  # no finite score led to an end
            return Result([NOTHING], self.margin)
        scores = [hypothesis.score for hypothesis in self.finished[: n_best + 1]]
        gaps = [better - worse for better, worse in pairwise(scores)]
        return Result(self.finished[:n_best], min([self.margin, *gaps]))


class _Beam:
    """The live hypotheses: B active sentences × W each, W being 1 before the first choice.

    Scores are summed in float64, so that their rounding errors are the model's alone.
    """

    def __init__(
        self,
        stepper: Stepper,
        max_lengths: Tensor,
        beam_size: int,
        length_penalty: float,
        n_best: int,
        trace: Trace | None,
    ):
        n, device = len(max_lengths), max_lengths.device
        self.stepper, self.beam_size, self.alpha, self.n_best = stepper, beam_size, length_penalty, n_best
        self.trace, self.max_lengths = trace, max_lengths  # (B,)
        self.numbers = list(range(n))  # B numbers of the sentences that are still active
        self.everyone = torch.arange(n, device=device)  # (B,)
        self.tokens = torch.full((n, 1), BOS, device=device)  # (B, W)
        self.scores = torch.zeros(n, 1, dtype=torch.float64, device=device)  # (B, W)
        self.history = torch.empty(n, 1, 0, dtype=torch.int64, device=device)  # (B, W, length)
        self.margins = torch.full((n,), torch.inf, dtype=torch.float64, device=device)  # (B,)
        self.sentences = [_Sentence(most) for most in max_lengths.tolist()]
        self.shortest = min((sentence.max_length for sentence in self.sentences), default=0)  # of the limits

    def force(self, token: int) -> None:
        """Continue the one hypothesis of each sentence with a given token."""
        log_probs = self.stepper.step(self.tokens)
        self.tokens = torch.full_like(self.tokens, token)
        self.scores = self.scores + log_probs[..., token]
        if self.trace is not None:
            self.trace.append([Considered(float(self.scores), 0, token, "kept")])
        self.history = torch.cat([self.history, self.tokens[..., None]], -1)
        self.stepper.reorder(self.everyone, torch.zeros_like(self.tokens))

    def advance(self, forbidden: Tensor) -> None:
        """Choose one more token for every hypothesis; let finished sentences leave."""
        length = self.history.size(-1) + 1
        log_probs = self.stepper.step(self.tokens)  # (B, W, V)
        at_limit = self.max_lengths <= length if length >= self.shortest else None
        mask_log_probs(log_probs, forbidden=forbidden, end=EOS, at_start=length == 1, at_limit=at_limit)
        # The best 2 W hold W that go on, since at most W end; one more shows how close the decision was.
        scores, parents, tokens = best_continuations(self.scores, log_probs, 2 * self.beam_size + 1)
        ends, most = tokens == EOS, self.beam_size
        if self.trace is not None:
            self.trace.append(considered(scores[0], parents[0], tokens[0], beam_size=most))
        if bool(ends.any()):
            self._finish(scores, parents, ends)
            self.margins = torch.fmin(self.margins, closest_end(scores, ends, most))
            # Those that go on, in order of score: a stable sort brings them before those that end.
            order = ends.to(torch.int8).argsort(dim=1, stable=True)
            scores = scores.masked_fill(ends, -torch.inf).gather(1, order)
            parents, tokens = parents.gather(1, order), tokens.gather(1, order)
        # Which of two that go on is the better one changes nothing, only which is the first left out.
        self.margins = torch.fmin(self.margins, scores[:, most - 1] - scores[:, most])  # nan: -inf − -inf
        self.scores, parents, self.tokens = scores[:, :most], parents[:, :most], tokens[:, :most]
        before = self.history.gather(1, parents[..., None].expand(-1, -1, length - 1))
        self.history = torch.cat([before, self.tokens[..., None]], -1)
        self._leave(parents)

    def _leave(self, parents: Tensor) -> None:
        """Let the sentences go that are over; go on with the others from the given hypotheses, (B, W)."""
        keep = [
            row
            for row, (sentence, best) in enumerate(zip(self.numbers, self.scores[:, 0].tolist(), strict=True))
            if not self.sentences[sentence].is_over(
                best, self.history.size(-1), beam_size=self.beam_size, n_best=self.n_best, alpha=self.alpha
            )
        ]
        rows = self.everyone
        if len(keep) < len(parents):
            keep = fill_gaps(keep)
            rows = torch.tensor(keep, dtype=torch.int64, device=parents.device)
            self.everyone = self.everyone[: len(keep)]
            for sentence, margin in zip(self.numbers, self.margins.tolist(), strict=True):
                self.sentences[sentence].margin = min(self.sentences[sentence].margin, margin)
            self.numbers = [self.numbers[row] for row in keep]
            self.max_lengths, self.margins = self.max_lengths[rows], self.margins[rows]
            self.tokens, self.scores, parents = self.tokens[rows], self.scores[rows], parents[rows]
            self.history = self.history[rows]
        self.stepper.reorder(rows, parents)

    def _finish(self, scores: Tensor, parents: Tensor, ends: Tensor) -> None:
        """Take in the hypotheses that end among the best W candidates."""
        first = slice(self.beam_size)
        rows, ranks = (ends[:, first] & scores[:, first].isfinite()).nonzero(as_tuple=True)
        found = zip(
            rows.tolist(),
            self.history[rows, parents[rows, ranks]].tolist(),
            scores[rows, ranks].tolist(),
            strict=True,
        )
        for row, ids, log_prob in found:
            self.sentences[self.numbers[row]].finish(ids, log_prob, self.alpha)


def closest_end(scores: Tensor, ends: Tensor, beam_size: int) -> Tensor:
    """Return how close, in each sentence, the nearest that ends is to the place up to which they count.

    Args:
        scores: (B, 2 W + 1) of the continuations, best first.
        ends: (B, 2 W + 1) bool, which of them end.
        beam_size: W, places that count.
    """
    last, next_one = scores[:, beam_size - 1, None], scores[:, beam_size, None]
    counts = torch.arange(scores.size(1), device=scores.device) < beam_size
    gaps = torch.where(counts, scores - next_one, last - scores).masked_fill(~ends, torch.inf)
    return gaps.nan_to_num(nan=torch.inf, posinf=torch.inf).amin(1)  # nan: -inf − -inf
