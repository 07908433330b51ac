"""Language codes, and the detection of French and English by means of frequent words."""

from translator.alignment.words import words
from translator.data.input_map import map_input

NAMES = {"fr": "French", "en": "English", "de": "German", "es": "Spanish", "it": "Italian", "nl": "Dutch"}

#: Frequent words of each language that do not exist in the other language, including elisions such as l' and
#: contractions such as 'll. Words that exist in both languages are left out: a, an, but, or, as, on, me, car,
#: pour, son, ton, ma, plus and tout.
_MARKERS = {
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
    """Return which of two languages a code matches, or None if the code matches neither.

    Differences of case and differences between `_` and `-` are ignored. If neither language matches the whole
    code, the regions are ignored, too: `FR`, `fr-CA` and `fr_FR` all match `fr`.
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
    """Return the English name of the language with the given code, or the code if it is not in `NAMES`."""
    return NAMES.get(code, code)


def detect(text: str, languages: tuple[str, str]) -> list[dict[str, float | str]]:
    """Detect which of two languages a text is in.

    The confidence depends on two numbers: how many words of the text are frequent words of only one of the
    languages, and how many words contain an accented letter of French. If the two languages are not French
    and English, only the first of them is returned, with confidence 0.

    Args:
        text: a text of any length.
        languages: two language codes. If both languages are equally likely, their order is kept.

    Returns:
        A dictionary for each language, the likelier language first. The entry "language" is the code of the
        language, and the entry "confidence" is a number from 0 to 100.
    """
    if set(languages) != set(_MARKERS):
        return [{"confidence": 0.0, "language": languages[0]}]
    tokens = [word.lower() for word in words(map_input(text))]
    counts = {code: sum(token in markers for token in tokens) for code, markers in _MARKERS.items()}
    counts["fr"] += sum(not _ACCENTED.isdisjoint(token) for token in tokens)
    total = sum(counts.values())
    # 0.5 is added to each count, so that the confidence is lower for a short text than for a long one.
    confidence = {code: 100 * (counts[code] + 0.5) / (total + 1) for code in languages}
    ordered = sorted(languages, key=lambda code: -confidence[code])
    return [{"confidence": round(confidence[code], 1), "language": code} for code in ordered]
