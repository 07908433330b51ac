"""Which of two languages a text is in, by the words that only one of them has."""

from translator.alignment.words import words
from translator.data.input_map import map_input

NAMES = {"fr": "French", "en": "English", "de": "German", "es": "Spanish", "it": "Italian", "nl": "Dutch"}

#: Frequent words of French and English that the other does not have; elisions and contractions too. What both
#: have tells nothing: a, an, but, or, as, on, me, car, pour, son, ton, ma, plus, tout.
_MARKS = {
    "fr": frozenset(
        """le la les un une des du de et est sont dans sur avec qui que quoi je tu il elle nous vous ils
        elles ce cette ces mon mes ta tes sa ses leur leurs ne pas où au aux en se y à ça été
        être avoir ont fait mais ou donc si très bien tous toute quand comme sous chez devant l' d'
        j' n' c' s' m' t' qu' bonjour merci oui non""".split()
    ),
    "en": frozenset(
        """the of and is are was were in with for who what which where when how i you he she it we they
        this that these those my your his her its our their not no yes to from at by be been have has had do
        does did so if very all any there here under over into 's n't 'm 're 've 'll
        hello thank""".split()
    ),
}
_ACCENTED = frozenset("àâæçéèêëîïôœùûüÿ")


def language_of(code: str, languages: tuple[str, str]) -> str | None:
    """Return which of some languages a code means, in either case: itself, or one without its region.

    `FR`, `fr-CA` and `fr_FR` are French where it is `fr`; None: none of them.
    """
    wanted = code.strip().replace("_", "-").lower()
    for known in languages:
        if known.replace("_", "-").lower() == wanted:
            return known
    for known in languages:
        if known.replace("_", "-").lower().partition("-")[0] == wanted.partition("-")[0]:
            return known
    return None


def name_of(code: str) -> str:
    """Return the English name of a language, or the code where it has none here."""
    return NAMES.get(code, code)


def detect(text: str, languages: tuple[str, str]) -> list[dict[str, float | str]]:
    """Say which of two languages a text is in.

    It counts the words that only one of French and English has, and French words with an accent. Other
    languages are not told apart: the first is answered, with confidence 0.

    Args:
        text: of any length.
        languages: codes; the first is answered where nothing speaks for either.

    Returns:
        `{"confidence": 0 to 100, "language": code}` of each, the likelier first.
    """
    if set(languages) != set(_MARKS):
        return [{"confidence": 0.0, "language": languages[0]}]
    found = [word.lower() for word in words(map_input(text))]
    counts = {code: sum(word in marks for word in found) for code, marks in _MARKS.items()}
    counts["fr"] += sum(not _ACCENTED.isdisjoint(word) for word in found)
    total = sum(counts.values())
    # One count is split between both, so that certainty grows with the text.
    sure = {code: 100 * (counts[code] + 0.5) / (total + 1) for code in languages}
    ordered = sorted(languages, key=lambda code: -sure[code])
    return [{"confidence": round(sure[code], 1), "language": code} for code in ordered]
