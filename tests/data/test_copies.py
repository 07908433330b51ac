"""Random pieces to copy: what they are made of, what they replace, and that only their seed decides."""

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from translator.data.copies import Copies

PIECES = {"a": 5, "▁b": 6, "cde": 7, "▁fghi": 8, "jklmn": 9}
WORDS = "▁Paul ▁Je ▁Zo ▁Gra mar ie rk ▁et ▁à ▁connais . , ▁ 0 1 2 3 98 87 19 20 31 64 ▁I ' A"
N_WORDS = len(WORDS.split(" "))


def copies(pieces: dict[str, int], rare: tuple[int, ...] = ()) -> Copies:
    tokenizer: Any = SimpleNamespace(ordinary=pieces, piece_ids=lambda letter: list(rare))
    return Copies(tokenizer)


class Pairs:
    """Copies of a vocabulary of words, and texts in pieces that are between spaces."""

    def __init__(self, rare: tuple[int, ...] = ()):
        self.ids = {piece: i for i, piece in enumerate(WORDS.split(" "), 10)}
        self.pieces = {i: piece for piece, i in self.ids.items()} | dict.fromkeys(rare, "?")
        self.copies = copies(self.ids, rare)

    def replaced(
        self, source: str, target: str, rate: float = 1.0, seed: int = 1
    ) -> tuple[list[str], list[str]]:
        both = ([self.ids[piece] for piece in text.split(" ")] for text in (source, target))
        new = self.copies.replace(*both, rate, Random(seed))
        return [self.pieces[i] for i in new[0]], [self.pieces[i] for i in new[1]]


def test_a_target_is_the_end_of_its_source() -> None:
    sources, targets = copies(PIECES).rows(200, 6, Random(1))
    assert len(sources) == len(targets) == 200
    for source, target in zip(sources, targets, strict=True):
        assert 1 <= len(source) <= 6
        assert target
        assert source[-len(target) :] == target
    assert any(len(source) > len(target) for source, target in zip(sources, targets, strict=True))
    assert any(source == target for source, target in zip(sources, targets, strict=True))


def test_every_other_row_has_short_pieces_only_and_all_pieces_occur() -> None:
    sources, _ = copies(PIECES).rows(2_000, 4, Random(2))
    assert {i for ids in sources for i in ids} == set(PIECES.values())
    n_short = sum({5, 6, 7}.issuperset(ids) for ids in sources)
    assert 1_000 < n_short < 1_600  # half of them, and some of the others by chance


def test_rows_are_never_longer_than_the_batch_nor_than_twelve_pieces() -> None:
    for most, expected in ((1, 1), (5, 5), (100, 12)):
        assert max(map(len, copies(PIECES).rows(500, most, Random(3))[0])) == expected


def test_the_same_seed_draws_the_same_rows() -> None:
    draws = [copies(PIECES).rows(50, 9, Random(seed)) for seed in (4, 4, 5)]
    assert draws[0] == draws[1] != draws[2]


def test_a_vocabulary_without_short_pieces_is_used_as_a_whole() -> None:
    sources, _ = copies({"▁long": 1, "words": 2}).rows(20, 3, Random(6))
    assert {i for ids in sources for i in ids} == {1, 2}


def test_a_name_on_both_sides_is_replaced_by_the_same_random_name() -> None:
    pairs, names = Pairs(), Counter[str]()
    for seed in range(200):
        source, target = pairs.replaced("▁Je ▁connais ▁Paul .", "▁I ▁connais ▁Paul ▁Paul ,", seed=seed)
        name = source[2:-1]
        assert source == ["▁Je", "▁connais", *name, "."]
        assert target == ["▁I", "▁connais", *name, *name, ","]
        assert name[0] in ("▁Paul", "▁Je", "▁Zo", "▁Gra", "▁I")
        first_part = name[: name.index("'")] if "'" in name else name
        assert set(name[1:]) <= {"mar", "ie", "rk", "'", "A"}
        assert 2 <= len(first_part) <= 6
        names["".join(name)] += 1
    assert len(names) > 100


