"""Greedy search: the likeliest piece at each step."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from translator.search.scoring import normalised
from translator.search.step import NOTHING, Hypothesis, Result, Stepper, fill_gaps, mask_log_probs
from translator.search.top import best_continuations
from translator.symbols import BOS, EOS


def greedy_search(
    stepper: Stepper,
    max_lengths: Tensor,
    *,
    length_penalty: float,
    forbidden: Tensor,
    prefix: Sequence[int] = (),
) -> list[Result]:
    """Decode a batch greedily; finished sentences leave the batch. See `beam_search` for the arguments."""
    n, device = len(max_lengths), max_lengths.device
    active = torch.arange(n, device=device)
    tokens = torch.full((n, 1), BOS, device=device)
    log_prob = torch.zeros(n, dtype=torch.float64, device=device)
    margin = torch.full((n,), torch.inf, dtype=torch.float64, device=device)
    nothing = torch.zeros(n, 1, dtype=torch.float64, device=device)
    ids: list[list[int]] = [[] for _ in range(n)]
    results: list[Result | None] = [None] * n
    length = 0
    shortest = min(max_lengths.tolist(), default=0)
    while len(active):
        length += 1
        scores = stepper.step(tokens)
        if length <= len(prefix):
            chosen = torch.full((len(active),), prefix[length - 1], device=device)
            gained = scores[:, 0].gather(1, chosen[:, None])[:, 0]
        else:
            at_limit = max_lengths <= length if length >= shortest else None
            mask_log_probs(scores, forbidden=forbidden, end=EOS, at_start=length == 1, at_limit=at_limit)
            top, _, pieces = best_continuations(nothing[: len(active)], scores, 2)
            gained, chosen = top[:, 0], pieces[:, 0]
            if at_limit is not None:  # whatever the scores are: of nan and -inf the best may be anything
                chosen = chosen.masked_fill(at_limit, EOS)
            margin = torch.minimum(margin, top[:, 0] - top[:, 1])
        log_prob = log_prob + gained
        going = []
        for row, (sentence, token) in enumerate(zip(active.tolist(), chosen.tolist(), strict=True)):
            if token == EOS:
                total = float(log_prob[row])
                found = NOTHING
                if math.isfinite(total):
                    found = Hypothesis(ids[sentence], total, normalised(total, length, length_penalty))
                results[sentence] = Result([found], float(margin[row]))
            else:
                ids[sentence].append(token)
                going.append(row)
        rows = torch.tensor(fill_gaps(going), dtype=torch.int64, device=device)
        stepper.reorder(rows, torch.zeros(len(rows), 1, dtype=torch.int64, device=device))
        active, tokens = active[rows], chosen[rows, None]
        log_prob, margin, max_lengths = log_prob[rows], margin[rows], max_lengths[rows]
    return [result for result in results if result is not None]
