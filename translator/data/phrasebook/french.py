"""French morphology and spelling: plurals, feminines, conjugation, elision, spacing."""

import re
from dataclasses import dataclass
from functools import cache

from translator.data.phrasebook.english import GLUE

VOWELS = "aeiouyhàáâäåéèêëíîïóôöøùúûüœæ"
#: Words that lose their final vowel before a word that starts with a vowel: l'eau.
_ELIDING = {"le", "la", "je", "me", "te", "se", "ne", "de", "que", "jusque", "lorsque", "puisque"}
_PRESENT = {
    "er": ("e", "es", "e", "ons", "ez", "ent"),
    "ir": ("is", "is", "it", "issons", "issez", "issent"),
    "re": ("s", "s", "", "ons", "ez", "ent"),
}
_IMPERFECT = ("ais", "ais", "ait", "ions", "iez", "aient")
_FUTURE = ("ai", "as", "a", "ons", "ez", "ont")


@dataclass(frozen=True, slots=True)
class Conjugation:
    """The forms of a verb. Every tuple of six forms is in the order je, tu, il, nous, vous, ils.

    Attributes:
        imperative: the three forms for tu, nous and vous.
        participle: the masculine singular of the past participle.
    """

    infinitive: str
    present: tuple[str, ...]
    imperfect: tuple[str, ...]
    future: tuple[str, ...]
    conditional: tuple[str, ...]
    subjunctive: tuple[str, ...]
    imperative: tuple[str, ...]
    participle: str


def starts_with_vowel(word: str) -> bool:
    """Return whether `le` becomes `l'` before this word. A `*` before the word prevents this (`*hibou`)."""
    sounded = re.match(rf"y[aeiou](?!ux)|h[^{VOWELS}]", word.lower())  # Youssef and Hralle, but not yeux
    return word[:1].lower() in VOWELS and not sounded


def plural(word: str) -> str:
    """Return the regular plural of a noun or masculine adjective."""
    if word[-1] in "sxz":
        return word
    if word.endswith("al"):
        return word[:-2] + "aux"
    return word + ("x" if word.endswith(("eau", "au", "eu")) else "s")


def feminine(adjective: str) -> str:
    """Return the regular feminine singular of an adjective or participle."""
    if adjective.endswith("e"):
        return adjective
    for ending, other in (("eux", "euse"), ("er", "ère"), ("if", "ive")):
        if adjective.endswith(ending):
            return adjective[: -len(ending)] + other
    return adjective + "e"


def agree(participle: str, *, is_feminine: bool, is_plural: bool) -> str:
    """Return a participle in the given gender and number."""
    form = participle + ("e" if is_feminine else "")
    return form if not is_plural or form.endswith("s") else form + "s"


def regular(infinitive: str, *, doubles: bool = False) -> Conjugation:
    """Conjugate a regular verb in -er, -ir (finir) or -re (vendre).

    Args:
        infinitive: infinitive without `se`.
        doubles: whether the last consonant of the stem is doubled before a silent e (appeler: j'appelle).

    Raises:
        ValueError: the infinitive does not end in -er, -ir or -re.
    """
    group, stem = infinitive[-2:], infinitive[:-2]
    if group not in _PRESENT:
        raise ValueError(f"{infinitive!r} is not a regular verb; give its model in verbs.tsv")
    present = tuple(_join(stem, ending, doubles=doubles) for ending in _PRESENT[group])
    future = infinitive.removesuffix("e")
    if group == "er":
        future = _silent(stem, doubles=doubles) + "er"
        if re.search(r"é[^aeiouyéè]+$", stem):
            future = infinitive  # é remains é in the future: préférera
    imperfect = present[3].removesuffix("ons")
    participle = {"er": "é", "ir": "i", "re": "u"}[group]
    return from_parts(infinitive, present, imperfect, future, stem + participle)


def from_parts(
    infinitive: str,
    present: tuple[str, ...],
    imperfect: str,
    future: str,
    participle: str,
    imperative: tuple[str, ...] = (),
) -> Conjugation:
    """Build a conjugation from its principal parts.

    `imperfect` and `future` are the stems of these tenses. `imperative` contains the forms for tu, nous and
    vous; it is needed only if they are irregular.
    """
    if not imperative:
        tu = present[1]
        if tu.endswith(("es", "as")) and not infinitive.endswith(("re", "oir")):
            tu = tu[:-1]  # the imperative has no s: mange, va, ouvre
        imperative = (tu, present[3], present[4])
    # The stems mange- and commenç- become mang- and commenc- before i: mangions, commencions.
    soft = re.sub(r"(?<=g)e$", "", imperfect).removesuffix("ç") + ("c" if imperfect.endswith("ç") else "")
    return Conjugation(
        infinitive,
        present,
        tuple((soft if ending.startswith("i") else imperfect) + ending for ending in _IMPERFECT),
        tuple(future + ending for ending in _FUTURE),
        tuple(future + ending for ending in _IMPERFECT),
        _subjunctive(infinitive, present[5].removesuffix("ent"), soft),
        imperative,
        participle,
    )


