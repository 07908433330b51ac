"""The input map: a normalisation of source text that gives one spelling to what people type in several ways.

The input map is applied to sources before tokenization, in training and in translation. It is never applied
to targets. The configuration of a model records the version of the map that the model was trained with
(`data.input_map`).
"""

import re
import unicodedata
from itertools import chain, groupby
from typing import Literal

#: Version of `STEPS`. Whoever changes the steps must increment the version, and keep the old steps for the
#: models that were trained with them.
INPUT_MAP_VERSION = 1

#: Characters that a zero width joiner combines into an emoji sequence.
_EMOJI = r"\u2194-\u2199\u21a9\u21aa\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_LETTER = r"[^\W\d_]"

#: (pattern, replacement) of each step, in the order of application. After each step, the text is normalised
#: to NFC. The steps are plain data so that an exported model can include them.
STEPS = (
    # Removed: soft hyphens, byte order marks, and zero width spaces, non-joiners, direction marks and
    # operators.
    (r"[\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]", ""),
    # Removed: zero width joiners outside emoji sequences.
    (rf"\u200d(?:(?<![{_EMOJI}\ufe0f]\u200d)|(?![{_EMOJI}]))", ""),
    # Typographic apostrophes. Single quotation marks are the same characters, so they are replaced, too.
    (r"[\u2018\u2019\u201b\u02bc\uff07]", "'"),
    # Accents and primes between letters. They stand for apostrophes that are harder to type: l´eau.
    (rf"[`\u00b4\u2032](?<={_LETTER}.)(?={_LETTER})", "'"),
    (r"\s\s+|[^\S ]", " "),
    (r"^ | $", ""),
)

#: More than 30 combining marks or other symbols in a row. UAX #15 allows 30 in its Stream-Safe Text Format.
_LONG_RUN = re.compile(r"[^\w\s\x00-\x7f]{31,}")

_COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in STEPS]


def map_input(text: str) -> str:
    """Return a source as the model reads it.

    Invisible characters are removed, typographic apostrophes become `'`, each run of whitespace becomes one
    space, whitespace at either end is removed, and the text is normalised to NFC. No word changes. A blank
    text becomes empty. The map is idempotent.
    """
    for pattern, replacement in _COMPILED:
        text = normalize("NFC", pattern.sub(replacement, text))
    return text


def normalize(form: Literal["NFC", "NFD"], text: str) -> str:
    """Return `unicodedata.normalize(form, text)`, in linear time even for long runs of combining marks."""
    if len(text) > 500:  # in shorter texts, the quadratic time of `unicodedata` does not matter
        text = _LONG_RUN.sub(_ordered, text)
    return unicodedata.normalize(form, text)


def _ordered(run: re.Match[str]) -> str:
    """Return a run of marks decomposed and in canonical order, so that normalising it takes linear time."""
    decomposed = "".join(unicodedata.normalize("NFD", character) for character in run[0])
    parts = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
    return "".join(chain.from_iterable(sorted(part, key=unicodedata.combining) for _, part in parts))
