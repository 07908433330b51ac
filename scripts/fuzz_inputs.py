"""Inputs and checks of scripts/fuzz.py for configurations, data files and text."""

import gzip
import json
import unicodedata
from itertools import pairwise
from pathlib import Path
from random import Random

from translator.alignment.links import format_links, parse_links
from translator.config.file import config_to_yaml, load_config
from translator.data import phrasebook
from translator.data.input_map import map_input
from translator.data.noise import CHANGES, KINDS, add_noise, random_of_row
from translator.data.readers import read_jsonl, read_parallel, read_table
from translator.data.sentences import paired_sentences, sentence_spans
from translator.data.tokenizer import Tokenizer
from translator.translation.splitting import cut, split_text

ROOT = Path(__file__).resolve().parent.parent

CONFIGS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "configs").glob("*.yaml"))]
#: Hand-written, since the other splits take half a minute to generate.
PAIRS = [(pair["fr"], pair["en"]) for split in phrasebook.BY_HAND for pair in phrasebook.pairs(split)]
TEXTS = [text for pair in PAIRS for text in pair]
NASTY = [
    *("", "\0", "\t", "\r", "\n", "\r\n", "\n\n", "\x85", "\u2028", "\ufeff", "\u00ad", "\u200d", "\u0301"),
    *("\u2581", "\ud800", "\udfff", "\uffff", "👩‍👩‍👧", "ǆ", "İ", "ß", "ﬁ", "œ", "٣", "«", "»", "“", '"'),
    *('""', "'", "(", ")", "...", "…", ". ", "! ", "? ", "M. ", "A. ", "etc. ", "p. 3", "null", "true", "~"),
    *("{lang}", "{", "}", "[", "]", "&x [*x]", "*x", "<<: ", "!!int x", "- ", ": ", "#", ",", ";", "\\"),
    *("\\ud800", "[" * 300, "9" * 5000, "1e999", "NaN", "-1", "0", "0.0", "1e-3", "2020-02-30", "=", "."),
    *("..", "0-0", "1p2", "3?4", "x" * 3000, " " * 3000),
]  # fmt: skip


def mutated(draw: Random, text: str, others: list[str]) -> str:
    """Return a text with some substrings deleted, doubled, or replaced by nasty or other strings."""
    for _ in range(draw.choice((0, 1, 1, 2, 4, 8))):
        at = draw.randint(0, len(text))
        end = min(len(text), at + draw.choice((0, 0, 1, 1, 3, 10, 100)))
        other = draw.choice(others)
        start = draw.randint(0, len(other))
        new = (
            *("", 2 * text[at:end], draw.choice(NASTY), draw.choice(NASTY), (draw.choice(NASTY) * 40)[:400]),
            chr(draw.randrange(draw.choice((0x80, 0x3000, 0x110000)))),
            other[start : start + draw.choice((1, 5, 50))],
        )
        text = text[:at] + draw.choice(new) + text[end:]
    return text


def prose(draw: Random) -> str:
    return mutated(draw, " ".join(draw.choices(TEXTS, k=draw.choice((1, 1, 2, 3)))), TEXTS)


def spoilt(draw: Random, content: bytes) -> bytes:
    """Return content with some bytes changed, deleted or inserted."""
    spoilt = bytearray(content)
    for _ in range(draw.choice((0, 0, 1, 3))):
        at = draw.randint(0, len(spoilt))
        spoilt[at : at + draw.choice((0, 1, 4))] = draw.randbytes(draw.choice((0, 1, 1, 4)))
    return bytes(spoilt)


# -- configurations ------------------------------------------------------------------------------------


def configuration(draw: Random) -> str:
    return mutated(draw, draw.choice(CONFIGS), CONFIGS)


def override(draw: Random) -> list[str]:
    values = ("1", "true", "[1, 2]", "{a: b}", "train.{lang}", "1e-3", "null", "text")
    keys = ("train.seed", "model.width", "data.files", "data.held_out.val", "data.columns.fr", "run.name")
    pairs = [f"{draw.choice(keys)}={draw.choice(values)}" for _ in range(draw.choice((1, 1, 2)))]
    return [mutated(draw, pair, ["model.n_heads=2", "search.beam_size=4"]) for pair in pairs]


def check_configuration(text: str, path: Path) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    config = load_config(path)
    path.write_text(config_to_yaml(config), encoding="utf-8")
    assert load_config(path) == config


# -- data ----------------------------------------------------------------------------------------------


