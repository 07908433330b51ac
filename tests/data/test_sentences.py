"""The hand-written sentences: enough of them, all different, and with correct punctuation."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from translator.alignment.words import words
from translator.data.phrasebook import written
from translator.errors import DataError

#: Maximum size of a group of sentences that share all words but one.
MOST_ALIKE = 3
_NAME_OR_NUMBER = re.compile(r"(?<!^)\b[A-ZÀ-Ý][\w'-]*|\b\d[\d.,h]*\b")


def masked(text: str) -> tuple[str, ...]:
    """Return the words with names and numbers masked, so that Paul and Marie are equal."""
    return tuple(word.lower() for word in words(_NAME_OR_NUMBER.sub("x", text)))


def too_much_alike(texts: Iterable[str]) -> list[list[str]]:
    """Groups of more than three sentences that share all words but one."""
    groups: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for text in texts:
        row = masked(text)
        for at in range(len(row)) if len(row) > 3 else ():
            groups[(*row[:at], "…", *row[at + 1 :])].add(text)
    return [sorted(group) for group in groups.values() if len(group) > MOST_ALIKE]


def badly_written(fr: str, en: str) -> bool:
    """Return whether a pair breaks the rules of docs/phrasebook.md on marks and spaces."""
    spaced = re.sub(r"\d:\d|https?:\S*", "", fr)
    ends = [re.search(r"(\.\.\.|[.?!…])(?: ?»|\")?$", text) for text in (fr, en)]
    return bool(
        "  " in fr + en
        or re.search(r"[’‘“”\u00a0\u202f]", fr + en)
        or re.search(r"[^\s?!][?!:;»]", spaced)
        or re.search(r"\s[?!:;.,]", en)
        or not all(ends)
        or {match[1][-1] for match in ends if match} != {ends[0][1][-1] if ends[0] else ""}
    )


def test_there_are_many() -> None:
    assert len(written.sentences()) >= 15_000


@pytest.mark.slow
def test_words_are_many() -> None:
    forms = {word.lower() for pair in written.sentences() for word in words(pair.fr) if word.isalpha()}
    assert len(forms) >= 7_000


def test_they_are_of_two_to_sixteen_words() -> None:
    lengths = Counter(len(re.findall(r"[\w-]+", pair.fr.replace("'", " "))) for pair in written.sentences())
    assert min(lengths) >= 1
    assert max(lengths) <= 20
    assert sum(n for length, n in lengths.items() if 2 <= length <= 17) / lengths.total() > 0.99


@pytest.mark.slow
def test_no_more_than_three_share_all_words_but_one() -> None:
    assert too_much_alike(pair.fr for pair in written.sentences()) == []


def test_four_alike_are_found() -> None:
    """The control of the test above."""
    lines = ["Je vais au marché.", "Je vais au cinéma.", "Je vais au lit.", "Je vais au bureau.", "Elle rit."]
    assert too_much_alike(lines) == [sorted(lines[:4])]
    assert too_much_alike(lines[1:]) == []
    assert (
        len(too_much_alike(f"{name} va au marché avec {name}." for name in ("Il", "Elle", "On", "Luc"))) == 1
    )


def test_marks_and_spaces_are_in_order() -> None:
    assert [pair for pair in written.sentences() if badly_written(pair.fr, pair.en)] == []


@pytest.mark.parametrize(
    ("fr", "en"),
    [
        ("Ça va?", "How are you?"),
        ("Ça va ?", "How are you ?"),
        ("Ça va ?", "I'm fine."),
        ("C’est bon.", "It's good."),
        ("Oui", "Yes"),
    ],
)
def test_a_mark_or_space_out_of_order_is_found(fr: str, en: str) -> None:
    """The control of the test above."""
    assert badly_written(fr, en)
    assert not badly_written("Ça va ?", "How are you?")


def test_a_line_without_its_tab_and_a_sentence_twice_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sentences").mkdir()
    monkeypatch.setattr(written, "TABLES", tmp_path)
    table = tmp_path / "sentences" / "one.tsv"
    for text, message in (
        ("Oui. Yes.", r"sentences/one.tsv:2: a line is French, a tab, English; this one has 1 cells"),
        ("Oui.\tYes.\noui.\tYeah.", r"sentences/one.tsv:3: 'oui.' stands in sentences/one.tsv:2 already"),
    ):
        table.write_text(f"french\tenglish\n{text}\n", encoding="utf-8")
        written.sentences.cache_clear()
        with pytest.raises(DataError, match=message):
            written.sentences()
    table.write_text("french\tenglish\nOui.\tYes.\t140 141\n", encoding="utf-8")
    written.sentences.cache_clear()
    assert written.sentences() == (written.Written("Oui.", "Yes.", ("140", "141")),)
    written.sentences.cache_clear()
