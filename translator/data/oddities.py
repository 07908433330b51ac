"""Signs that the text of a pair is damaged. Such a pair is noted in the report, but it is kept.

The signs are looked for before the input map is applied. Each sign has a bit flag. The flags differ from
those of `lines`, so that a single number can hold the flags of both modules.
"""

import html.entities
import re

ENTITY, TOKENISED, MOJIBAKE, INVISIBLE, QUOTED = 4, 8, 16, 32, 64

#: Strings that look like HTML entities, such as `&apos;` and `&#39;`. If such a string contains a name,
#: `_is_entity` checks that HTML defines this name.
_ENTITY = re.compile(r"&(?:([A-Za-z]\w{1,31};)|#[0-9]{1,7};|#[xX][0-9A-Fa-f]{1,6};)")
#: Markers of other tokenizers. The tokenizer of Moses writes `@-@` for a hyphen inside a word. subword-nmt
#: writes `@@` where it splits a word.
_TOKENISED = re.compile(r"(?<!\S)@[-–/.,]@(?!\S)|\w@@(?!\S)")
#: UTF-8 that was decoded as Windows-1252 or Latin-1. The pattern has five alternatives: for characters such
#: as é and «, for punctuation such as ’, for €, for œ, and for a byte order mark.
_MOJIBAKE = re.compile(
    r"[ÃÂ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰‹Œ‘’“”•–—˜™›œžŸŠš]|â€[\u0080-\u00bf™œ˜“”„…¢¦¡“”–—žš]|â‚¬|Å[“’](?=\w)|ï»¿"
)
#: A quoted CSV field that was not parsed as CSV: the text is between quotes, and each quote inside the text
#: is doubled.
_QUOTED = re.compile(r'\s*"(?:[^"]|"")+"\s*')


def odd_bits(source: str, target: str) -> int:
    """Return the bit flags of the signs that are present on at least one side of a pair.

    - `ENTITY`: a side has an HTML entity.
    - `TOKENISED`: a side has a marker of another tokenizer.
    - `MOJIBAKE`: a side has UTF-8 that was decoded as if it were in another encoding.
    - `INVISIBLE`: a side has a soft hyphen, a zero-width space, a word joiner or a byte order mark.
    - `QUOTED`: the whole text of a side is in double quotes.
    """
    both = f"{source}\n{target}"
    bits = 0
    # A pattern is tried only if the texts contain a string without which it cannot match. Most texts contain
    # no such string, and finding a string is much faster than matching a pattern.
    if "&" in both and any(_is_entity(match) for match in _ENTITY.finditer(both)):
        bits |= ENTITY
    if "@" in both and _TOKENISED.search(both):
        bits |= TOKENISED
    if not both.isascii():
        if (
            "Ã" in both or "Â" in both or "Å" in both or "â€" in both or "â‚¬" in both or "ï»¿" in both
        ) and _MOJIBAKE.search(both):
            bits |= MOJIBAKE
        if "\u00ad" in both or "\u200b" in both or "\u2060" in both or "\ufeff" in both:
            bits |= INVISIBLE
    if '"' in both and any(_QUOTED.fullmatch(side) for side in (source, target)):
        bits |= QUOTED
    return bits


def _is_entity(match: re.Match[str]) -> bool:
    return match[1] is None or match[1] in html.entities.html5


#: For each language, words that are frequent in it and not in the other language.
FUNCTION_WORDS = {
    "fr": frozenset(
        "le la les des une est et dans que qui pas pour sur il elle je vous nous avec du au".split()
    ),
    "en": frozenset("the and of is in to it that you he she was for with his her are this at my".split()),
}


def looks_swapped(source: str, target: str, source_language: str, target_language: str) -> bool | None:
    """Return whether the function words of a pair suggest that its sides are swapped.

    The result is None if the function words suggest neither order, or if one of the languages is neither
    French nor English.
    """
    of_source, of_target = FUNCTION_WORDS.get(source_language), FUNCTION_WORDS.get(target_language)
    if of_source is None or of_target is None:
        return None
    in_source, in_target = set(source.lower().split()), set(target.lower().split())
    straight = len(in_source & of_source) + len(in_target & of_target)
    crossed = len(in_source & of_target) + len(in_target & of_source)
    return None if straight == crossed else crossed > straight
