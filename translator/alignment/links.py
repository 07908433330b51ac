"""Links between the words of two sentences: written, scored, joined from two directions.

A line in Pharaoh format has the links of a pair: `0-0 1-2` says that word 0 of the source goes with word 0
of the target, and word 1 with word 2. Where people wrote it, `i-j` is a sure link, `ipj` or `i?j` a possible
one.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from translator.errors import DataError

#: Word i of the source goes with word j of the target.
Link = tuple[int, int]

_LINK = re.compile(r"([0-9]{1,9})([-p?])([0-9]{1,9})")


@dataclass(frozen=True)
class Gold:
    """The links of a pair as people see them.

    Attributes:
        sure: those that an aligner must find.
        possible: those that it may find, the sure ones among them.
    """

    sure: frozenset[Link]
    possible: frozenset[Link]


@dataclass(frozen=True)
class LinkScores:
    """How good the links of a corpus are, each from 0 to 1 (Och & Ney 2003, §6).

    With A the links found, S the sure and P the possible ones of the gold, over all pairs; what there is
    nothing to judge by counts as right.

    Attributes:
        precision: |A ∩ P| / |A|.
        recall: |A ∩ S| / |S|.
        aer: the alignment error rate, 1 − (|A ∩ S| + |A ∩ P|) / (|A| + |S|); small is good.
        n_links: |A|.
        n_sure: |S|.
    """

    precision: float
    recall: float
    aer: float
    n_links: int
    n_sure: int

    def to_dict(self) -> dict[str, float | int]:
        """Return all of them, for JSON."""
        return asdict(self)


def parse_links(
    line: str, *, where: str, one_based: bool = False, n_words: tuple[int, int] | None = None
) -> Gold:
    """Read a line of links.

    Args:
        line: in Pharaoh format, blank where nothing is linked.
        where: file and line, for messages.
        one_based: whether the first word is 1, not 0.
        n_words: of the source and of the target, where they are known.

    Raises:
        DataError: something in it is no link, or links a word that the pair has not.
    """
    sure, possible = set(), set()
    first = int(one_based)
    for item in line.split():
        match = _LINK.fullmatch(item)
        if match is None:
            raise DataError(
                f"{where}: {item[:40]!r} is no link; write i-j for a sure one, ipj or i?j for a possible one"
            )
        link = (int(match[1]) - first, int(match[3]) - first)
        if min(link) < 0:
            raise DataError(f"{where}: {item!r} counts from 0, and with --one-based the first word is 1")
        if n_words is not None and (link[0] >= n_words[0] or link[1] >= n_words[1]):
            raise DataError(
                f"{where}: {item!r} is beyond the pair's {n_words[0]} and {n_words[1]} words; "
                "are the files in this order, and is --tokenized or --one-based right?"
            )
        possible.add(link)
        if match[2] == "-":
            sure.add(link)
    return Gold(frozenset(sure), frozenset(possible))


def format_links(links: Iterable[Link], *, one_based: bool = False) -> str:
    """Write links as a line in Pharaoh format, in the order of their words."""
    first = int(one_based)
    return " ".join(f"{i + first}-{j + first}" for i, j in sorted(links))


def link_scores(found: Sequence[Iterable[Link]], gold: Sequence[Gold]) -> LinkScores:
    """Score the links of a corpus, pair by pair, against those of people.

    Raises:
        DataError: there are not as many pairs on both sides.
    """
    if len(found) != len(gold):
        raise DataError(f"{len(found)} pairs are aligned and the gold has {len(gold)}; give as many")
    n_links = n_sure = n_links_possible = n_links_sure = 0
    for links, pair in zip(map(set, found), gold, strict=True):
        n_links += len(links)
        n_sure += len(pair.sure)
        n_links_possible += len(links & pair.possible)
        n_links_sure += len(links & pair.sure)
    return LinkScores(
        precision=_share(n_links_possible, n_links),
        recall=_share(n_links_sure, n_sure),
        aer=1 - _share(n_links_sure + n_links_possible, n_links + n_sure),
        n_links=n_links,
        n_sure=n_sure,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def diagonal(n_source: int, n_target: int) -> list[Link]:
    """Link each target word to the source word that stands as far into its sentence: what is to be beaten."""
    if not n_source:
        return []
    return [((2 * j + 1) * n_source // (2 * n_target), j) for j in range(n_target)]


def grow_diagonal(
    forward: Iterable[Link], backward: Iterable[Link], *, final_and: bool = False
) -> list[Link]:
    """Join the links of both directions (Koehn, Och & Marcu 2003: grow-diag, grow-diag-final-and).

    It begins with the links that both have. A link that only one has is taken if it touches one that is
    taken, also at a corner, and one of its words has none yet; again and again, until none is left to take.

    Args:
        forward: of source words to target words.
        backward: of the other direction, turned round: source word first.
        final_and: whether links between two words that have none are taken at the end, touching or not.
    """
    forward, backward = set(forward), set(backward)
    taken = forward & backward
    candidates = sorted((forward | backward) - taken)
    sources, targets = {i for i, _ in taken}, {j for _, j in taken}

    def take(link: Link) -> None:
        taken.add(link)
        sources.add(link[0])
        targets.add(link[1])

    grew = True
    while grew:
        grew = False
        for i, j in candidates:
            around = {(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)}
            if (i, j) not in taken and (i not in sources or j not in targets) and around & taken:
                take((i, j))
                grew = True
    if final_and:
        for direction in (forward, backward):
            for i, j in sorted(direction):
                if i not in sources and j not in targets:
                    take((i, j))
    return sorted(taken)
