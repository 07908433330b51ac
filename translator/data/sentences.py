"""Sentence segmentation by the library `sentencex`, with corrections for French.

No other module imports `sentencex`.
"""

import re

from sentencex import get_sentence_boundaries

from translator.data.lines import replace_surrogates

#: Maximum number of characters that are given to `sentencex` at once. There is a limit because `sentencex`
#: takes quadratic time if quotes are never closed.
_WINDOW = 4000
#: To decide whether a mark ends a sentence, this many characters up to and including the mark are examined.
_TAIL = 30

_MARK = re.compile(r"[.!?…]")
_NON_ASCII_SPACE = re.compile(r"[^\S\x00-\x7f]")
#: A mark that may end a sentence. It is followed by whitespace, or by closing brackets or quotes and then
#: whitespace.
_STOP = re.compile(r"[.!?…][)\]»”\"']*\s+")
#: Quotations and parentheses. A text is never split inside these.
_ENCLOSED = re.compile(r"«[^»]*»|“[^”]*”|(?<!\S)\"[^\"]*\"(?!\w)|\([^()]*\)")

_BEFORE = r"(?:^|[\s('’«\"“/–—-])"
_CAPITAL = r"[^\W\d_a-zß-öø-ÿœ]"
#: Abbreviations such as titles (M. Dupont), and list numbers. After these, the sentence always continues.
_CONTINUES = re.compile(
    _BEFORE
    + r"(?:MM?|Mmes?|Mlles?|Mgr|Me|Drs?|Prs?|Prof|Ste?s?|[Cc]f|[Ee]x|[Nn][o°]|apr|av|env|[Tt]él|boul|[Bb]d"
    r"|vs)\.$"
    r"|(?:^|[:;]\s)(?:\d{1,3}|[A-Za-z])\.$"
)
#: Abbreviations after which the sentence continues only if a lowercase letter or a digit follows, such as
#: `p.`, `s.v.p.` and `etc.`
_ABBREVIATION = re.compile(
    _BEFORE + r"(?:\w|(?:[^\W\d_]\.-?)+[^\W\d_]|etc|art|fig|vol|chap|éd|hab|réf|min|max|sec|km"
    r"|janv|févr|juill|sept|oct|nov|déc|\d+(?:ers?|res?|es?|èmes?))\.$"
)
#: Initials. A name usually follows, so the sentence is taken to continue (A. Dumas), unless the next word
#: matches `_FIRST_WORD` (le plan B. Il dort).
_INITIAL = re.compile(_BEFORE + rf"(?:{_CAPITAL}\.-?\s?)+$")
#: Words that often start a sentence.
_FIRST_WORD = re.compile(
    r"(?:[JTLCDNM]'|Je|Tu|Ils?|Elles?|On|Nous|Vous|Les?|La|Une?|Des|Ce|Cette|Ces|Ça|Mon|Ma|Mes|Son|Sa|Ses|Et|Mais|Ou|"
    r"Où|Qui|Que|Quoi|Quand|Comment|Pourquoi|Est-ce|Dans|En|Au|Aux|À|Pour|Puis|Alors|Oui|Non|Merci)\b"
)
#: Attributions of direct speech, such as dit-il and demanda Marie. The sentence does not end before them.
_SPEECH_TAG = re.compile(
    r"[a-zà-ÿ]+-(?:t-)?(?:je|il|elle|on|ils|elles)\b|(?:dit|demand|répond|cri|ajout|murmur|lanç|expliqu|fit)\w*\s"
)
#: A single word with an exclamation mark. If a lowercase letter follows, the sentence continues, as in
#: 'Hélas ! il dort.'
_INTERJECTION = re.compile(r"\w+\s?!")
#: Marks, emoji and emoticons that stand alone between sentences. They belong to the preceding sentence.
_TRAILING = re.compile(r"(?:(?:[^\w\s«“\"'’(\[—–:;-]|[:;]-?[)(DPp])+(?:\s+|$))+")


def split_sentences(text: str, language: str = "fr") -> list[str]:
    """Return the sentences of a line, each without the whitespace around it. A blank line has no sentences.

    Args:
        text: a line.
        language: ISO 639-1 code of the language of the line.
    """
    return [text[start:end] for start, end in sentence_spans(text, language)]


def paired_sentences(
    source: str, target: str, languages: tuple[str, str]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the span of each source sentence, paired with the span of its translation.

    The n-th sentence of the target is taken to be the translation of the n-th sentence of the source. If the
    two numbers of sentences differ, a single pair is returned, whose spans are the whole texts.
    """
    source_spans, target_spans = sentence_spans(source, languages[0]), sentence_spans(target, languages[1])
    if len(source_spans) != len(target_spans):
        return [((0, len(source)), (0, len(target)))]
    return list(zip(source_spans, target_spans, strict=True))


def sentence_spans(text: str, language: str = "fr") -> list[tuple[int, int]]:
    """Return the (start, end) character offsets of each sentence; see `split_sentences`."""
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    if not _MARK.search(text[start:end].rstrip(".!?… »”\"')")):  # at most one sentence, as in most lines
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
    """Return the character offsets at which sentences start, without that of the first sentence."""
    # Replace surrogates, because `sentencex` rejects them. Replace multi-byte spaces, because `sentencex`
    # panics if one stands between a capital and a full stop.
    valid = _NON_ASCII_SPACE.sub(" ", replace_surrogates(text))
    candidates = {boundary["end_index"] for boundary in get_sentence_boundaries(language, valid)}
    candidates |= {match.end() for match in _STOP.finditer(text)}
    for match in _ENCLOSED.finditer(text):
        candidates.difference_update(range(match.start() + 1, match.end()))
    starts, start = [0], 0
    for after_stop in sorted(candidates):
        if after_stop < start:
            continue
        trailing = _TRAILING.match(text, after_stop)
        start = trailing.end() if trailing else after_stop
        if start < len(text) and _is_complete(text[starts[-1] : start].rstrip(), text[start:]):
            starts.append(start)
    return starts[1:]


def _is_complete(sentence: str, rest: str) -> bool:
    """Return whether `sentence` is a complete sentence, given that the text `rest` follows it."""
    last = sentence[-_TAIL:]
    if not any(map(str.isalnum, sentence)) or _CONTINUES.search(last):
        return False
    if _INITIAL.search(last):
        return _FIRST_WORD.match(rest) is not None
    if _ABBREVIATION.search(last):
        return not (rest[0].islower() or rest[0].isdigit())
    if rest[0].islower():
        quoted = sentence[-1] not in ".!?" or sentence.endswith("..")
        return not (quoted or _SPEECH_TAG.match(rest) or _INTERJECTION.fullmatch(sentence))
    return True
