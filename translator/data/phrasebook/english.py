"""English morphology and spelling: plurals, verb forms, a or an, contractions, spacing."""

import re
from functools import cache
from itertools import pairwise

_VOWEL_BUT_CONSONANT = re.compile(r"(?:uni|use|usu|eu|one\b|once\b)")
_CONSONANT_BUT_VOWEL = re.compile(r"(?:hour|honest|honor|heir)")
_SHORT = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]|quit|begin|forget|prefer|admit|regret")

#: Prefix of a word that follows the preceding word without a space.
GLUE = "\0"

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
    """Return the third person singular of a verb: eats, watches, has."""
    irregular = {"be": "is", "have": "has", "do": "does", "go": "goes"}
    return irregular.get(verb) or plural(verb)


@cache
def past(verb: str) -> str:
    """Return the regular past tense of a verb, which is also its past participle: watched, cried."""
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if re.search(r"[^aeiou]y$", verb) else verb + "ed"


@cache
def ing(verb: str) -> str:
    """Return the -ing form of a verb. Short verbs and a few others double the last consonant: stopping."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")) and verb != "be":
        return verb[:-1] + "ing"
    return verb + (verb[-1] if _SHORT.fullmatch(verb) else "") + "ing"


@cache
def takes_an(word: str) -> bool:
    """Return whether `a` becomes `an` before this word."""
    word = word.lower()
    if word[:1] in "aeiou":
        return not _VOWEL_BUT_CONSONANT.match(word)
    return bool(_CONSONANT_BUT_VOWEL.match(word)) or word in ("8", "11", "18", "80")


@cache
def _spelled(word: str, following: str) -> str:
    if word in ("a", "A") and takes_an(following):
        word += "n"
    word = word.removeprefix(GLUE)
    return word if following in _ATTACHED or following.startswith(GLUE) else word + " "


_ATTACHED = (".", ",", "?", "!", ":", ";", "…", "'s", "'", "n't", "'m", "'re", "'ve", "'ll", "'d", "")


#: For each auxiliary, its form before n't, such as wo for will.
NEGATED = {
    **{word: word for word in "is are was were do does did have has had would could should".split()},
    "will": "wo",
    "can": "ca",
}
#: The contraction of each verb form, which is used after the words that `_PRONOUNS` lists for the verb form.
#: The contraction 's is also used after what, who and where at the start of a sentence (what's).
_SHORT_FORMS = {"am": "'m", "is": "'s", "are": "'re", "will": "'ll", "would": "'d"}
_PRONOUNS = {
    "am": ("i",),
    "is": ("he", "she", "it", "there", "that", "here"),
    "are": ("you", "we", "they"),
    "will": ("i", "you", "he", "she", "it", "we", "they"),
    "would": ("i", "you", "he", "she", "we", "they"),
}
#: Words after which a pronoun and its verb are not contracted: I know where he is now.
_NO_CONTRACTION_AFTER = ("where", "what", "how", "than", "as", "who", "when")


def contracted(words: list[str]) -> list[str]:
    """Contract words. A contraction still consists of two words (is, n't), so their number is unchanged."""
    out = list(words)
    for i, (word, following) in enumerate(pairwise(words)):
        head = word.lower()
        if following == "not" and head in NEGATED:
            out[i], out[i + 1] = word[: len(word) - len(head)] + NEGATED[head], "n't"
        is_last = i + 2 >= len(words) or words[i + 2] in _ATTACHED
        before = words[i - 1].lower() if i else ""
        stressed = before in _NO_CONTRACTION_AFTER or before.endswith("er")
        negated = words[i + 2 : i + 3] == ["not"] and following != "am"
        opens = i == 0 and following == "is" and head in ("what", "who", "where") and len(words) > 4
        if (head in _PRONOUNS.get(following, ()) or opens) and not (is_last or stressed or negated):
            out[i + 1] = _SHORT_FORMS[following]
    return out


def spell(words: list[str]) -> str:
    """Join words into a sentence: choose `a` or `an`, put spaces between words, and capitalise the first."""
    text = "".join(map(_spelled, words, [*words[1:], ""]))
    return text[0].upper() + text[1:]