def test_a_name_of_several_pieces_is_replaced_as_a_whole() -> None:
    source, target = Pairs().replaced("▁Gra mar ie ▁et ▁Zo rk", "▁Zo rk ▁à ▁Gra mar ie")
    first, second = source[: source.index("▁et")], source[source.index("▁et") + 1 :]
    assert target == [*second, "▁à", *first]
    assert (first, second) != (["▁Gra", "mar", "ie"], ["▁Zo", "rk"])


def test_a_name_after_an_elision_is_that_of_the_other_side_without_its_space() -> None:
    """Un ami d'Anna, a friend of Anna's: `A nn a` in French, `▁An na` in English."""
    words = "▁ami ▁d ' A n na ▁friend ▁of ▁An ▁A ▁E ▁B E".split(" ")
    ids = {piece: i for i, piece in enumerate(words)}
    drawn, first = copies(ids), Counter[str]()
    for seed in range(200):
        source = [ids[piece] for piece in ("▁ami", "▁d", "'", "A", "n", "na")]
        target = [ids[piece] for piece in ("▁friend", "▁of", "▁A", "n", "na")]
        new = drawn.replace(source, target, 1.0, Random(seed))
        fr, en = ([words[i] for i in side] for side in new)
        assert (fr[:3], en[:2]) == (["▁ami", "▁d", "'"], ["▁friend", "▁of"])
        assert (f"▁{fr[3]}", fr[4:]) == (en[2], en[3:])
        first[fr[3]] += 1
    assert set(first) == {"A", "E"}  # the only ones with and without a space
    assert min(first.values()) > 70


def test_a_name_is_recognised_by_its_letters_not_its_pieces() -> None:
    words = "▁An na ' A n a ▁A".split(" ")
    ids = {piece: i for i, piece in enumerate(words)}
    fr, en = copies(ids).replace(
        [ids[p] for p in ("'", "A")] + [ids["n"], ids["na"]], [ids["▁An"], ids["na"]], 1.0, Random(1)
    )
    assert fr[0] == ids["'"]
    assert (fr[1], fr[2:]) == (ids["A"], en[1:])
    assert en[0] == ids["▁A"]


def test_a_number_on_both_sides_keeps_the_lengths_of_its_pieces() -> None:
    seen = set()
    for seed in range(60):
        source, target = Pairs().replaced("▁ 19 87 , 3 ▁et", "▁et ▁ 19 87 . 3", seed=seed)
        assert source == ["▁", *source[1:3], ",", "3", "▁et"]
        assert target == ["▁et", "▁", *source[1:3], ".", "3"]
        assert {*map(len, source[1:3])} == {2}
        seen.add(tuple(source[1:3]))
    assert len(seen) > 20


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("▁Paul ▁et", "▁Zo rk"),  # no name on both sides
        ("▁Zo rk ie", "▁Zo rk"),  # the beginning of a name is not the name
        ("▁Je ▁et", "▁Je ▁à"),  # two letters
        ("▁I ' A", "▁I ▁à"),
        ("▁ 20 ▁et ▁ 3", "▁ 20 ▁à ▁ 3"),  # may be an hour
        ("▁et ▁à mar", "▁et ▁à mar"),  # no capital
        ("▁connais", "▁connais"),
    ],
)
def test_what_is_no_name_or_number_stays(source: str, target: str) -> None:
    for seed in range(20):
        assert Pairs().replaced(source, target, seed=seed) == (source.split(" "), target.split(" "))


def test_each_name_is_replaced_with_the_given_probability() -> None:
    pairs = Pairs()
    replaced = [pairs.replaced("▁Paul ▁et ▁ 19 87", "▁Paul ▁à ▁ 19 87", 0.3, seed)[0] for seed in range(600)]
    names = sum(source[:2] != ["▁Paul", "▁et"] for source in replaced)
    numbers = sum(source[-2:] != ["19", "87"] for source in replaced)
    assert 130 < names < 230
    assert 130 < numbers < 230
    assert pairs.replaced("▁Paul", "▁Paul", 0.0) == (["▁Paul"], ["▁Paul"])


