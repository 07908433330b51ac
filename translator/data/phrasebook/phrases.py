"""Bilingual phrases, which consist of French and English words. Tags record which words are aligned."""

from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import NamedTuple

from translator.alignment.words import words
from translator.data.phrasebook import english, french
from translator.data.phrasebook.english import GLUE


class Word(NamedTuple):
    """A French or English word, linked to every word of the other language with which it shares a tag."""

    text: str
    tags: tuple[int, ...] = ()


@dataclass(slots=True)
class Phrase:
    """A part of a sentence in both languages, with the features that other words agree with.

    Attributes:
        fr, en: the words.
        person: person of a French verb with the phrase as its subject, as an index in je, tu, il, nous, vous,
            ils.
        en_person: person of an English verb with the phrase as its subject, as an index in I, you, he, we,
            you, they.
        feminine: whether French words that agree with the phrase are feminine.
        owner: the English possessive that refers to the phrase, such as his for Paul.
        article: whether `fr` starts with the definite article, whose forms le and les contract with à and de.
        human: whether the phrase refers to a person.
        head: tag of the main word, or 0 if there is none.
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
        """Whether the phrase is plural in French."""
        return self.person > 2

    def __add__(self, other: "Phrase") -> "Phrase":
        return Phrase(self.fr + other.fr, self.en + other.en)


class Sentence(NamedTuple):
    """A pair of sentences.

    Attributes:
        links: sorted pairs (index of a French word, index of an English word) of aligned words. The indices
            count the words into which `translator.alignment.words` splits a sentence.
    """

    fr: str
    en: str
    links: tuple[tuple[int, int], ...]


_fresh = count(1)


def spread(text: str, *tags: int) -> list[Word]:
    """Return the words of an expression, each with the tags `tags`."""
    return [Word(part, tags) for part in text.split()]


def new_tag() -> int:
    """Return an unused tag."""
    return next(_fresh)


@cache
def _parts(pattern: str) -> tuple[tuple[str, str], ...]:
    """Split a line such as `il_a y_a a_a {0}` into pairs of a word and the letters of its tags.

    A punctuation mark without letters has the mark itself as its letter.
    """
    parts = []
    for part in pattern.split():
        text, _, letters = part.partition("_")
        parts.append((text, letters or (text if text in (".", ",", "?", "!") else "")))
    return tuple(parts)


def pattern(fr: str, en: str, *phrases: Phrase) -> Phrase:
    """Build a phrase from a line of French words and a line of English words.

    A word may be followed by `_` and one or more letters. Words with a common letter are linked, and so are
    identical punctuation marks. `{0}` stands for the first of `phrases`, `{1}` for the second.
    """
    tags: dict[str, int] = {}

    def side(line: str, inserted: list[list[Word]]) -> list[Word]:
        out: list[Word] = []
        for text, letters in _parts(line):
            if text[0] == "{":
                out += inserted[int(text[1])]
                continue
            for letter in letters:
                if letter not in tags:
                    tags[letter] = next(_fresh)
            out.append(Word(text, tuple(tags[letter] for letter in letters)))
        return out

    return Phrase(side(fr, [p.fr for p in phrases]), side(en, [p.en for p in phrases]))


def after_preposition(preposition: str, phrase: Phrase, tag: int) -> list[Word]:
    """Put a preposition before the French words of a phrase, with the contractions au, aux, du and des."""
    if preposition not in ("à", "de") or not phrase.fr:
        return [*(Word(part, (tag,)) for part in preposition.split()), *phrase.fr]
    first = phrase.fr[0]
    if phrase.article and not (first.text != "les" and french.starts_with_vowel(phrase.fr[1].text)):
        contracted = {"àle": "au", "àles": "aux", "dele": "du", "deles": "des"}.get(preposition + first.text)
        if contracted:
            return [Word(contracted, (tag, *first.tags)), *phrase.fr[1:]]
    if preposition == "de" and first.text in ("des", "du", "de"):  # de + des pommes becomes de pommes
        return [Word("de", (tag, *first.tags)), *phrase.fr[1:]]
    return [Word(preposition, (tag,)), *phrase.fr]


def glued(text: str) -> list[str]:
    """Return the words of a text. A word that follows another word without a space starts with `GLUE`."""
    parts, end = [], 0
    for word in words(text):
        start = text.index(word, end)
        parts.append(word if start > end or end == 0 else GLUE + word)
        end = start + len(word)
    return parts


def finish(phrase: Phrase) -> Sentence:
    """Spell a phrase as a pair of sentences, and link the words that share a tag."""
    if [word.text for word in phrase.en[-2:]] == [
        GLUE + ".",
        ".",
    ]:  # after p.m. there is no second full stop
        phrase.en[-2:] = [Word(GLUE + ".", phrase.en[-2].tags + phrase.en[-1].tags)]
    en = english.contracted([word.text for word in phrase.en])
    at: dict[int, list[int]] = {}
    for j, word in enumerate(phrase.en):
        for tag in word.tags:
            at.setdefault(tag, []).append(j)
    links = sorted({(i, j) for i, word in enumerate(phrase.fr) for tag in word.tags for j in at.get(tag, ())})
    fr = french.spell([word.text for word in phrase.fr])
    return Sentence(fr, english.spell(en), tuple(links))
