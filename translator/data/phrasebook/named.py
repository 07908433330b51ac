"""Written sentences with invented names: what they say of Marie, him or my boss is said of Bellandou.

A name that the corpus does not contain has to be copied, which is learnt from many names in ordinary
sentences.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import cycle

from translator.data.phrasebook.copying import name
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.french import starts_with_vowel
from translator.data.phrasebook.phrases import Sentence

_CAPITALISED = re.compile(r"\b[A-ZÀ-Ý][a-zà-ÿ]{2,}(?![\w-])")
_WITHIN = re.compile(rf"(?<=\w[ ']){_CAPITALISED.pattern}")
_SUBJECT = (
    re.compile(r"^(?:Il|Elle)(?= )(?! (?:ne )?lui (?:faut|a fallu|rest|manqu))"),  # not: Il lui faut
    re.compile(r"^(?:He|She)(?= )"),
)
_RELATIVES = (
    "frère|sœur|père|mère|oncle|tante|cousine?|grand-père|grand-mère|fils|fille|mari|femme|voisine?|amie?"
    "|patronne?|chef|collègue|médecin|professeur",
    "brother|sister|father|dad|mother|mom|uncle|aunt|cousin|grandfather|grandpa|grandmother|grandma|son"
    "|daughter|husband|wife|neighbor|friend|boss|coworker|colleague|doctor|teacher",
)
_MINE = (
    # not: ma sœur aînée, mon collègue d'en face, d'être ma mère
    re.compile(rf"(?<!être )\b[Mm](?:on|a) (?:{_RELATIVES[0]})\b(?! \w+é| d'| du | des )"),
    re.compile(rf"\b[Mm]y (?:{_RELATIVES[1]})\b"),
)
#: Feasts, planets, brands and other words, of which one does not speak as of a person or a town.
_NOT_NAMES = frozenset(
    "Halloween Thanksgiving Ascension Mars Jupiter Bible Covid Lego Scrabble Monopoly Instagram Python Union "
    "Culture Nord Marseillaise Vikings Beatles Constitution Nobel Royal Prince Mardi Six Renaissance Christ "
    "Oscar César Mac Excel Soir Bretons Internet".split()
)
_SHE = re.compile(r"\b[Ee]lle\b"), re.compile(r"\b(?:she|her|hers|herself)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
#: A word that loses its vowel before another: d'Anna, qu'Anna.
_ELIDED = re.compile(r"\b([Dd]|[Qq]u|[Jj]usqu|[Ll]orsqu)(?:e |')$")


def _is_name(word: str, en: str) -> bool:
    """Return whether a word is a whole name: not the Louvre, New York or Ascension Day."""
    longer = rf"(?<=\w )[A-Z]\w+ (?:de |du |of )?{word}\b|\b{word} [A-Z]|\b[Tt]he {word}\b"
    return word not in _NOT_NAMES and not re.search(longer, en)


def _tells_gender(fr: str, en: str) -> bool:
    """Return whether the French says elle if the English says she or her."""
    return bool(_SHE[0].search(fr)) or not _SHE[1].search(en)


def _has_one_subject(fr: str, en: str) -> bool:
    """Return whether both sentences begin with he, or both with she; not: Il lui plaît, She likes him."""
    begins = _SUBJECT[0].match(fr) and _SUBJECT[1].match(en)
    return bool(begins) and fr.startswith("Il ") == en.startswith("He ")


def with_invented_names(sentences: Sequence[Sentence], d: Draw) -> Iterator[Sentence]:
    """Yield the sentences that speak of a person, with an invented name instead.

    The person is a name (a word that is capitalised within a sentence, and the same in its translation), a
    relative (mon frère), or il or elle as the subject. Sentences with il or elle take turns with the others,
    without end, each time with other names. They have no links.
    """
    known = {word for fr, en, _ in sentences for word in {*_WITHIN.findall(fr)} & {*_WITHIN.findall(en)}}
    ordinary = {word.lower() for fr, en, _ in sentences for word in _WORD.findall(f"{fr} {en}")}

    def new_name() -> str:
        new = name(d)[0]
        while new.lower() in ordinary:  # Use, Tata
            new = name(d)[0]
        return new

    people, subjects = [], []
    for fr, en, _ in sentences:
        shared = (word for word in _CAPITALISED.findall(fr) if word in known and _is_name(word, en))
        names = [(word, word) for word in shared]
        of_mine = _MINE[0].findall(fr), _MINE[1].findall(en)
        relatives = [(of_mine[0][0], of_mine[1][0])] if [*map(len, of_mine)] == [1, 1] else []
        once = [old for old in (*names, *relatives) if fr.count(old[0]) == en.count(old[1]) == 1]
        if once and (once[0] in names or _tells_gender(fr.replace(once[0][0], ""), en)):
            people.append((fr, en, *once[0]))
        elif _has_one_subject(fr, en) and _tells_gender(fr[4:], en[3:]):
            subjects.append((fr, en))
    for (fr, en, old_fr, old_en), (his_fr, his_en) in zip(cycle(people), cycle(subjects), strict=False):
        before, _, after = fr.partition(old_fr)
        elided = _ELIDED.search(before)
        has_vowel = d.chance(0.5) if elided else starts_with_vowel(old_fr)  # l'Italie, la Belgique
        new = new_name()
        while starts_with_vowel(new) != has_vowel:
            new = new_name()
        if elided:
            before = before[: elided.start()] + elided[1] + ("'" if has_vowel else "e ")
        yield Sentence(before + new + after, en.replace(old_en, new), ())
        new = new_name()
        yield Sentence(_SUBJECT[0].sub(new, his_fr), _SUBJECT[1].sub(new, his_en), ())