def table(draw: Random) -> tuple[str, bytes]:
    kind = draw.choice(("text", "tsv", "csv", "jsonl"))
    if kind == "jsonl":
        lines = [json.dumps({"fr": fr, "en": en}) for fr, en in draw.choices(PAIRS, k=3)]
    else:
        separator = {"text": "", "tsv": "\t", "csv": ","}[kind]
        quoted = '"{}"'.format if kind == "csv" else str
        lines = [separator.join(map(quoted, pair)) for pair in [("fr", "en"), *draw.choices(PAIRS, k=3)]]
    content = mutated(draw, "\n".join(lines), lines).encode("utf-8", "surrogatepass")
    if draw.random() < 0.1:
        content = draw.randbytes(draw.randrange(200))
    content = spoilt(draw, content)
    return kind, spoilt(draw, gzip.compress(content, mtime=0)) if draw.random() < 0.1 else content


def check_table(given: tuple[str, bytes], path: Path) -> None:
    kind, content = given
    path.write_bytes(content)
    if kind == "text":
        rows = [*read_parallel(path, path)]
        if all(hasattr(row, "source") for row in rows) and not content.startswith(b"\x1f\x8b"):
            lines = content.decode("utf-8-sig").split("\n")
            lines = [line.removesuffix("\r") for line in lines[:-1]] + [lines[-1]] * (lines[-1] != "")
            assert [row.source for row in rows] == [row.target for row in rows] == lines
        return
    if kind == "jsonl":
        rows = [*read_jsonl(path, "fr", "en")]
    else:
        columns: tuple[str | int, str | int] = ("fr", "en") if len(content) % 2 else (1, 2)
        delimiter = "," if kind == "csv" else "\t"
        rows = [*read_table(path, *columns, delimiter=delimiter, quoted=kind == "csv")]
    numbers = [row.line for row in rows]
    assert numbers == sorted(set(numbers))


def links(draw: Random) -> tuple[str, bool, tuple[int, int] | None]:
    line = " ".join(
        f"{draw.randrange(12)}{draw.choice('-p?')}{draw.randrange(12)}" for _ in range(draw.randrange(12))
    )
    return mutated(draw, line, ["0-0 1p2 2?3"]), draw.random() < 0.5, draw.choice((None, (10, 10), (0, 0)))


def check_links(given: tuple[str, bool, tuple[int, int] | None]) -> None:
    line, one_based, n_words = given
    gold = parse_links(line, where="links:1", one_based=one_based, n_words=n_words)
    written = format_links(gold.possible, one_based=one_based)
    again = parse_links(written, where="links:1", one_based=one_based, n_words=n_words)
    assert again.possible == gold.possible >= gold.sure


# -- text ----------------------------------------------------------------------------------------------


def without_spaces(text: str) -> str:
    return "".join(text.split())


def check_sentences(text: str) -> None:
    for language in ("fr", "en"):
        spans = sentence_spans(text, language)
        parts = [text[start:end] for start, end in spans]
        assert all(part and part == part.strip() for part in parts)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        assert without_spaces("".join(parts)) == without_spaces(text)
    assert len(paired_sentences(text, text, ("fr", "fr"))) == len(sentence_spans(text))


def check_splitting(text: str) -> None:
    most = 1 + len(text) % 40
    parts = split_text(text.strip(), lambda part: len(part) <= most)
    assert all(len(part) <= most for part in parts)
    assert without_spaces("".join(parts)) == without_spaces(text)
    found = [*cut([text, "", text], map_input, sentences=len(text) % 2 == 0, language="fr")]
    first, last = ([part for part in found if part.number == number] for number in (0, 2))
    assert len(first) + len(last) == len(found)
    assert [part[1:] for part in first] == [part[1:] for part in last]
    lines = [map_input(line) for line in text.replace("\r\n", "\n").split("\n")]
    assert without_spaces("".join(part.text for part in first)) == without_spaces("".join(lines))


def check_map(text: str) -> None:
    mapped = map_input(text)
    assert map_input(mapped) == mapped == unicodedata.normalize("NFC", mapped)
    assert mapped == mapped.strip()
    assert "  " not in mapped


def check_noise(text: str) -> None:
    seed = len(text)
    rates = dict.fromkeys(KINDS, 1.0 if seed % 2 else 0.5)
    noisy = add_noise(text, rates, random_of_row(seed, 1, 2))
    assert noisy == add_noise(text, rates, random_of_row(seed, 1, 2))
    assert add_noise(text, {}, random_of_row(seed, 1, 2)) == text
    assert noisy.strip() or not text.strip()
    for change in CHANGES.values():
        assert change(text).strip() or not text.strip()


def check_tokens(text: str, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(text)
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert tokenizer.decode(ids) == text
    assert [ids, ids] == tokenizer.encode_batch([text, text])
    assert len(tokenizer.spans(ids)) == len(ids)
