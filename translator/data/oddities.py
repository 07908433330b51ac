"""What looks odd in a pair as its file has it, before any mapping: it is noted and stays.

Each oddity is a bit beside those of `lines`.
"""

import html.entities
import re

ENTITY, TOKENISED, MOJIBAKE, INVISIBLE, QUOTED = 4, 8, 16, 32, 64

#: `&apos;`, `&#39;`; whether a name is one of HTML's is looked up.
_ENTITY = re.compile(r"&(?:([A-Za-z]\w{1,31};)|#[0-9]{1,7};|#[xX][0-9A-Fa-f]{1,6};)")
#: What Moses writes for a hyphen or slash within a word, and subword-nmt where it cut one.
_TOKENISED = re.compile(r"(?<!\S)@[-–/.,]@(?!\S)|\w@@(?!\S)")
#: UTF-8 that was read as Windows-1252 or Latin-1 and saved anew: é, ’ and «, œ, a byte order mark.
_MOJIBAKE = re.compile(
    r"[ÃÂ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰‹Œ‘’“”•–—˜™›œžŸŠš]|â€[\u0080-\u00bf™œ˜“”„…¢¦¡“”–—žš]|â‚¬|Å[“’](?=\w)|ï»¿"
)
#: A field as a table has it that was not read as one: in quotes, and each quote in it doubled.
_QUOTED = re.compile(r'\s*"(?:[^"]|"")+"\s*')


def odd_bits(source: str, target: str) -> int:
    """Return the bits of what looks odd on either side.

    `ENTITY`: an HTML entity, `TOKENISED`: a tokeniser's mark, `MOJIBAKE`: UTF-8 read as another encoding,
    `INVISIBLE`: a soft hyphen, a byte order mark or another character without width, `QUOTED`: a whole side
    in double quotes.
    """
    both = f"{source}\n{target}"
    bits = 0
    # To look for a character takes a fraction of the time of a pattern, and nearly no text has any of them.
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


#: Words of a language that its sentences are full of and those of the other language lack.
_FUNCTION_WORDS = {
    "fr": frozenset(
        "le la les des une est et dans que qui pas pour sur il elle je vous nous avec du au".split()
    ),
    "en": frozenset("the and of is in to it that you he she was for with his her are this at my".split()),
}


def looks_swapped(source: str, target: str, source_language: str, target_language: str) -> bool | None:
    """Whether each side of a pair looks like the other's language, by its function words.

    None where they do not tell, and for any language but French and English.
    """
    ours, theirs = _FUNCTION_WORDS.get(source_language), _FUNCTION_WORDS.get(target_language)
    if ours is None or theirs is None:
        return None
    in_source, in_target = set(source.lower().split()), set(target.lower().split())
    straight = len(in_source & ours) + len(in_target & theirs)
    crossed = len(in_source & theirs) + len(in_target & ours)
    return None if straight == crossed else crossed > straight
