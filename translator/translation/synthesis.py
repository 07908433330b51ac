"""Machine-made translations of monolingual text, with which a model of the other direction is trained.

This is back-translation (Sennrich et al. 2016), with a beam or by sampling (Edunov et al. 2018).
"""

from collections.abc import Iterator, Sequence
from random import Random

from translator.translation.inference import Translator
from translator.translation.joining import Translation, join_parts
from translator.translation.splitting import Part


def synthesize(
    translator: Translator,
    texts: Sequence[str],
    *,
    beam_size: int | None = None,
    seed: int | None = None,
    first_number: int = 1,
    batch_size: int = 128,
) -> list[Translation]:
    """Translate texts with a beam, or by sampling each token from the distribution of the model.

    Args:
        translator: the translator. Its backend must not be "native" if there is a seed: C does not sample.
        texts: texts in the source language.
        beam_size: as in `Translator.translate`. It is ignored if there is a seed.
        seed: if given, at least 0, translations are sampled. That of a text depends on the seed, its number
            and the text; on the other texts only by rounding.
        first_number: number of the first text.
        batch_size: maximum number of sentences that are decoded together.

    Returns:
        One translation per text, empty if the text is blank. Its score is its log-probability per token.

    Raises:
        ModelError, UsageError: as in `Translator.translate`.
    """
    options = translator.options(beam_size if seed is None else 1, batch_size=batch_size)
    parts = translator.cut(texts)
    seeds = [] if seed is None else [*_seeds([part for part, _ in parts], seed, first_number)]
    results = translator.search([ids for _, ids in parts], options, batch_size=batch_size, seeds=seeds)
    found = ((part, result) for (part, _), result in zip(parts, results, strict=True))
    return join_parts(texts, found, translator, length_penalty=1.0)


def _seeds(parts: Sequence[Part], seed: int, first_number: int) -> Iterator[int]:
    """Yield a seed for each part, from `seed`, the number of its text and its place in the text."""
    for part in parts:
        if not part.separator:  # the first part of a text
            draw = Random((seed << 64) + first_number + part.number)
        yield draw.getrandbits(32)
