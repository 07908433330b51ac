"""Preflight: each pair is checked once, and counted with its line number, in little memory."""

import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from translator.config import DataConfig
from translator.data.lines import BOM, COLUMNS, CRLF, UTF8
from translator.data.oddities import QUOTED, odd_bits
from translator.data.preflight import (
    alike_hash,
    check_pairs,
    hash_held_out,
    length_ratio,
    pair_hash,
    source_hash,
)
from translator.data.report import N_EXAMPLES, NOTES, REASONS, Report, refuse_unfit
from translator.errors import DataError


def table(pairs: list[tuple[str, str]], notes: list[int] | None = None) -> Dataset:
    """Return a split with lines numbered from 101, so that line and row numbers differ."""
    return Dataset.from_dict(
        {
            "line": [101 + row for row in range(len(pairs))],
            "source": [source for source, _ in pairs],
            "target": [target for _, target in pairs],
            "notes": notes or [0] * len(pairs),
        }
    )


def check(
    pairs: list[tuple[str, str]],
    *,
    notes: list[int] | None = None,
    held_out: list[tuple[str, str]] | None = None,
    **limits: Any,
) -> tuple[Report, list[int]]:
    """Return the report and the rows that are fit for training."""
    others = hash_held_out([table(held_out)] if held_out else [])
    report, fit, _ = check_pairs(table(pairs, notes), DataConfig(**limits), others)
    assert fit.dtype == torch.int64
    return report, fit.tolist()


def test_each_reason_is_counted_once_with_its_lines() -> None:
    pairs = [
        ("Bonjour.", "Hello."),  # 101
        ("", "blank"),
        ("blanc", " \u00a0\t"),
        ("x" * 51, "x" * 51),  # too long
        ("x" * 51, ""),  # empty goes before too long
        ("mot", "x" * 50),  # ratio
        ("Salut.", "Hi."),  # in a test split
        ("Bonjour.", "Hello."),  # again
        ("Bonjour.", "Hello!"),  # another pair
        ("", "blank"),  # empty goes before duplicate and held out
        ("Salut.", "Hi."),  # held out goes before duplicate
        ("Bonjour.", "Hello."),
    ]
    report, fit = check(pairs, held_out=[("", "blank"), ("Salut.", "Hi.")], max_characters=50)
    assert fit == [0, 8]
    assert report.n_pairs == 12
    assert report.left_out == {"empty": 4, "too_long": 1, "length_ratio": 1, "held_out": 2, "duplicate": 2}
    assert report.lines == {
        "empty": [102, 103, 105, 110],
        "too_long": [104],
        "length_ratio": [106],
        "held_out": [107, 111],
        "duplicate": [108, 112],
        "identical": [104],
        "control": [103],
    }
    assert report.n_kept == len(fit) == 2


def test_limits_are_the_last_that_is_fit() -> None:
    assert check([("x" * 50, "x" * 50), ("x" * 50, "x" * 51)], max_characters=50)[1] == [0]
    assert length_ratio("x" * 20, "") == length_ratio("", "x" * 20) == 3.0
    assert check([("x" * 35, "y" * 5), ("y" * 5, "x" * 35), ("x" * 36, "y" * 5)])[1] == [0, 1]
    assert check([("x" * 35, "y" * 5)], max_length_ratio=2.9)[1] == []


def test_a_pair_is_judged_as_a_pair() -> None:
    """A side that also occurs in another pair is accepted; a source that occurs in a test split is not."""
    pairs = [("Oui.", "Yes."), ("Oui.", "Yeah."), ("Ouais.", "Yes."), ("Yes.", "Oui.")]
    assert check(pairs, held_out=[("Non.", "Yeah.")])[1] == [0, 1, 2, 3]
    assert check(pairs, held_out=[("OUI.", "Aye.")])[1] == [2, 3]
    assert check(pairs, held_out=[("Ouais.", "Yes.")])[1] == [0, 1, 3]


def test_a_source_is_the_same_in_capitals() -> None:
    assert source_hash("Été.") == source_hash("ÉTÉ.") != source_hash("Ete.")


def test_where_a_side_ends_is_part_of_the_hash() -> None:
    assert pair_hash("a", "bc") != pair_hash("ab", "c")
    assert pair_hash("1\na", "b") != pair_hash("1", "\nab")
    assert pair_hash("a", "b") != pair_hash("b", "a")
    assert pair_hash("é", "b") == pair_hash("é", "b")
    assert -(2**63) <= pair_hash("", "") < 2**63


