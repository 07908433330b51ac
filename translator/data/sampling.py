"""Random and evenly spaced samples of the training pairs: of texts for the tokenizer, and for estimates."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from translator.config import Config
from translator.data.mixing import Share
from translator.data.noise import add_noise, random_of_row
from translator.data.sentences import split_sentences

#: Maximum number of sources in the sample from which `multi_sentence_share` is estimated. With this many, a
#: fraction of 5 % is estimated to within 0.3 percentage points.
_MAX_SAMPLED_SOURCES = 20_000


def sample_texts(texts: Any, fits: list[Tensor], shares: list[Share], config: Config) -> Iterator[str]:
    """Yield the texts on which the tokenizer is trained: both sides of a random sample of the fit pairs.

    The sample has about as many characters of each source as its share demands. The pairs of a source that
    is small for its share are repeated. `data.noise` is applied to the sources of the pairs.

    Args:
        texts: the split `train`.
        fits: for each source, the row numbers of its pairs that are fit for training.
        shares: the sources. Only their fractions are used.
        config: the configuration.
    """
    rates, seed = config.data.noise.model_dump(), config.train.seed
    n_characters = [_mean_characters(texts, fit) for fit in fits]
    total = sum(n * len(fit) for n, fit in zip(n_characters, fits, strict=True))
    sizes = [share.fraction * total / n for share, n in zip(shares, n_characters, strict=True)]
    scale = min(1.0, max(1, config.tokenizer.sample_sentences // 2) / sum(sizes))
    for fit, size in zip(fits, sizes, strict=True):
        n_passes, n_more = divmod(round(scale * size), len(fit))
        drawn = torch.randperm(len(fit), generator=torch.Generator().manual_seed(seed))
        rows = torch.cat([*[fit] * n_passes, fit[drawn[:n_more].sort().values]])
        for batch in texts.select(rows.numpy()).iter(batch_size=1000):
            pairs = zip(batch["line"], batch["source"], strict=True)
            yield from (add_noise(source, rates, random_of_row(seed, 0, line)) for line, source in pairs)
            yield from batch["target"]


def multi_sentence_fraction(texts: Any, kept: Tensor, language: str) -> float:
    """Return the fraction of the sources that consist of two or more sentences, estimated from a sample."""
    sources = texts.select(_evenly_spaced(kept, _MAX_SAMPLED_SOURCES).numpy())["source"]
    return sum(len(split_sentences(source, language)) > 1 for source in sources) / len(sources)


def _mean_characters(texts: Any, rows: Tensor) -> float:
    """Return the mean number of characters of a pair, estimated from a sample."""
    sample = texts[_evenly_spaced(rows, 1000).tolist()]
    return sum(map(len, sample["source"] + sample["target"])) / len(sample["source"])


def _evenly_spaced(rows: Tensor, n: int) -> Tensor:
    """Return at most `n` evenly spaced elements of a tensor."""
    return rows[torch.linspace(0, len(rows) - 1, min(len(rows), n), dtype=torch.float64).long()]
