"""English on its own: plurals, verb forms, comparison, and the spelling of words side by side."""

import re
from functools import cache

_VOWEL_BUT_CONSONANT = re.compile(r"(?:uni|use|usu|eu|one\b|once\b)")
_CONSONANT_BUT_VOWEL = re.compile(r"(?:hour|honest|honor|heir)")
_SHORT = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]|quit|begin|forget|prefer|admit|regret")

BE_PRESENT = ("am", "are", "is", "are", "are", "are")
BE_PAST = ("was", "were", "was", "were", "were", "were")


@cache
def plural(noun: str) -> str:
    """Return the regular plural of a noun."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if re.search(r"[^aeiou]y$", noun) else noun + "s"


@cache
def third(verb: str) -> str:
    """Return what he, she or it does: eats, watches, has."""
    irregular = {"be": "is", "have": "has", "do": "does", "go": "goes"}
    return irregular.get(verb) or plural(verb)


@cache
def past(verb: str) -> str:
    """Return the regular past tense and participle."""
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if re.search(r"[^aeiou]y$", verb) else verb + "ed"


@cache
def ing(verb: str) -> str:
    """Return the -ing form, with the last consonant doubled in short verbs."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")) and verb != "be":
        return verb[:-1] + "ing"
    return verb + (verb[-1] if _SHORT.fullmatch(verb) else "") + "ing"


@cache
def takes_an(word: str) -> bool:
    """Whether `a` becomes `an` before this word."""
    word = word.lower()
    if word[:1] in "aeiou":
        return not _VOWEL_BUT_CONSONANT.match(word)
    return bool(_CONSONANT_BUT_VOWEL.match(word)) or word in ("8", "11", "18", "80")


@cache
def _spelled(word: str, following: str) -> str:
    if word in ("a", "A") and takes_an(following):
        word += "n"
    return word if following in (".", ",", "?", "!", "'s", "'", "n't", "") else word + " "


def spell(words: list[str]) -> str:
    """Write words as a sentence: a or an, spaces, a capital."""
    text = "".join(map(_spelled, words, [*words[1:], ""]))
    return text[0].upper() + text[1:]
