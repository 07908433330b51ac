"""Functions that read, write and score word links, and that combine the links of two models.

A line in Pharaoh format has the links of one sentence pair. For example, `0-0 1-2` links source word 0 to
target word 0, and source word 1 to target word 2. In human alignments, there are two kinds of links: `i-j` is
a sure link, and `ipj` or `i?j` is a possible link.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from translator.errors import DataError

#: A link (i, j) means that source word i is linked to target word j. Words are counted from 0.
Link = tuple[int, int]

_LINK = re.compile(r"([0-9]{1,9})([-p?])([0-9]{1,9})")


@dataclass(frozen=True)
class Gold:
    """The human alignment of a sentence pair.

    Attributes:
        sure: links that an aligner must find.
        possible: links that an aligner may find. They include the sure links.
    """

    sure: frozenset[Link]
    possible: frozenset[Link]


@dataclass(frozen=True)
class LinkScores:
    """Scores of the links of a corpus, each from 0 to 1 (Och & Ney 2003, §6).

    A is the set of the aligner's links in all sentence pairs. S is the set of all sure links in the human
    alignments, and P is the set of all possible links in them. A quotient 0 / 0 counts as 1.

    Attributes:
        precision: |A ∩ P| / |A|.
        recall: |A ∩ S| / |S|.
        aer: alignment error rate, 1 − (|A ∩ S| + |A ∩ P|) / (|A| + |S|). Lower is better.
        n_links: |A|.
        n_sure: |S|.
    """

    precision: float
    recall: float
    aer: float
    n_links: int
    n_sure: int

    def to_dict(self) -> dict[str, float | int]:
        """Return the fields as a dictionary, to be written as JSON."""
        return asdict(self)


def parse_links(
    line: str, *, where: str, one_based: bool = False, n_words: tuple[int, int] | None = None
) -> Gold:
    """Parse a line of links.

    Args:
        line: the links in Pharaoh format. The line is blank if no words are linked.
        where: file name and line number, for error messages.
        one_based: whether words are counted from 1 in the line. In the result, they are counted from 0.
        n_words: the number of source words and the number of target words, if known.

    Raises:
        DataError: an item of the line is not a link, or it links a word that does not exist.
    """
    sure, possible = set(), set()
    first = int(one_based)
    for item in line.split():
        match = _LINK.fullmatch(item)
        if match is None:
            raise DataError(
                f"{where}: {item[:40]!r} is not a link; write i-j for a sure link, "
                "ipj or i?j for a possible one"
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
    """Return the links, sorted, as a line in Pharaoh format. `one_based`: see `parse_links`."""
    first = int(one_based)
    return " ".join(f"{i + first}-{j + first}" for i, j in sorted(links))


def link_scores(alignments: Sequence[Iterable[Link]], gold: Sequence[Gold]) -> LinkScores:
    """Score an aligner's links for all pairs of a corpus against human alignments of the same pairs.

    Raises:
        DataError: the number of pairs in `alignments` differs from that in `gold`.
    """
    if len(alignments) != len(gold):
        raise DataError(f"{len(alignments)} pairs are aligned and the gold has {len(gold)}; give as many")
    n_links = n_sure = n_links_possible = n_links_sure = 0
    for links, pair in zip(map(set, alignments), gold, strict=True):
        n_links += len(links)
        n_sure += len(pair.sure)
        n_links_possible += len(links & pair.possible)
        n_links_sure += len(links & pair.sure)
    return LinkScores(
        precision=_ratio(n_links_possible, n_links),
        recall=_ratio(n_links_sure, n_sure),
        aer=1 - _ratio(n_links_sure + n_links_possible, n_links + n_sure),
        n_links=n_links,
        n_sure=n_sure,
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def diagonal(n_source: int, n_target: int) -> list[Link]:
    """Link each target word to the source word at the same relative position, as a baseline for aligners."""
    if not n_source:
        return []
    return [((2 * j + 1) * n_source // (2 * n_target), j) for j in range(n_target)]


def grow_diagonal(
    forward: Iterable[Link], backward: Iterable[Link], *, final_and: bool = False
) -> list[Link]:
    """Combine the links of two models by grow-diag or grow-diag-final-and (Koehn, Och & Marcu 2003).

    One model translates from source to target, the other from target to source. First, each link that both
    models have is accepted. Then each link that only one model has is accepted if it is adjacent to an
    accepted link (horizontally, vertically or diagonally) and if at least one of its two words has no
    accepted link yet. The second step is repeated until it accepts no more links.

    Args:
        forward: links of the source-to-target model.
        backward: links of the target-to-source model. In these links, too, the source word comes first.
        final_and: whether to use grow-diag-final-and. As a last step, this also accepts each link between
            two words that both have no accepted link yet.
    """
    forward, backward = set(forward), set(backward)
    accepted = forward & backward
    candidates = sorted((forward | backward) - accepted)
    sources, targets = {i for i, _ in accepted}, {j for _, j in accepted}

    def accept(link: Link) -> None:
        accepted.add(link)
        sources.add(link[0])
        targets.add(link[1])

    grew = True
    while grew:
        grew = False
        for i, j in candidates:
            neighbours = {(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)}
            if (i, j) not in accepted and (i not in sources or j not in targets) and neighbours & accepted:
                accept((i, j))
                grew = True
    if final_and:
        for direction in (forward, backward):
            for i, j in sorted(direction):
                if i not in sources and j not in targets:
                    accept((i, j))
    return sorted(accepted)