#: For each verb whose subjunctive is not derived from the present, the two stems of its subjunctive. The
#: second stem is used with nous and vous, and the first stem with all other persons.
_SUBJUNCTIVES = {
    "faire": ("fass", "fass"), "pouvoir": ("puiss", "puiss"), "savoir": ("sach", "sach"),
    "aller": ("aill", "all"), "vouloir": ("veuill", "voul"), "valoir": ("vaill", "val"),
    "falloir": ("faill", "fall"), "pleuvoir": ("pleuv", "pleuv"),
}  # fmt: skip
_WHOLE_SUBJUNCTIVES = {
    "être": ("sois", "sois", "soit", "soyons", "soyez", "soient"),
    "avoir": ("aie", "aies", "ait", "ayons", "ayez", "aient"),
}


def _subjunctive(infinitive: str, stem: str, nous: str) -> tuple[str, ...]:
    stem, nous = _SUBJUNCTIVES.get(infinitive, (stem, nous))
    regular = tuple(
        (nous if ending in ("ions", "iez") else stem) + ending
        for ending in ("e", "es", "e", "ions", "iez", "ent")
    )
    return _WHOLE_SUBJUNCTIVES.get(infinitive, regular)


def like(model: Conjugation, infinitive: str) -> Conjugation:
    """Conjugate a verb like the verb `model`: revenir like venir, construire like conduire.

    The two infinitives have a common ending. In each form of the model, the part of the model's infinitive
    that precedes this ending is replaced by the corresponding part of `infinitive`.

    Raises:
        ValueError: a form of the model does not start with the part that is to be replaced.
    """
    tail = 0
    while tail < min(len(model.infinitive), len(infinitive)) and (
        model.infinitive[-tail - 1] == infinitive[-tail - 1]
    ):
        tail += 1
    old, new = model.infinitive[: len(model.infinitive) - tail], infinitive[: len(infinitive) - tail]

    def form(word: str) -> str:
        if not word.startswith(old):
            raise ValueError(f"{infinitive!r} cannot follow {model.infinitive!r}: {word!r} is no {old!r}…")
        return new + word[len(old) :]

    def forms(several: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(form, several))

    return Conjugation(
        infinitive,
        forms(model.present),
        forms(model.imperfect),
        forms(model.future),
        forms(model.conditional),
        forms(model.subjunctive),
        forms(model.imperative),
        form(model.participle),
    )


def _join(stem: str, ending: str, *, doubles: bool) -> str:
    if ending in ("e", "es", "ent"):
        return _silent(stem, doubles=doubles) + ending
    if ending.startswith(("a", "o")):
        if stem.endswith("g"):
            return stem + "e" + ending  # mangeons
        if stem.endswith("c"):
            return stem[:-1] + "ç" + ending  # commençons
    return stem + ending


def _silent(stem: str, *, doubles: bool) -> str:
    """Return the form of the stem of an -er verb before a silent e: achèt-, préfèr-, appell-, nettoi-."""
    if doubles:
        return stem + stem[-1]
    if stem.endswith(("oy", "uy", "ay")):
        return stem[:-1] + "i"
    return re.sub(r"[eé](?=(?:[bcdfglmnprstv]|[bcdfgpt][rl]|qu|gu|gn|ch)$)", "è", stem)


@cache
def _spelled(word: str, following: str) -> str:
    """Return a word as it is spelled before the word `following`, with the space between them, if any."""
    bare = word.removeprefix("*").removeprefix(GLUE)
    if following.startswith(GLUE):
        return bare
    if (following.startswith("-") and following != "-") or following in (".", ",", "…", ""):
        return bare
    elides = word.lower() in _ELIDING or (word.lower() == "ce" and following in ("est", "était"))
    if elides and starts_with_vowel(following):
        return bare[:-1] + "'"
    if bare.endswith("'"):
        return bare  # the word is already elided, as in a set phrase
    if word.lower() == "si" and following in ("il", "ils"):
        return bare[:-1] + "'"
    return bare + " "


def spell(words: list[str]) -> str:
    """Join words into a sentence, with elision, spaces and an initial capital.

    A word that starts with `-` is attached to the word before it, unless it is a minus sign alone.
    """
    text = "".join(map(_spelled, words, [*words[1:], ""]))
    return text[0].upper() + text[1:]
