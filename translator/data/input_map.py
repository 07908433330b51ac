"""The input map: one spelling for what people type in several, in front of the tokenizer.

Sources go through it, in training and in translation alike, targets never. The configuration of a model says
which version of it the model learnt with (`data.input_map`).
"""

import re
import unicodedata
from itertools import chain, groupby
from typing import Literal

#: Of `STEPS`. Raise it with any change to them, and keep the old steps for the models that learnt with them.
INPUT_MAP_VERSION = 1

#: What an emoji sequence joins, and what may stand between a part of it and the joiner.
_EMOJI = r"\u2194-\u2199\u21a9\u21aa\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_LETTER = r"[^\W\d_]"

#: Pattern and replacement, in order; the text is put into Unicode form NFC after each. They are plain data so
#: that an export can carry them.
STEPS = (
    # Soft hyphens, byte order marks, and what has no width: spaces, non-joiners, directions, operators.
    (r"[\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]", ""),
    # The zero width joiner, but inside an emoji sequence.
    (rf"\u200d(?:(?<![{_EMOJI}\ufe0f]\u200d)|(?![{_EMOJI}]))", ""),
    # Apostrophes; the single quotation marks are the same characters.
    (r"[\u2018\u2019\u201b\u02bc\uff07]", "'"),
    # Accents and primes by themselves, which some keyboards make easier to type: l´eau.
    (rf"[`\u00b4\u2032](?<={_LETTER}.)(?={_LETTER})", "'"),
    (r"\s\s+|[^\S ]", " "),
    (r"^ | $", ""),
)

#: Combining marks, and other signs, more than text has in a row (30, says UAX #15's Stream-Safe Text Format).
_LONG_RUN = re.compile(r"[^\w\s\x00-\x7f]{31,}")

_COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in STEPS]


def map_input(text: str) -> str:
    """Return a source as a model reads it.

    Invisible characters are removed, typographic apostrophes become `'`, each run of white space becomes one
    space, none is left at either end, and the text is in Unicode form NFC. Nothing else changes, no word
    does. What is blank becomes empty. Mapping twice is mapping once.
    """
    for pattern, replacement in _COMPILED:
        text = normalize("NFC", pattern.sub(replacement, text))
    return text


def normalize(form: Literal["NFC", "NFD"], text: str) -> str:
    """Return `unicodedata.normalize(form, text)`, which alone takes a minute for 160,000 marks in a row."""
    if len(text) > 500:  # below that it takes less than a millisecond
        text = _LONG_RUN.sub(_ordered, text)
    return unicodedata.normalize(form, text)


def _ordered(run: re.Match[str]) -> str:
    """A run decomposed, its marks in canonical order: for those Python takes linear time."""
    decomposed = "".join(unicodedata.normalize("NFD", character) for character in run[0])
    parts = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
    return "".join(chain.from_iterable(sorted(part, key=unicodedata.combining) for _, part in parts))
