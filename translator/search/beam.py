"""Beam search over a batch of sentences."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from translator.search.greedy import greedy_search
from translator.search.result import NOTHING, Hypothesis, Result, SearchOptions
from translator.search.scoring import best_possible, normalised
from translator.search.step import Stepper, fill_gaps, mask_log_probs
from translator.search.top import best_continuations
from translator.search.trace import Considered, Trace, considered
from translator.symbols import BOS, EOS


def search(
    stepper: Stepper, max_lengths: Tensor, *, options: SearchOptions, trace: Trace | None = None
) -> list[Result]:
    """Run greedy search if the beam size is 1 and `trace` is None, else beam search.

    `beam_search` describes the arguments and the result.
    """
    if options.beam_size == options.n_best == 1 and trace is None:
        return greedy_search(stepper, max_lengths, options=options)
    return beam_search(stepper, max_lengths, options=options, trace=trace)


def beam_search(
    stepper: Stepper, max_lengths: Tensor, *, options: SearchOptions, trace: Trace | None = None
) -> list[Result]:
    """Decode a batch of sentences with beam search.

    The beam of a sentence contains W live (unfinished) hypotheses, where W is the beam size. A continuation
    is a live hypothesis with one more token. Each step ranks the 2 W best continuations of each sentence. A
    continuation that ends with the end symbol becomes a finished hypothesis if it is among the best W. Of the
    continuations that do not end with the end symbol, the best W become the live hypotheses of the next step.
    Continuations with exactly equal scores are ordered by the index of their hypothesis, then by token id.

    The search for a sentence is over when W hypotheses are finished, when a bound shows that no live
    hypothesis can still become one of the n best, or when the maximum length is reached. The sentence then
    leaves the batch.

    Args:
        stepper: the model and its decoding state, to which no token has been appended yet. The search appends
            the start symbol itself.
        max_lengths: (B,) int64, maximum length of each output, including the end symbol; at least 2.
        options: options of the search.
        trace: a list to which each step appends the continuations that it ranked, or None. A trace requires a
            batch of one sentence. It does not change the result.

    Returns:
        One result per sentence, in order.

    Raises:
        ValueError: a trace is given and B is not 1.
    """
    if trace is not None and len(max_lengths) != 1:
        raise ValueError(f"a trace is of one sentence; this batch has {len(max_lengths)}")
    beam = _Beam(stepper, max_lengths, options=options, trace=trace)
    for token in options.prefix:
        beam.force(token)
    while beam.active:
        beam.advance()
    return [sentence.result(options.n_best) for sentence in beam.sentences]


@dataclass
class _Sentence:
    """The state of the search for one sentence."""

    max_length: int
    finished: list[Hypothesis] = field(default_factory=list)

    def finish(self, ids: list[int], log_prob: float, alpha: float) -> None:
        score = normalised(log_prob, len(ids) + 1, alpha)
        self.finished.append(Hypothesis(ids, log_prob, score))
        self.finished.sort(key=lambda hypothesis: -hypothesis.score)  # `sort` keeps equal scores in order

    def is_over(self, best_live: float, length: int, options: SearchOptions) -> bool:
        """Return whether the search for the sentence is over; see `beam_search`.

        Args:
            best_live: Σ log p of the best live hypothesis of the sentence.
            length: number of tokens of each live hypothesis.
            options: options of the search.
        """
        if len(self.finished) >= options.beam_size or best_live == -torch.inf or length >= self.max_length:
            return True
        if len(self.finished) < options.n_best:
            return False
        bound = best_possible(best_live, self.max_length, options.length_penalty)
        return self.finished[options.n_best - 1].score >= bound

    def result(self, n_best: int) -> Result:
        return Result(self.finished[:n_best] or [NOTHING])  # `NOTHING` if no output has a finite score


class _Beam:
    """The live hypotheses of a batch: W hypotheses for each of the B active sentences.

    A sentence is active until its search is over. W is 1 before the first step that chooses tokens, and the
    beam size after it. Scores are summed in float64, so that practically all rounding errors come from the
    model.
    """

    def __init__(self, stepper: Stepper, max_lengths: Tensor, *, options: SearchOptions, trace: Trace | None):
        n, device = len(max_lengths), max_lengths.device
        self.stepper, self.options, self.trace = stepper, options, trace
        self.max_lengths = max_lengths  # (B,)
        self.active = list(range(n))  # indices of the B active sentences
        self.rows = torch.arange(n, device=device)  # (B,)
        self.tokens = torch.full((n, 1), BOS, device=device)  # (B, W)
        self.scores = torch.zeros(n, 1, dtype=torch.float64, device=device)  # (B, W)
        self.history = torch.empty(n, 1, 0, dtype=torch.int64, device=device)  # (B, W, length)
        self.sentences = [_Sentence(max_length) for max_length in max_lengths.tolist()]
        self.min_max_length = min(max_lengths.tolist(), default=0)

    def force(self, token: int) -> None:
        """Append a token of the prefix to the single hypothesis of each sentence."""
        log_probs = self.stepper.step(self.tokens)
        self.tokens = torch.full_like(self.tokens, token)
        self.scores = self.scores + log_probs[..., token]
        if self.trace is not None:
            self.trace.append([Considered(float(self.scores), 0, token, "kept")])
        self.history = torch.cat([self.history, self.tokens[..., None]], -1)
        self.stepper.reorder(self.rows, torch.zeros_like(self.tokens))

    def advance(self) -> None:
        """Run one step of the search, and remove the sentences whose search is over."""
        length, beam_size = self.history.size(-1) + 1, self.options.beam_size
        log_probs = self.stepper.step(self.tokens)  # (B, W, V)
        at_limit = self.max_lengths <= length if length >= self.min_max_length else None
        mask_log_probs(
            log_probs, forbidden=self.options.forbidden, end=EOS, at_start=length == 1, at_limit=at_limit
        )
        # Each hypothesis has only one continuation that ends with the end symbol. Of the best 2 W
        # continuations, at least W therefore do not end with it and can stay in the beam. One more shows, in
        # a trace, how close the decision was.
        scores, parents, tokens = best_continuations(self.scores, log_probs, 2 * beam_size + 1)
        ends = tokens == EOS
        if self.trace is not None:
            ranked = zip(scores[0].tolist(), parents[0].tolist(), tokens[0].tolist(), strict=True)
            self.trace.append(considered(ranked, beam_size=beam_size))
        if bool(ends.any()):
            self._finish(scores, parents, ends)
            # A stable sort moves the continuations that end to the back and keeps the others in order.
            order = ends.to(torch.int8).argsort(dim=1, stable=True)
            scores = scores.masked_fill(ends, -torch.inf).gather(1, order)
            parents, tokens = parents.gather(1, order), tokens.gather(1, order)
        self.scores, self.tokens = scores[:, :beam_size], tokens[:, :beam_size]
        parents = parents[:, :beam_size]
        before = self.history.gather(1, parents[..., None].expand(-1, -1, length - 1))
        self.history = torch.cat([before, self.tokens[..., None]], -1)
        self._remove_finished(parents)

    def _remove_finished(self, parents: Tensor) -> None:
        """Remove the sentences whose search is over, and reorder the state of the stepper accordingly.

        Args:
            parents: (B, W). For each live hypothesis, the index of its parent, the hypothesis that it extends
                from the previous step.
        """
        length = self.history.size(-1)
        best_scores = self.scores[:, 0].tolist()
        remaining = [
            row
            for row, (sentence, best) in enumerate(zip(self.active, best_scores, strict=True))
            if not self.sentences[sentence].is_over(best, length, self.options)
        ]
        rows = self.rows
        if len(remaining) < len(parents):
            remaining = fill_gaps(remaining)
            rows = torch.tensor(remaining, dtype=torch.int64, device=parents.device)
            self.rows = self.rows[: len(remaining)]
            self.active = [self.active[row] for row in remaining]
            self.max_lengths = self.max_lengths[rows]
            self.tokens, self.scores, parents = self.tokens[rows], self.scores[rows], parents[rows]
            self.history = self.history[rows]
        self.stepper.reorder(rows, parents)

    def _finish(self, scores: Tensor, parents: Tensor, ends: Tensor) -> None:
        """Record the best W continuations as finished hypotheses if they end with the end symbol.

        A continuation whose score is not finite is not recorded.

        Args:
            scores: (B, 2 W + 1), scores of the continuations, best first.
            parents: (B, 2 W + 1), for each continuation, the index of the hypothesis that it continues.
            ends: (B, 2 W + 1) bool, True if a continuation ends with the end symbol.
        """
        first = slice(self.options.beam_size)
        rows, ranks = (ends[:, first] & scores[:, first].isfinite()).nonzero(as_tuple=True)
        finished = zip(
            rows.tolist(),
            self.history[rows, parents[rows, ranks]].tolist(),
            scores[rows, ranks].tolist(),
            strict=True,
        )
        for row, ids, log_prob in finished:
            self.sentences[self.active[row]].finish(ids, log_prob, self.options.length_penalty)
