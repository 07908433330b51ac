"""The input map, a normalisation of source text. For example, it replaces each ’ with an ASCII apostrophe.

The input map is applied to sources before tokenization, in training and in translation. It is never applied
to targets. The configuration of a model records the version of the map that the model was trained with
(`data.input_map`).
"""

import re
import unicodedata
from itertools import chain, groupby
from typing import Literal

#: The emoji that zero-width joiners can combine into emoji sequences.
_EMOJI = r"\u2194-\u2199\u21a9\u21aa\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_LETTER = r"[^\W\d_]"

#: The steps of version 1 of the map, in the order in which they are applied. Each step is a pair (pattern,
#: replacement). After each step, the text is normalised to NFC. The steps are plain data so that an exported
#: model can include them. Whoever changes the steps must increment the version (`data.input_map`), and keep
#: the old steps for the models that were trained with them.
STEPS = (
    # Remove soft hyphens, byte order marks, zero-width spaces, zero-width non-joiners, word joiners,
    # directional formatting characters, invisible operators and the Mongolian vowel separator.
    (r"[\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]", ""),
    # Remove zero-width joiners that are not inside an emoji sequence.
    (rf"\u200d(?:(?<![{_EMOJI}\ufe0f]\u200d)|(?![{_EMOJI}]))", ""),
    # Replace typographic apostrophes with `'`. Single quotation marks become `'`, too, because the
    # closing one is the same character as the apostrophe.
    (r"[\u2018\u2019\u201b\u02bc\uff07]", "'"),
    # Replace an accent or a prime between two letters with `'`. People who cannot easily type an apostrophe
    # write these characters instead (l´eau).
    (rf"[`\u00b4\u2032](?<={_LETTER}.)(?={_LETTER})", "'"),
    (r"\s\s+|[^\S ]", " "),
    (r"^ | $", ""),
)

#: More than 30 consecutive combining marks or other symbols. The limit of 30 is that of the Stream-Safe Text
#: Format (UAX #15).
_LONG_RUN = re.compile(r"[^\w\s\x00-\x7f]{31,}")

_COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in STEPS]


def map_input(text: str) -> str:
    """Apply the input map to a source.

    Invisible characters are removed, typographic apostrophes become `'`, each run of whitespace becomes one
    space, whitespace at either end is removed, and the text is normalised to NFC. No word is replaced. A
    blank text becomes empty. The map is idempotent.
    """
    for pattern, replacement in _COMPILED:
        text = normalize("NFC", pattern.sub(replacement, text))
    return text


def normalize(form: Literal["NFC", "NFD"], text: str) -> str:
    """Return `unicodedata.normalize(form, text)`, in linear time even for long runs of combining marks."""
    if len(text) > 500:  # `unicodedata` takes quadratic time, which does not matter for shorter texts
        text = _LONG_RUN.sub(_ordered, text)
    return unicodedata.normalize(form, text)


def _ordered(run: re.Match[str]) -> str:
    """Decompose a run of marks and sort the result into canonical order, so that normalising it is fast."""
    decomposed = "".join(unicodedata.normalize("NFD", character) for character in run[0])
    parts = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
    return "".join(chain.from_iterable(sorted(part, key=unicodedata.combining) for _, part in parts))
