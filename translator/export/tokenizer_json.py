"""Our tokenizer as a file of the `tokenizers` library, which Transformers reads.

Its normaliser carries the input map and the mark of texts in capitals, so its ids are those of ours. Pieces
have other names than in SentencePiece, so that no text can be mistaken for them: a space stands for U+2581,
and a control character, which the input map removes from every text, for `CAPITALS`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from translator.data.input_map import STEPS
from translator.data.tokenizer import WORD_MARK, Tokenizer
from translator.symbols import BOS, EOS, PAD, UNK

Step = dict[str, Any]
#: Control characters that may stand for `CAPITALS`; one that is in no piece is taken.
_MARKS = "\n\r\v\f"
#: Unicode has letters and spaces only below this code.
_N_CODES = 0x40000


def tokenizer_json(tokenizer: Tokenizer, *, kind: str, input_map: bool) -> dict[str, Any]:
    """Return the content of `tokenizer.json`.

    Args:
        tokenizer: the tokenizer to convert.
        kind: "bpe" or "unigram", the kind of its model.
        input_map: whether texts are mapped before they are encoded.
    """
    scores = tokenizer.scores()
    names = [piece.replace(WORD_MARK, " ") for piece in tokenizer.pieces(range(len(tokenizer)))]
    mark = next(character for character in _MARKS if character not in scores)
    if tokenizer.capitals is not None:
        names[names.index(tokenizer.capitals)] = mark
    scores = {piece.replace(WORD_MARK, " "): score for piece, score in scores.items()}
    end = names[EOS]
    special = [
        {"id": i, "content": names[i], "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for i in (PAD, UNK, BOS, EOS)
    ]
    steps = [*(_map_steps() if input_map else ()), {"type": "Prepend", "prepend": " "}]
    decoding: list[Step] = [{"type": "ByteFallback"}, {"type": "Fuse"}]
    if tokenizer.capitals is not None:
        steps += _lower(mark)
        decoding += _upper(mark)
    pre_tokenizer = None if kind == "bpe" else _cut_before(set(names) - set(scores))
    if tokenizer.has_digit_pairs:  # only in BPE; SentencePiece finds these pieces first, from the left
        pre_tokenizer = _isolate("[0-9]{2}")
    template = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end, "type_id": 0}}]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": pre_tokenizer,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template,
            "pair": [*template, {"Sequence": {"id": "B", "type_id": 0}}, template[1]],
            "special_tokens": {end: {"id": end, "ids": [EOS], "tokens": [end]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [*decoding, {"type": "Strip", "content": " ", "start": 1, "stop": 0}],
        },
        "model": _bpe(names, scores) if kind == "bpe" else _unigram(names, scores),
    }


def _bpe(names: list[str], scores: dict[str, float]) -> dict[str, Any]:
    # SentencePiece joins any two pieces whose sum is a piece, the sum with the highest score first.
    merges = [
        (piece[:end], piece[end:])
        for piece in sorted(scores, key=lambda piece: -scores[piece])
        for end in range(1, len(piece))
        if piece[:end] in scores and piece[end:] in scores
    ]
    return {
        "type": "BPE",
        "unk_token": names[UNK],
        "byte_fallback": True,
        "vocab": {name: i for i, name in enumerate(names)},
        "merges": merges,
    }


def _unigram(names: list[str], scores: dict[str, float]) -> dict[str, Any]:
    vocabulary = [(name, scores.get(name, 0.0)) for name in names]
    return {"type": "Unigram", "unk_id": UNK, "byte_fallback": True, "vocab": vocabulary}


def _cut_before(reserved: Iterable[str]) -> Step:
    """Return the step that keeps a unigram model from reading the name of a reserved piece in a text."""
    rests = "|".join(re.escape(name[1:]) for name in sorted(reserved) if name.startswith("<"))
    return _isolate(f"<(?=(?:{rests}))")


def _isolate(pattern: str) -> Step:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _map_steps() -> Iterator[Step]:
    """Yield the steps of the input map. Python's classes are written out, because Oniguruma's differ."""
    letters, spaces = (f"[{_ranges(re.compile(name).match)}]" for name in (r"[^\W\d_]", r"\s"))
    for pattern, replacement in STEPS:
        pattern = re.sub(r"\\[uU]([0-9a-f]{8}|[0-9a-f]{4})", r"\\x{\1}", pattern)
        pattern = pattern.replace(r"[^\W\d_]", letters).replace(r"[^\S ]", f"(?! ){spaces}")
        yield _replace(pattern.replace(r"\s", spaces), replacement)
        yield {"type": "NFC"}


def _lower(mark: str) -> Iterator[Step]:
    """Yield the steps that put the mark before a text in capitals, and convert the text to lower case."""
    capitals = [c for c in map(chr, range(_N_CODES)) if c.lower() != c and _is_kept(c)]
    others = _ranges(lambda c: not _is_kept(c))
    yield _replace(rf"\A (?=[^{others}]*\z)(?=[^\n]*?[{_ranges(set(capitals).__contains__)}])", f"{mark} ")
    yield from _mark_each(capitals, mark)
    before, after = rf"\p{{Cased}}[\p{{Case_Ignorable}}{mark}]*", rf"[\p{{Case_Ignorable}}{mark}]*\p{{Cased}}"
    yield _replace(rf"{before}\K{mark}Σ(?!{after})", "ς")  # at the end of a word
    for c in capitals:
        yield _replace_text(mark + c, c.lower())


def _upper(mark: str) -> Iterator[Step]:
    """Yield the steps that convert a marked output to capitals, and remove the mark."""
    letters = [c for c in map(chr, range(_N_CODES)) if c.upper() != c]
    yield from _mark_each(letters, mark)
    for c in letters:
        yield _replace_text(mark + c, c.upper())
    yield _replace_text(mark, "")


def _mark_each(letters: Iterable[str], mark: str) -> Iterator[Step]:
    """Yield the step that puts the mark before each of the letters, in a text that starts with the mark."""
    among = _ranges(set(letters).__contains__)
    yield _replace(rf"(?:\A{mark}|(?!\A)\G)[^{mark}]*?\K(?=[{among}])", mark)


def _is_kept(c: str) -> bool:
    """Return whether a character may be in a text in capitals; see `Tokenizer.encode`."""
    return not c.islower() and len(c.lower()) == 1 and c.lower().upper() == c


def _ranges(belongs: Callable[[str], object]) -> str:
    """Return the characters that belong to a class, as they are written inside `[…]`."""
    codes = [i for i in range(_N_CODES) if not 0xD800 <= i < 0xE000 and belongs(chr(i))]
    runs = [[*run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    return "".join(rf"\x{{{run[0][1]:x}}}-\x{{{run[-1][1]:x}}}" for run in runs)


def _replace(pattern: str, content: str) -> Step:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _replace_text(text: str, content: str) -> Step:
    return {"type": "Replace", "pattern": {"String": text}, "content": content}
