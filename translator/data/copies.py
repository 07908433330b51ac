"""Rows of random pieces whose target is part of their source, which teach a model to copy unknown words.

Copied text improves the translation of names (Currey et al. 2017). Random pieces do so without text: nothing
in them can be translated. The target starts at a random piece of the source, so that a model cannot copy by
position. It has to find where it is in the source, as it must within a sentence.
"""

from collections.abc import Sequence
from random import Random

#: Number of pieces of a row, at most.
_MAX_PIECES = 12
#: Length, in characters, of the pieces of which every other row consists: those of unknown words are short.
_SHORT = 3


class Copies:
    """Draws rows of pieces."""

    def __init__(self, pieces: dict[str, int]):
        """Initialise with the ids of all ordinary pieces, by piece."""
        self._all = sorted(pieces.values())
        self._short = sorted(i for piece, i in pieces.items() if len(piece) <= _SHORT) or self._all

    def draw(self, n_rows: int, max_pieces: int, random: Random) -> tuple[list[list[int]], list[list[int]]]:
        """Return the source ids and the target ids of `n_rows` rows of up to `max_pieces` pieces."""
        sources = [self._row(min(max_pieces, _MAX_PIECES), random) for _ in range(n_rows)]
        return sources, [ids[random.randrange(len(ids)) :] for ids in sources]

    def _row(self, max_pieces: int, random: Random) -> list[int]:
        among: Sequence[int] = random.choice((self._all, self._short))
        return random.choices(among, k=random.randint(1, max(1, max_pieces)))
