"""Bilingual phrases: French words and English words, each with the tags that say which go together."""

from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import NamedTuple

from translator.alignment.words import words
from translator.data.phrasebook import english, french
from translator.data.phrasebook.english import GLUE


class Word(NamedTuple):
    """A word of one side. It is linked to every word of the other side that shares a tag with it."""

    text: str
    tags: tuple[int, ...] = ()


@dataclass(slots=True)
class Phrase:
    """A piece of a sentence in both languages, with what other words must agree with.

    Attributes:
        person: place in je, tu, il, nous, vous, ils that a French verb agrees with; `en_person` the same
            in I, you, he, we, you, they.
        owner: the English possessive that refers to it: Paul → his.
        article: whether `fr` begins with le or les, which à and de contract with.
        human: whether it names a person.
        head: tag of the word that carries its meaning.
    """

    fr: list[Word] = field(default_factory=list)
    en: list[Word] = field(default_factory=list)
    person: int = 2
    en_person: int = 2
    feminine: bool = False
    owner: str = "his"
    article: bool = False
    human: bool = False
    head: int = 0

    @property
    def plural(self) -> bool:
        """Whether French takes it for more than one."""
        return self.person > 2

    def __add__(self, other: "Phrase") -> "Phrase":
        return Phrase(self.fr + other.fr, self.en + other.en)


class Sentence(NamedTuple):
    """A pair of sentences.

    Attributes:
        links: of word i of the French to word j of the English side, in order, over the words that
            `translator.alignment.words` gives.
    """

    fr: str
    en: str
    links: tuple[tuple[int, int], ...]


_fresh = count(1)


def spread(text: str, *tags: int) -> list[Word]:
    """Return the words of an expression, all with the same tags."""
    return [Word(part, tags) for part in text.split()]


def new_tag() -> int:
    """Return a tag that no word has yet."""
    return next(_fresh)


@cache
def _parts(pattern: str) -> tuple[tuple[str, str], ...]:
    """Words and their tag letters: `il_a y_a a_a {0}`; marks of punctuation are tags of their own."""
    parts = []
    for part in pattern.split():
        text, _, letters = part.partition("_")
        parts.append((text, letters or (text if text in (".", ",", "?", "!") else "")))
    return tuple(parts)


def pattern(fr: str, en: str, *phrases: Phrase) -> Phrase:
    """Build a phrase from two lines of words.

    A word is followed by `_` and the letters of its tags: words that share a letter are linked. `{0}`
    stands for the first of `phrases`. Punctuation is linked with its like.
    """
    tags: dict[str, int] = {}

    def side(line: str, own: list[list[Word]]) -> list[Word]:
        out: list[Word] = []
        for text, letters in _parts(line):
            if text[0] == "{":
                out += own[int(text[1])]
                continue
            for letter in letters:
                if letter not in tags:
                    tags[letter] = next(_fresh)
            out.append(Word(text, tuple(tags[letter] for letter in letters)))
        return out

    return Phrase(side(fr, [p.fr for p in phrases]), side(en, [p.en for p in phrases]))


def after_preposition(preposition: str, phrase: Phrase, tag: int) -> list[Word]:
    """Return the French side of a phrase after a preposition, with au, aux, du, des where they form."""
    if preposition not in ("à", "de") or not phrase.fr:
        return [*(Word(part, (tag,)) for part in preposition.split()), *phrase.fr]
    first = phrase.fr[0]
    if phrase.article and not (first.text != "les" and french.starts_with_vowel(phrase.fr[1].text)):
        contracted = {"àle": "au", "àles": "aux", "dele": "du", "deles": "des"}.get(preposition + first.text)
        if contracted:
            return [Word(contracted, (tag, *first.tags)), *phrase.fr[1:]]
    if preposition == "de" and first.text in ("des", "du", "de"):  # de + des pommes → de pommes
        return [Word("de", (tag, *first.tags)), *phrase.fr[1:]]
    return [Word(preposition, (tag,)), *phrase.fr]


def glued(text: str) -> list[str]:
    """Words of a text, with a mark before each that follows the one before without a space."""
    found, at = [], 0
    for word in words(text):
        start = text.index(word, at)
        found.append(word if start > at or at == 0 else GLUE + word)
        at = start + len(word)
    return found


def finish(phrase: Phrase) -> Sentence:
    """Write a phrase as a sentence and turn its tags into links."""
    if [word.text for word in phrase.en[-2:]] == [GLUE + ".", "."]:  # at 2:30 p.m.
        phrase.en[-2:] = [Word(GLUE + ".", phrase.en[-2].tags + phrase.en[-1].tags)]
    said = english.contracted([word.text for word in phrase.en])
    at: dict[int, list[int]] = {}
    for j, word in enumerate(phrase.en):
        for tag in word.tags:
            at.setdefault(tag, []).append(j)
    links = sorted({(i, j) for i, word in enumerate(phrase.fr) for tag in word.tags for j in at.get(tag, ())})
    fr = french.spell([word.text for word in phrase.fr])
    return Sentence(fr, english.spell(said), tuple(links))
