"""What people do to a sentence when they type it: accents left out, other capitals, other quotation marks …

Each change is a function from text to text that leaves a text alone where it has nothing to change.
`data.noise` makes some of them in training sources, and `translator evaluate --robustness` measures them all.
"""

import re
from collections.abc import Callable, Mapping
from random import Random

from translator.data.input_map import normalize

Change = Callable[[str], str]

_QUOTED = re.compile(r"«([^«»]*)»|“([^“”]*)”|\"([^\"]*)\"")
#: Marks after something else, or the whole text would go.
_FINAL = re.compile(r"(?<=[^\s.!?…])\s*[.!?…]+\s*$")
#: A colon or semicolon within a word is left alone: it may begin a smiley.
_SPACED_MARK = re.compile(r"(?<!\s)\s+(?=[?!]|[:;](?:\s|$))")


def without_accents(text: str) -> str:
    """Leave out the accents of Latin letters, and write ligatures as two letters: œuf is oeuf."""
    for ligature, letters in (("œ", "oe"), ("Œ", "Oe"), ("æ", "ae"), ("Æ", "Ae")):
        text = text.replace(ligature, letters)
    bare = re.sub(r"(?<=[A-Za-z])[\u0300-\u036f]+", "", normalize("NFD", text))
    return normalize("NFC", bare)


def lower_case(text: str) -> str:
    """Write all in lower case."""
    return text.lower()


def first_letter_lower(text: str) -> str:
    """Write the first letter alone in lower case; an acronym keeps it."""
    place = next((i for i, character in enumerate(text) if character.isalpha()), len(text))
    if text[place + 1 : place + 2].isupper():
        return text
    return text[:place] + text[place : place + 1].lower() + text[place + 1 :]


def upper_case(text: str) -> str:
    """Write all in capitals."""
    return text.upper()


def straight_quotes(text: str) -> str:
    """Quote "so"."""
    return _quoted(text, '"', '"')


def curly_quotes(text: str) -> str:
    """Quote “so”."""
    return _quoted(text, "“", "”")


def guillemets(text: str) -> str:
    """Quote « so »."""
    return _quoted(text, "« ", " »")


def _quoted(text: str, opening: str, closing: str) -> str:
    # The blanks within « » go here: a pattern that leaves them out takes cubic time where none closes.
    return _QUOTED.sub(
        lambda found: opening + ((found[1] or "").strip() or found[2] or found[3] or "") + closing, text
    )


def without_final_mark(text: str) -> str:
    """Leave out the full stop, question or exclamation mark at the end."""
    return _FINAL.sub("", text)


def without_space_before_marks(text: str) -> str:
    """Leave out the space before `?`, `!`, `:` and `;` that French has."""
    return _SPACED_MARK.sub("", text)


#: Each kind of `data.noise` and its ways, in the order in which they are made; of lower case and capitals,
#: the last one shows.
KINDS: dict[str, tuple[Change, ...]] = {
    "space": (without_space_before_marks,),
    "quotes": (straight_quotes, curly_quotes, guillemets),
    "final": (without_final_mark,),
    "accents": (without_accents,),
    "lower": (lower_case, first_letter_lower),
    "upper": (upper_case,),
}


def add_noise(text: str, rates: Mapping[str, float], random: Random) -> str:
    """Make each kind of change with its own probability, in one of the ways that change the text.

    Args:
        text: a source.
        rates: kind → probability; kinds that are not there are not made.
        random: decides; see `random_of_row`.
    """
    for kind, ways in KINDS.items():
        if random.random() < rates.get(kind, 0.0):
            changed = [new for way in ways if (new := way(text)) != text]
            text = random.choice(changed) if changed else text
    return text


def random_of_row(seed: int, epoch: int, row: int) -> Random:
    """Return the generator of a row's noise in an epoch, which depends on nothing else."""
    return Random((seed << 128) + (epoch << 64) + row)


# -- other characters for the same text: for measuring, since they carry no meaning ----------------------


def typographic_apostrophes(text: str) -> str:
    """Write ' as ’."""
    return text.replace("'", "’")


def no_break_spaces(text: str) -> str:
    """Write a no-break space where French typography wants one: before `?`, `!`, `:`, `;`, within « »."""
    return re.sub(r" (?=[?!:;»])|(?<=«) ", "\u00a0", text)


def decomposed(text: str) -> str:
    """Write accents as characters of their own (Unicode form NFD)."""
    return normalize("NFD", text)


def byte_order_mark(text: str) -> str:
    """Begin with a byte order mark, unless the text is blank."""
    return f"\ufeff{text}" if text.strip() else text


def tabs(text: str) -> str:
    """Write each space as a tab."""
    return text.replace(" ", "\t")


#: All that `--robustness` measures, by name: the ways of all kinds, then the forms.
CHANGES: dict[str, Change] = {
    change.__name__: change
    for change in (
        *(way for ways in KINDS.values() for way in ways),
        *(typographic_apostrophes, no_break_spaces, decomposed, byte_order_mark, tabs),
    )
}
