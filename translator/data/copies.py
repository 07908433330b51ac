"""Random pieces to copy, which teach a model to copy names, numbers and other unknown words.

Copied text improves the translation of names (Currey et al. 2017). Random pieces do so without text: nothing
in them can be translated. They are used in two ways:

- Names and numbers that both sides of a pair contain are replaced by random ones, by others in each epoch.
- Rows of random pieces follow the pairs of a batch. Their target starts at a random piece of the source, so
  that a model cannot copy by position: it has to find where it is in the source, as within a sentence.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random

from translator.data.tokenizer import WORD_MARK, Tokenizer

#: Number of pieces of a row, at most, and of a name before rare letters and further parts are added.
_MAX_PIECES, _MAX_NAME = 12, 6
#: Length, in characters, of the pieces that are drawn for half of the rows: those of unknown words are short.
_SHORT = 3
#: Shares of the pieces of one, two, three and more letters that start and that continue a random name. They
#: are about those of unknown names: BPE cuts these into short pieces.
_START_LENGTHS, _INNER_LENGTHS = (0.6, 0.2, 0.1, 0.1), (0.3, 0.35, 0.25, 0.1)
#: A name or a number, in a text that has the letter of its kind (`_kind`) for each piece.
_NAME_OR_NUMBER = re.compile("[Nn]w*|D+")
#: Names with fewer letters and smaller numbers are not replaced. Small numbers may be hours or days, which
#: other languages write in other ways.
_MIN_NAME, _MIN_NUMBER = 3, 25
#: Share of the random names that contain the end of a word, of those in which a piece occurs twice, and of
#: those with another part after a hyphen or an apostrophe.
_LIKE_A_WORD, _REPEATED, _JOINED = 0.8, 0.25, 0.15
_JOINERS = ("-", "-", "-", "'")  # Anne-Sophie is more frequent than O'Connor
#: Share of the random names that contain a letter outside the vocabulary, and where such letters are from.
_RARE, _LETTERS = 0.08, [chr(code) for code in range(0xC0, 0x250) if chr(code).islower()]


class Copies:
    """Draws random pieces."""

    def __init__(self, tokenizer: Tokenizer):
        """Initialise with the vocabulary that the pieces are from."""
        self._pieces = dict(sorted((i, piece) for piece, i in tokenizer.ordinary.items()))
        self._kinds = {i: _kind(piece) for i, piece in self._pieces.items()}
        self._first = frozenset(i for i, kind in self._kinds.items() if kind in "ND")
        self._elided = frozenset(i for i, kind in self._kinds.items() if kind == "n")
        #: For each piece that starts a name after a space, the one that starts it without a space (d'Anna).
        self._without_space = {
            i: tokenizer.ordinary[piece[1:]]
            for piece, i in tokenizer.ordinary.items()
            if self._kinds[i] == "N" and piece[1:] in tokenizer.ordinary
        }
        every = list(self._pieces)
        self._all = every, [i for i in every if len(self._pieces[i]) <= _SHORT] or every
        self._starts = self._by_length("N", _START_LENGTHS)
        self._inner = self._by_length("w", _INNER_LENGTHS)
        self._capitals = sorted(self._elided)
        self._joiners = [tokenizer.ordinary[mark] for mark in _JOINERS if mark in tokenizer.ordinary]
        self._rare = [ids for letter in _LETTERS if len(ids := tokenizer.piece_ids(letter)) > 1]
        self._digits = defaultdict[int, list[int]](list)  # by length
        for i, kind in self._kinds.items():
            if kind == "D":
                self._digits[len(self._pieces[i])].append(i)

    def _by_length(self, kind: str, shares: Sequence[float]) -> dict[tuple[int, ...], float]:
        """Return the pieces of a kind, grouped by length, with the share of each length that occurs."""
        groups: list[list[int]] = [[] for _ in shares]
        for i, piece in self._pieces.items():
            if self._kinds[i] == kind:
                groups[min(len(piece.removeprefix(WORD_MARK)), len(shares)) - 1].append(i)
        return {tuple(group): share for group, share in zip(groups, shares, strict=True) if group}

    def rows(self, n_rows: int, max_pieces: int, random: Random) -> tuple[list[list[int]], list[list[int]]]:
        """Return the source ids and the target ids of `n_rows` rows of up to `max_pieces` pieces."""
        most = max(1, min(max_pieces, _MAX_PIECES))
        sources = [random.choices(random.choice(self._all), k=random.randint(1, most)) for _ in range(n_rows)]
        return sources, [ids[random.randrange(len(ids)) :] for ids in sources]

    def replace(
        self,
        source: Sequence[int],
        target: Sequence[int],
        rate: float,
        random: Random,
        examples: Sequence[Sequence[int]] = (),
    ) -> tuple[list[int], list[int]]:
        """Return the ids of a pair, with random names and numbers in place of those that both sides contain.

        Each name or number is replaced with probability `rate`, wherever it occurs in the pair. Most names
        contain the end of a word of `examples`, the ids of some sentences, whole, cut short or continued: a
        model must not complete a name as it would complete the word. In some names, a piece occurs twice: the
        model has to tell which of the two it has just written.
        """
        is_elided = not (self._elided.isdisjoint(source) and self._elided.isdisjoint(target))
        if not is_elided and self._first.isdisjoint(set(source).intersection(target)):
            return list(source), list(target)  # nearly all pairs
        in_target = {self._key(target[span]) for span in self._spans(target)}
        new: dict[str, list[int]] = {}
        for span in self._spans(source):
            old = source[span]
            if (key := self._key(old)) in in_target and key not in new and random.random() < rate:
                new[key] = self._like(old, examples, random)
                if is_elided and self._without_space and self._kinds[old[0]] in "Nn":
                    new[key][0] = random.choice([*self._without_space])  # it has a piece without a space
        return self._with(new, source), self._with(new, target)

    def _key(self, ids: Sequence[int]) -> str:
        """Return what is the same wherever a name or number occurs: after a space, it has other pieces."""
        pieces = [self._pieces[i] for i in ids]
        is_number = self._kinds[ids[0]] == "D"
        return " ".join(pieces) if is_number else "".join(pieces).removeprefix(WORD_MARK)

    def _spans(self, ids: Sequence[int]) -> Iterator[slice]:
        """Yield where the names and numbers are that may be replaced."""
        for match in _NAME_OR_NUMBER.finditer(self._kinds_of(ids)):
            span = slice(*match.span())
            text = "".join(self._pieces[i] for i in ids[span]).replace(WORD_MARK, "")
            if text.isdecimal():
                digits = text.lstrip("0")
                is_replaced = len(digits) > 2 or int(digits or "0") >= _MIN_NUMBER
            else:
                is_replaced = len(text) >= _MIN_NAME
            if is_replaced:
                yield span

    def _with(self, new: Mapping[str, list[int]], ids: Sequence[int]) -> list[int]:
        result: list[int] = []
        done = 0
        for span in self._spans(ids) if new else ():
            first, *following = new.get(self._key(ids[span]), ids[span])
            if ids[span.start] in self._elided:
                first = self._without_space.get(first, first)
            result += [*ids[done : span.start], first, *following]
            done = span.stop
        return [*result, *ids[done:]]

    def _like(self, old: Iterable[int], examples: Sequence[Sequence[int]], random: Random) -> list[int]:
        """Return a random name, or a random number with as many digits."""
        if all(self._kinds[i] == "D" for i in old):
            return [random.choice(self._digits[len(self._pieces[i])]) for i in old]
        following = _draw(self._inner, random.randint(1, _MAX_NAME - 1), random)
        if examples and random.random() < _LIKE_A_WORD and (end := self._word_end(examples, random)):
            is_cut = random.random() < 0.5
            following[random.randint(0, 2) :] = (
                end[: random.randint(1, len(end))] if is_cut else [*end, *following[:1]]
            )
        if following and random.random() < _REPEATED:
            following.insert(random.randint(0, len(following)), random.choice(following))
        del following[_MAX_NAME - 1 :]
        while following and self._joiners and random.random() < _JOINED:
            capital = random.choices(self._capitals, k=random.randint(0, 1)) if self._capitals else []
            part = _draw(self._inner, random.randint(1, 3), random)
            following += [random.choice(self._joiners), *capital, *part]
        if self._rare and random.random() < _RARE:
            at = random.randint(0, len(following))
            following[at:at] = random.choice(self._rare)
        return [*_draw(self._starts, 1, random), *following]

    def _word_end(self, examples: Sequence[Sequence[int]], random: Random) -> list[int]:
        """Return pieces that continue a word, or follow a mark, in a random example; none if it has none."""
        ids = random.choice(examples)
        spans = [*re.finditer("w+", self._kinds_of(ids))]
        return list(ids[slice(*random.choice(spans).span())]) if spans else []

    def _kinds_of(self, ids: Sequence[int]) -> str:
        return "".join(self._kinds.get(i, ".") for i in ids)


def _kind(piece: str) -> str:
    """Return the kind of a piece.

    N starts a name after a space, n without a space, w continues it, D has digits only, "." is any other.
    """
    word = piece.removeprefix(WORD_MARK)
    if word.isdecimal():
        return "D"
    if not word.isalpha():
        return "."
    if word == piece:
        return "w" if word.islower() else "n" if word[0].isupper() else "."
    return "N" if word[0].isupper() else "."


def _draw(by_length: Mapping[tuple[int, ...], float], n: int, random: Random) -> list[int]:
    """Draw `n` pieces, whose lengths have the given shares. Return none if there are none."""
    lengths = random.choices(tuple(by_length), tuple(by_length.values()), k=n) if by_length else ()
    return [random.choice(pieces) for pieces in lengths]
