"""Detection of the language of a text by means of frequent words."""

from translator.alignment.words import words
from translator.data.input_map import map_input

#: Frequent words of each language that do not exist in the other language, including elisions such as l' and
#: contractions such as 'll. Words that exist in both languages are in `_SHARED` instead.
_MARKERS = {
    "fr": frozenset(
        """le la les un une des du de et est sont dans sur avec qui que quoi je tu il elle nous vous ils
        elles ce cette ces mon mes ta tes sa ses leur leurs ne pas où au aux en se y à ça été
        être avoir ont fait mais ou donc si très bien tous toute quand comme sous chez devant l' d'
        j' n' c' s' m' t' qu' bonjour merci oui non depuis votre vos notre nos quel quelle lui""".split()
    ),
    "en": frozenset(
        """the of and is are was were in with for who what which where when how i you he she it we they
        this that these those my your his her its our their not no yes to from at by be been have has had do
        does did so if very all any there here under over into 's n't 'm 're 've 'll
        hello thank""".split()
    ),
}
_SHARED = {
    "fr": frozenset("on me pour son ton ma plus tout".split()),
    "en": frozenset("a an but or as on me".split()),
}
#: Frequent words of other languages that exist neither in French nor in English.
_OTHERS = {
    "de": frozenset("der das und ist nicht ich ein eine den im auf zu von wir sie mit für auch".split()),
    "es": frozenset("el los las está y por para con pero muy una como lo yo qué es del hay".split()),
    "it": frozenset("gli è di che sono per una questo ho sul nel della il con ma anche lo".split()),
    "nl": frozenset("het een van niet ik zijn op dat voor wij maar met ook naar heeft zit".split()),
}
#: A text with this many words and no frequent word of a language is not in this language.
_MIN_WORDS = 5
_ACCENTED = frozenset("àâæçéèêëîïôœùûüÿ")


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
    counts = _counts(_words(text), _MARKERS)
    total = sum(counts.values())
    # 0.5 is added to each count, so that the confidence is lower for a short text than for a long one.
    confidence = {code: 100 * (counts[code] + 0.5) / (total + 1) for code in languages}
    ordered = sorted(languages, key=lambda code: -confidence[code])
    return [{"confidence": round(confidence[code], 1), "language": code} for code in ordered]


def looks_like(text: str, language: str) -> bool:
    """Return whether a text may be in a language. If the language is not French or English, it always may.

    It may not if it has more frequent words of another language, or if it has `_MIN_WORDS` words and none of
    them is frequent in French or English or has a French accent.
    """
    if language not in _MARKERS:
        return True
    tokens = _words(text)
    counts = _counts(tokens, _MARKERS | _OTHERS)
    own = counts.pop(language)
    has_none = own == 0 and _SHARED[language].isdisjoint(tokens)
    return own >= max(counts.values()) and not (has_none and len(tokens) >= _MIN_WORDS)


def _words(text: str) -> list[str]:
    return [word.lower() for word in words(map_input(text)) if word[0].isalpha()]


def _counts(tokens: list[str], markers: dict[str, frozenset[str]]) -> dict[str, int]:
    """Return for each language how many words are frequent in it or, in French, have an accent."""
    counts = {code: sum(token in of_code for token in tokens) for code, of_code in markers.items()}
    counts["fr"] += sum(not _ACCENTED.isdisjoint(token) for token in tokens)
    return counts