def test_some_names_have_a_letter_outside_the_vocabulary() -> None:
    pairs = Pairs(rare=(2, 3))
    names = [pairs.replaced("▁Paul", "▁Paul", seed=seed) for seed in range(1_000)]
    rare = [source for source, target in names if "?" in source and source == target]
    assert 50 < len(rare) < 120
    assert all(name.index("?") > 0 and name[name.index("?") + 1] == "?" for name in rare)


def test_short_pieces_are_drawn_more_often() -> None:
    starts = {"▁" + chr(ord("A") + k) * (1 + k % 5): k for k in range(20)}
    inner = {chr(ord("a") + k) * (1 + k % 5): 20 + k for k in range(20)}
    drawn = copies({**starts, **inner})
    names = [drawn.replace([2], [2], 1.0, Random(seed))[0] for seed in range(2_000)]
    for ids, shares in (
        ([name[0] for name in names], (0.6, 0.2, 0.1, 0.1)),
        ([i for name in names for i in name[1:]], (0.3, 0.35, 0.25, 0.1)),
    ):
        lengths = Counter(min(1 + i % 5, 4) for i in ids)
        for length, share in enumerate(shares, 1):
            assert lengths[length] / len(ids) == pytest.approx(share, abs=0.03)
        assert len(set(ids)) == 20


#: Paul (1), et (2), and as inner pieces the letters a (3) to z (28).
LETTERS = {"▁Paul": 1, "▁et": 2, **{chr(ord("a") + i): 3 + i for i in range(26)}}


def name_ends(*examples: list[int]) -> list[list[int]]:
    """The pieces after the first of a thousand random names, given some examples."""
    drawn = copies(LETTERS)
    return [drawn.replace([1], [1], 1.0, Random(seed), examples)[0][1:] for seed in range(1_000)]


def test_most_names_contain_the_end_of_a_word_whole_cut_or_continued() -> None:
    drawn = name_ends([2, 2], [2, 3, 4, 5])  # half of the examples have no word of several pieces
    whole = [name for name in drawn if any(name[i : i + 3] == [3, 4, 5] for i in range(4))]
    assert 150 < len(whole) < 280
    assert {name[-1] == 5 for name in whole} == {True, False}  # some are continued
    assert 40 < sum(name[-2:] == [3, 4] for name in drawn) < 120
    assert max(map(len, drawn)) == 5
    assert sum(name[-3:] == [3, 4, 5] for name in name_ends()) < 10  # by chance


def test_in_some_names_a_piece_occurs_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def n_repeating() -> int:
        return sum(len(set(name)) < len(name) for name in name_ends())

    found = n_repeating()
    monkeypatch.setattr("translator.data.copies._REPEATED", 0.0)
    by_chance = n_repeating()
    assert by_chance < 200
    assert by_chance + 150 < found < by_chance + 280  # a quarter


def test_some_names_have_another_part_after_a_hyphen_or_an_apostrophe() -> None:
    drawn = copies(LETTERS | {"-": 40, "'": 41, "B": 42})
    names = [drawn.replace([1], [1], 1.0, Random(seed))[0] for seed in range(1_000)]
    joined = [name for name in names if {40, 41} & {*name}]
    assert 110 < len(joined) < 190
    assert sum(40 in name for name in joined) > 2 * sum(41 in name for name in joined) > 0
    assert all(name[0] == 1 and name[-1] not in (40, 41, 42) for name in joined)
    capitals = [name for name in joined if 42 in name]
    assert 0.3 * len(joined) < len(capitals) < 0.7 * len(joined)
    assert all(name[name.index(42) - 1] in (40, 41) for name in capitals)  # Anne-Sophie, not AnneSophie
    assert not any({40, 41, 42} & {*name} for name in names if name not in joined)


def test_a_vocabulary_without_inner_pieces_has_names_of_one_piece() -> None:
    assert len(copies({"▁Paul": 1, "▁Anna": 2}).replace([1], [1], 1.0, Random(1))[0]) == 1
