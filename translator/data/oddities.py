"""Signs of damage in a pair, detected before the input map is applied. Damaged pairs are noted and kept.

Each sign is a bit flag. The flags differ from those of `lines`, so that one number can combine both.
"""

import html.entities
import re

ENTITY, TOKENISED, MOJIBAKE, INVISIBLE, QUOTED = 4, 8, 16, 32, 64

#: Candidates for HTML entities such as `&apos;` and `&#39;`. `_is_entity` checks that a name exists in HTML.
_ENTITY = re.compile(r"&(?:([A-Za-z]\w{1,31};)|#[0-9]{1,7};|#[xX][0-9A-Fa-f]{1,6};)")
#: Markers of other tokenizers: Moses writes `@-@` for a hyphen in a word, and subword-nmt writes `@@` where
#: it splits a word.
_TOKENISED = re.compile(r"(?<!\S)@[-–/.,]@(?!\S)|\w@@(?!\S)")
#: UTF-8 that was decoded as Windows-1252 or Latin-1. The alternatives match what such decoding makes of
#: é and «, of ’ and other punctuation, of €, of œ, and of a byte order mark.
_MOJIBAKE = re.compile(
    r"[ÃÂ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰‹Œ‘’“”•–—˜™›œžŸŠš]|â€[\u0080-\u00bf™œ˜“”„…¢¦¡“”–—žš]|â‚¬|Å[“’](?=\w)|ï»¿"
)
#: A quoted CSV field that was not parsed as CSV: the text is in quotes, and each quote inside it is doubled.
_QUOTED = re.compile(r'\s*"(?:[^"]|"")+"\s*')


def odd_bits(source: str, target: str) -> int:
    """Return the bit flags of the oddities on either side.

    - `ENTITY`: a side has an HTML entity.
    - `TOKENISED`: a side has a marker of another tokenizer.
    - `MOJIBAKE`: a side has UTF-8 that was decoded in another encoding.
    - `INVISIBLE`: a side has a soft hyphen, a byte order mark or another zero width character.
    - `QUOTED`: the whole text of a side is in double quotes.
    """
    both = f"{source}\n{target}"
    bits = 0
    # Looking for a fixed string is much faster than matching a pattern, and most texts have none of these.
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


#: Frequent words of each language that the other language does not have.
_FUNCTION_WORDS = {
    "fr": frozenset(
        "le la les des une est et dans que qui pas pour sur il elle je vous nous avec du au".split()
    ),
    "en": frozenset("the and of is in to it that you he she was for with his her are this at my".split()),
}


def looks_swapped(source: str, target: str, source_language: str, target_language: str) -> bool | None:
    """Return whether the sides of a pair look swapped, judging by their function words.

    The result is None if the function words are not decisive, or if a language is neither French nor English.
    """
    of_source, of_target = _FUNCTION_WORDS.get(source_language), _FUNCTION_WORDS.get(target_language)
    if of_source is None or of_target is None:
        return None
    in_source, in_target = set(source.lower().split()), set(target.lower().split())
    straight = len(in_source & of_source) + len(in_target & of_target)
    crossed = len(in_source & of_target) + len(in_target & of_source)
    return None if straight == crossed else crossed > straight