TEXTS = st.text("ab \n1", max_size=3)


@settings(max_examples=50)
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS)), held_out=st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_the_fit_pairs_are_those_of_the_plain_rules(
    pairs: list[tuple[str, str]], held_out: list[tuple[str, str]]
) -> None:
    report, fit = check(pairs, held_out=held_out) if pairs else (Report(0), [])
    sources = {source for source, _ in held_out}
    expected = [
        row
        for row, pair in enumerate(pairs)
        if pair[0].strip() and pair[1].strip() and pair[0] not in sources and pair not in pairs[:row]
    ]
    assert fit == expected
    assert report.n_kept == len(expected)


def test_notes_are_counted_and_leave_the_pair_in() -> None:
    pairs = [
        ("cafe\u0301", "NFD"),
        ("plain", "U+2581 \u2581"),
        ("a\0b", "tab\t"),
        ("a\u2028b", "no control character"),
        ("same", "same"),
        ("crlf", "x"),
        ("bom", "both"),
        ("vertical\x0b", "next\x85 line"),
    ]
    report, fit = check(pairs, notes=[0, 0, 0, 0, 0, CRLF, CRLF | BOM, 0])
    assert fit == list(range(8))
    assert report.left_out == {}
    assert report.noted == {"not_nfc": 1, "u2581": 1, "control": 2, "identical": 1, "crlf": 2, "bom": 1}
    assert report.lines == {
        "not_nfc": [101],
        "u2581": [102],
        "control": [103, 108],
        "identical": [105],
        "crlf": [106, 107],
        "bom": [107],
    }
    assert pairs[0][0] == "cafe\u0301"


def test_the_first_lines_are_kept() -> None:
    report, fit = check([("", "blank"), ("même", "même")] * 15)
    assert report.left_out == {"empty": 15, "duplicate": 14}
    assert report.noted == {"identical": 15}
    assert report.lines["empty"] == [101 + 2 * i for i in range(N_EXAMPLES)]
    assert report.lines["identical"] == [102 + 2 * i for i in range(N_EXAMPLES)]
    assert fit == [1]


def test_the_report_has_words_for_every_count() -> None:
    report, _ = check([("", "blank"), ("un", "un")], notes=[0, CRLF])
    assert report.messages() == [
        "left out: a side is empty or blank: 1 (lines 101)",
        "noted: lines ended in CR LF (removed): 1 (lines 102)",
        "noted: both sides are the same text: 1 (lines 102)",
    ]
    assert not set(REASONS) & set(NOTES)


def test_malformed_rows_are_counted_before_what_is_unfit() -> None:
    report, _ = check([("", "blank"), ("un", "one")])
    rows = Dataset.from_dict({"line": [7, 8, 40], "problem": [COLUMNS, UTF8, COLUMNS]})
    report.count_malformed(rows)
    assert (report.n_pairs, report.n_kept) == (5, 1)
    assert report.messages() == [
        "left out: malformed: not valid UTF-8, or not in data.encoding: 1 (lines 8)",
        "left out: malformed: too few or too many columns: 2 (lines 7, 40)",
        "left out: a side is empty or blank: 1 (lines 101)",
    ]


def test_strict_names_every_reason_in_one_line() -> None:
    report, _ = check([("", "blank"), ("un", "un")] * 11)
    with pytest.raises(DataError) as caught:
        refuse_unfit(report, "train")
    assert str(caught.value) == (
        "data.strict: 21 of 22 rows of train are unfit; a side is empty or blank: 11 (lines 101, 103, 105, "
        "107, 109, 111, 113, 115, 117, 119 …); the same pair occurs earlier: 10 (lines 104, 106, 108, 110, "
        "112, 114, 116, 118, 120, 122); fix or remove them"
    )
    noted, _ = check([("un", "un")])
    refuse_unfit(noted, "train")  # a note is no reason
    assert noted.noted == {"identical": 1}


def test_a_source_in_another_split_is_noted_by_what_else_is_the_same() -> None:
    held_out = [("Cours !", "Run!"), ("...", "...")]
    pairs = [
        ("Cours !", "Run!"),  # the very pair
        ("COURS !", "Go!"),  # the source with another translation
        ("Cours.", "Run."),  # another source, but for its mark
        ("Cours vite !", "Run fast!"),
        ("!!", "no word in it"),
    ]
    report, fit = check(pairs, held_out=held_out)
    assert fit == [2, 3, 4]
    assert report.left_out == {"held_out": 2}
    assert report.noted == {"held_out_otherwise": 1, "held_out_alike": 1}
    assert (report.lines["held_out_otherwise"], report.lines["held_out_alike"]) == ([102], [103])
    assert (
        alike_hash("C'est l’été, non ?") == alike_hash("CEST L ÉTÉ non") != alike_hash("C'est l'ete, non ?")
    )


