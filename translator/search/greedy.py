"""Greedy search, the most probable token at each step; or sampling, a random token at each step."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from translator.search.result import NOTHING, Hypothesis, Result, SearchOptions
from translator.search.scoring import normalised
from translator.search.step import Stepper, fill_gaps, mask_log_probs
from translator.search.top import best_continuations
from translator.symbols import BOS, EOS


def greedy_search(stepper: Stepper, max_lengths: Tensor, *, options: SearchOptions) -> list[Result]:
    """Decode a batch of sentences, choosing the most probable token at each step.

    If the options have seeds, each token is sampled from the distribution of the model instead: with Gumbel
    noise added to its log-probability, a token is the best one with exactly its probability (Gumbel 1954;
    Maddison et al. 2014). The noise is not part of the scores.

    A sentence leaves the batch when its end symbol is chosen. The arguments and the result are those of
    `beam_search`, without a trace. The options `beam_size` and `n_best` are ignored.
    """
    n, device, prefix = len(max_lengths), max_lengths.device, options.prefix
    active = torch.arange(n, device=device)
    tokens = torch.full((n, 1), BOS, device=device)
    log_prob = torch.zeros(n, dtype=torch.float64, device=device)
    zeros = torch.zeros(n, 1, dtype=torch.float64, device=device)
    generators = [torch.Generator().manual_seed(seed) for seed in options.seeds]
    ids: list[list[int]] = [[] for _ in range(n)]
    results: list[Result | None] = [None] * n
    length = 0
    min_max_length = min(max_lengths.tolist(), default=0)
    while len(active):
        length += 1
        log_probs = stepper.step(tokens)
        if length <= len(prefix):
            chosen = torch.full((len(active),), prefix[length - 1], device=device)
        else:
            at_limit = max_lengths <= length if length >= min_max_length else None
            mask_log_probs(
                log_probs, forbidden=options.forbidden, end=EOS, at_start=length == 1, at_limit=at_limit
            )
            scores = log_probs
            if generators:
                noise = gumbel_noise([generators[i] for i in active.tolist()], log_probs.size(2))
                scores = log_probs + noise[:, None].to(device)
            chosen = best_continuations(zeros[: len(active)], scores, 1)[2][:, 0]
            # A sentence at its limit must end. If the log-probability of the end symbol is NaN or -inf,
            # another token may have been chosen, so the end symbol is set here.
            if at_limit is not None:
                chosen = chosen.masked_fill(at_limit, EOS)
        log_prob = log_prob + log_probs[:, 0].gather(1, chosen[:, None])[:, 0]
        remaining = []
        for row, (sentence, token) in enumerate(zip(active.tolist(), chosen.tolist(), strict=True)):
            if token == EOS:
                total = float(log_prob[row])
                hypothesis = NOTHING
                if math.isfinite(total):
                    score = normalised(total, length, options.length_penalty)
                    hypothesis = Hypothesis(ids[sentence], total, score)
                results[sentence] = Result([hypothesis])
            else:
                ids[sentence].append(token)
                remaining.append(row)
        rows = torch.tensor(fill_gaps(remaining), dtype=torch.int64, device=device)
        stepper.reorder(rows, torch.zeros(len(rows), 1, dtype=torch.int64, device=device))
        active, tokens = active[rows], chosen[rows, None]
        log_prob, max_lengths = log_prob[rows], max_lengths[rows]
    return [result for result in results if result is not None]


def gumbel_noise(generators: Sequence[torch.Generator], n_tokens: int) -> Tensor:
    """Draw noise from the standard Gumbel distribution, a row from each generator: (B, V) float64."""
    uniform = torch.stack([torch.rand(n_tokens, generator=g, dtype=torch.float64) for g in generators])
    return uniform.log_().neg_().log_().neg_()
