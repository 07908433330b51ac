"""Typing noise, such as missing accents, changed case and different quotation marks.

Each change is a function that takes a text and returns the changed text. If a change does not apply to a
text, it returns the text unchanged. The option `data.noise` applies some of the changes to training sources.
`translator evaluate --robustness` measures how much each change affects the translations.
"""

import re
from collections.abc import Callable, Mapping
from random import Random

from translator.data.input_map import normalize

Change = Callable[[str], str]

_QUOTED = re.compile(r"«([^«»]*)»|“([^“”]*)”|\"([^\"]*)\"")
#: The final marks of a text, if there is other text before them. A text that consists only of marks does not
#: match, because removing the marks would make it empty.
_FINAL = re.compile(r"(?<=[^\s.!?…])\s*[.!?…]+\s*$")
#: The space before a mark. A colon or semicolon counts as a mark only before whitespace or at the end of the
#: text, because it may otherwise be the start of an emoticon.
_SPACED_MARK = re.compile(r"(?<!\s)\s+(?=[?!]|[:;](?:\s|$))")


def without_accents(text: str) -> str:
    """Remove the accents of Latin letters, and replace each ligature with two letters (œuf becomes oeuf)."""
    for ligature, letters in (("œ", "oe"), ("Œ", "Oe"), ("æ", "ae"), ("Æ", "Ae")):
        text = text.replace(ligature, letters)
    bare = re.sub(r"(?<=[A-Za-z])[\u0300-\u036f]+", "", normalize("NFD", text))
    return normalize("NFC", bare)


def lower_case(text: str) -> str:
    """Convert the text to lower case."""
    return text.lower()


def first_letter_lower(text: str) -> str:
    """Convert only the first letter to lower case, unless it starts an acronym."""
    first = next((i for i, character in enumerate(text) if character.isalpha()), len(text))
    if text[first + 1 : first + 2].isupper():
        return text
    return text[:first] + text[first : first + 1].lower() + text[first + 1 :]


def upper_case(text: str) -> str:
    """Convert the text to capitals."""
    return text.upper()


def straight_quotes(text: str) -> str:
    """Replace quotation marks with "straight" ones."""
    return _quoted(text, '"', '"')


def curly_quotes(text: str) -> str:
    """Replace quotation marks with “curly” ones."""
    return _quoted(text, "“", "”")


def guillemets(text: str) -> str:
    """Replace quotation marks with « guillemets »."""
    return _quoted(text, "« ", " »")


def _quoted(text: str, opening: str, closing: str) -> str:
    # Spaces just inside « » are stripped here rather than in the pattern, because a pattern that excludes
    # them takes cubic time on unclosed quotes.
    return _QUOTED.sub(
        lambda match: opening + ((match[1] or "").strip() or match[2] or match[3] or "") + closing, text
    )


def without_final_mark(text: str) -> str:
    """Remove the final marks of the text: full stops, question marks, exclamation marks and ellipses."""
    return _FINAL.sub("", text)


def without_space_before_marks(text: str) -> str:
    """Remove the space that French puts before `?`, `!`, `:` and `;`."""
    return _SPACED_MARK.sub("", text)


#: Maps each kind of noise (a key of `data.noise`) to the changes that are variants of this kind. The kinds
#: are applied in this order. Therefore, if both `lower` and `upper` are applied to a text, it ends up in
#: capitals.
KINDS: dict[str, tuple[Change, ...]] = {
    "space": (without_space_before_marks,),
    "quotes": (straight_quotes, curly_quotes, guillemets),
    "final": (without_final_mark,),
    "accents": (without_accents,),
    "lower": (lower_case, first_letter_lower),
    "upper": (upper_case,),
}


def add_noise(text: str, rates: Mapping[str, float], random: Random) -> str:
    """Apply each kind of noise to a text with the probability given for this kind.

    If several variants of a kind change the text, one of them is chosen at random and applied.

    Args:
        text: a source.
        rates: maps each kind to its probability. A kind that is missing has probability 0.
        random: random number generator; see `random_of_row`.
    """
    for kind, variants in KINDS.items():
        if random.random() < rates.get(kind, 0.0):
            changed = [new for variant in variants if (new := variant(text)) != text]
            text = random.choice(changed) if changed else text
    return text


def random_of_row(seed: int, epoch: int, row: int) -> Random:
    """Return a random number generator for the noise of a row. Equal arguments give equal random numbers."""
    return Random((seed << 128) + (epoch << 64) + row)


# -- These changes have no key in `data.noise`, because the input map undoes them. --


def typographic_apostrophes(text: str) -> str:
    """Replace each ' with ’."""
    return text.replace("'", "’")


def no_break_spaces(text: str) -> str:
    """Use no-break spaces where French typography requires them: before `?`, `!`, `:`, `;` and inside « »."""
    return re.sub(r" (?=[?!:;»])|(?<=«) ", "\u00a0", text)


def decomposed(text: str) -> str:
    """Write accents as combining characters (Unicode form NFD)."""
    return normalize("NFD", text)


def byte_order_mark(text: str) -> str:
    """Prepend a byte order mark, unless the text is blank."""
    return f"\ufeff{text}" if text.strip() else text


def tabs(text: str) -> str:
    """Replace each space with a tab."""
    return text.replace(" ", "\t")


#: Maps the name of each change to the change. `--robustness` measures the effects of all these changes.
CHANGES: dict[str, Change] = {
    change.__name__: change
    for change in (
        *(variant for variants in KINDS.values() for variant in variants),
        *(typographic_apostrophes, no_break_spaces, decomposed, byte_order_mark, tabs),
    )
}