STRAIGHT = [("Le chat est dans la maison.", "The cat is in the house."), ("Oui.", "Yes.")]


def test_a_corpus_with_its_columns_swapped_is_noted_once() -> None:
    def swapped(pairs: list[tuple[str, str]], **fields: str) -> int | None:
        return check([(f"{a} {i}", f"{b} {i}") for i, (a, b) in enumerate(pairs)], **fields)[0].noted.get(
            "swapped"
        )

    crossed = [pair[::-1] for pair in STRAIGHT]
    assert swapped(STRAIGHT * 10) is None
    assert swapped(crossed * 10) == 10
    assert swapped(crossed * 10 + STRAIGHT * 3) == 10
    assert swapped(crossed * 10 + STRAIGHT * 4) is None  # no clear case
    assert swapped(crossed * 4) is None  # too little to say
    other_way = {"source_language": "en", "target_language": "fr"}
    assert (swapped(STRAIGHT * 10, **other_way), swapped(crossed * 10, **other_way)) == (10, None)
    assert swapped(crossed * 10, target_language="de") is None


def test_sides_in_quotes_are_noted_where_there_are_many() -> None:
    pairs = [(f"phrase {i}", f"sentence {i}") for i in range(200)]

    def noted(n_quoted: int) -> int | None:
        return check(pairs, notes=[QUOTED] * n_quoted + [0] * (200 - n_quoted))[0].noted.get("quoted")

    assert (noted(3), noted(4), noted(200)) == (None, 4, 200)


def test_what_the_reader_found_odd_is_noted() -> None:
    pairs = [("l&apos;eau", "x"), ("un @-@ deux", "x"), ("cafÃ©", "x"), ("mai\u00adson", "x")]
    report, _ = check(pairs, notes=[odd_bits(*pair) for pair in pairs])
    assert report.noted == {"entity": 1, "tokenised": 1, "mojibake": 1, "invisible": 1}
    assert report.lines == {"entity": [101], "tokenised": [102], "mojibake": [103], "invisible": [104]}


class Meter(TorchDispatchMode):
    """Counts the bytes of tensors that live at once while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                key = storage._cdata
                if key not in self.live:
                    self.live[key] = storage.nbytes()
                    weakref.finalize(storage, self.live.pop, key, None)
        self.peak = max(self.peak, sum(self.live.values()))
        return out


def bytes_at_once(work: Callable[[], object]) -> int:
    """Return an upper bound of the additional memory of Python objects and tensors during `work`."""
    with Meter():
        work()  # what is made once, such as imports
    tracemalloc.start()
    try:
        with Meter() as meter:
            work()
        return tracemalloc.get_traced_memory()[1] + meter.peak
    finally:
        tracemalloc.stop()


def test_the_meter_sees_objects_and_tensors() -> None:
    assert 4e6 < bytes_at_once(lambda: [torch.zeros(1_000_000).sum() for _ in range(3)]) < 4.1e6
    assert 12e6 < bytes_at_once(lambda: [torch.zeros(1_000_000) for _ in range(3)]) < 12.1e6
    assert 2e6 < bytes_at_once(lambda: "x" * 2_000_000) < 2.1e6


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, pytest.param(20, marks=pytest.mark.slow)], ids=["short", "long"])
def test_filtering_holds_at_most_64_bytes_a_pair(length: int) -> None:
    """The difference between two sizes is measured, which cancels the memory of a batch of rows."""
    words = "une phrase " * length
    small, large = 3_000, 9_000

    def a_pair(work: Callable[[Dataset], object]) -> float:
        splits = [table([(f"{words}{i}", f"{words}{i}.") for i in range(n)]) for n in (small, large)]
        taken = [bytes_at_once(lambda split=split: work(split)) for split in splits]
        return (taken[1] - taken[0]) / (large - small)

    others = hash_held_out([table([(f"{words}{i}", f"{words}{i}.") for i in range(100)])])
    assert 9 <= a_pair(lambda split: check_pairs(split, DataConfig(), others)) <= 64
    assert a_pair(lambda split: list(zip(split["source"], split["target"], strict=True))) > 64
