"""Where sentences end. The only importer of `sentencex`; what it misses in French is put right here."""

import re

from sentencex import get_sentence_boundaries

#: Characters segmented at once: where quotes never close, `sentencex` takes quadratic time.
_WINDOW = 4000
#: Characters before a stop that decide whether it ends a sentence.
_TAIL = 30

_MARK = re.compile(r"[.!?…]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WIDE_SPACE = re.compile(r"[^\S\x00-\x7f]")
#: A stop, what closes after it, and white space.
_STOP = re.compile(r"[.!?…][)\]»”\"']*\s+")
#: Within these nothing ends.
_ENCLOSED = re.compile(r"«[^»]*»|“[^”]*”|(?<!\S)\"[^\"]*\"(?!\w)|\([^()]*\)")

_BEFORE = r"(?:^|[\s('’«\"“/–—-])"
_CAPITAL = r"[^\W\d_a-zß-öø-ÿœ]"
#: Titles and references, after which a sentence always goes on, and the number of an entry in a list.
_GOES_ON = re.compile(
    _BEFORE
    + r"(?:MM?|Mmes?|Mlles?|Mgr|Me|Drs?|Prs?|Prof|Ste?s?|[Cc]f|[Ee]x|[Nn][o°]|apr|av|env|[Tt]él|boul|[Bb]d"
    r"|vs)\.$"
    r"|(?:^|[:;]\s)(?:\d{1,3}|[A-Za-z])\.$"
)
#: After these it goes on unless a capital follows: p. 12, 8 h., s.v.p., etc.
_ABBREVIATION = re.compile(
    _BEFORE + r"(?:\w|(?:[^\W\d_]\.-?)+[^\W\d_]|etc|art|fig|vol|chap|éd|hab|réf|min|max|sec|km"
    r"|janv|févr|juill|sept|oct|nov|déc|\d+(?:ers?|res?|es?|èmes?))\.$"
)
#: After an initial a capital is part of a name, unless it begins a sentence: A. Dumas; le plan B. Il dort.
_INITIAL = re.compile(_BEFORE + rf"(?:{_CAPITAL}\.-?\s?)+$")
_BEGINS = re.compile(
    r"(?:[JTLCDNM]'|Je|Tu|Ils?|Elles?|On|Nous|Vous|Les?|La|Une?|Des|Ce|Cette|Ces|Ça|Mon|Ma|Mes|Son|Sa|Ses|Et|Mais|Ou|"
    r"Où|Qui|Que|Quoi|Quand|Comment|Pourquoi|Est-ce|Dans|En|Au|Aux|À|Pour|Puis|Alors|Oui|Non|Merci)\b"
)
#: What says whose speech it was: dit-il, demanda Marie.
_SPEECH_TAG = re.compile(
    r"[a-zà-ÿ]+-(?:t-)?(?:je|il|elle|on|ils|elles)\b|(?:dit|demand|répond|cri|ajout|murmur|lanç|expliqu|fit)\w*\s"
)
_INTERJECTION = re.compile(r"\w+\s?!")
#: Marks, emoji and emoticons by themselves belong to the sentence before them.
_TRAILING = re.compile(r"(?:(?:[^\w\s«“\"'’(\[—–:;-]|[:;]-?[)(DPp])+(?:\s+|$))+")


def split_sentences(text: str, language: str = "fr") -> list[str]:
    """Cut a line into sentences, without the white space around them; a blank line gives none.

    Args:
        text: a line.
        language: its ISO 639-1 code, for the segmenter.
    """
    return [text[start:end] for start, end in sentence_spans(text, language)]


def paired_sentences(
    source: str, target: str, languages: tuple[str, str]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the spans of each sentence and its translation; the whole texts where their numbers differ."""
    spans = [sentence_spans(*of_side) for of_side in zip((source, target), languages, strict=True)]
    if len(spans[0]) != len(spans[1]):
        return [((0, len(source)), (0, len(target)))]
    return list(zip(*spans, strict=True))


def sentence_spans(text: str, language: str = "fr") -> list[tuple[int, int]]:
    """Return where each sentence begins and ends; see `split_sentences`."""
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    if not _MARK.search(text[start:end].rstrip(".!?… »”\"')")):  # most lines
        return [(start, end)] if start < end else []
    text, starts = text[:end], [start]
    while len(text) - starts[-1] > _WINDOW:
        window = text[starts[-1] : starts[-1] + _WINDOW]
        inner = _starts(window, language) or [window.rfind(" ") + 1 or _WINDOW]
        starts += [starts[-1] + start for start in inner]
    starts += [starts[-1] + start for start in _starts(text[starts[-1] :], language)]
    spans = []
    for after_stop, until in zip(starts, [*starts[1:], end], strict=True):
        if sentence := text[after_stop:until].strip():
            start = text.index(sentence, after_stop)
            spans.append((start, start + len(sentence)))
    return spans


def _starts(text: str, language: str) -> list[int]:
    """Where each sentence but the first begins."""
    # `sentencex` takes no others, and panics at a space of several bytes between a capital and a full stop.
    valid = _WIDE_SPACE.sub(" ", _SURROGATE.sub("\ufffd", text))
    places = {boundary["end_index"] for boundary in get_sentence_boundaries(language, valid)}
    places |= {match.end() for match in _STOP.finditer(text)}
    for match in _ENCLOSED.finditer(text):
        places.difference_update(range(match.start() + 1, match.end()))
    starts, place = [0], 0
    for after_stop in sorted(places):
        if after_stop < place:
            continue
        trailing = _TRAILING.match(text, after_stop)
        place = trailing.end() if trailing else after_stop
        if place < len(text) and _is_whole(text[starts[-1] : place].rstrip(), text[place:]):
            starts.append(place)
    return starts[1:]


def _is_whole(sentence: str, rest: str) -> bool:
    """Whether a sentence ends where a stop is, by what follows."""
    last = sentence[-_TAIL:]
    if not any(map(str.isalnum, sentence)) or _GOES_ON.search(last):
        return False
    if _INITIAL.search(last):
        return _BEGINS.match(rest) is not None
    if _ABBREVIATION.search(last):
        return not (rest[0].islower() or rest[0].isdigit())
    if rest[0].islower():
        quoted = sentence[-1] not in ".!?" or sentence.endswith("..")
        return not (quoted or _SPEECH_TAG.match(rest) or _INTERJECTION.fullmatch(sentence))
    return True
