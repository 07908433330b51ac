"""Which exported models the verification accepts and rejects, with engines that cheat."""

from collections.abc import Callable, Sequence

import pytest
import torch
from phrases import Trained

from translator import Translator
from translator.config import SearchConfig
from translator.errors import DataError, ExportError
from translator.export.check import CLOSE_CALL, Comparison, check

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

Change = Callable[[list[int]], list[int]]


class Echo:
    """Our own search in the place of another program's, and a change to what it finds."""

    same_search = False

    def __init__(self, translator: Translator, change: Change, *, beam_size: int = 1):
        self.translator, self.change, self.beam_size = translator, change, beam_size

    def search(
        self,
        sources: Sequence[Sequence[int]],
        max_lengths: Sequence[int],
        options: SearchConfig,
    ) -> list[list[int]]:
        assert options == self.translator.config.search.model_copy(update={"beam_size": options.beam_size})
        assert list(max_lengths) == [self.translator.longest_output(ids, options) for ids in sources]
        found = [result.hypotheses[0].ids for result in self.translator.search(sources, options)]
        return [self.change(ids) for ids in found] if options.beam_size == self.beam_size else found


@pytest.fixture
def translator(trained: Trained) -> Translator:
    return Translator.load(trained.model)


def test_the_same_is_the_same(translator: Translator, lines: list[str], references: list[str]) -> None:
    found = check(translator, Echo(translator, lambda ids: ids), lines, references)
    assert (found.n_lines, found.comparisons, found.n_beam_identical) == (25, [Comparison(1, [], [])], 25)
    assert found.bleu is not None
    assert found.bleu[0] == found.bleu[1]
    without = check(translator, Echo(translator, lambda ids: ids), lines)
    assert (without.bleu, without.n_beam_identical) == (None, None)
    assert without.lines() == ["greedy: 25 of 25 lines identical, 0 close calls"]


@pytest.mark.parametrize(
    "change",
    [lambda ids: ids[:-1], lambda ids: [*ids, ids[-1]], lambda ids: [ids[-1], *ids[1:]], lambda ids: []],
    ids=["too short", "too long", "another piece", "empty"],
)
def test_another_output_is_refused_in_one_line(
    translator: Translator, lines: list[str], change: Change
) -> None:
    with pytest.raises(ExportError, match=r"line \d+ becomes") as caught:
        check(translator, Echo(translator, change), lines)
    assert "\n" not in str(caught.value)


def twins(translator: Translator, distance: float) -> tuple[int, int]:
    """Make some piece that is often chosen and one that never is alike, and return both."""
    found = translator.search(translator.tokenizer.encode_batch(["Le chat dort à Lyon."]), greedy(translator))
    often = found[0].hypotheses[0].ids[0]
    never = len(translator.tokenizer) - 1
    weight = translator.model.embedding.weight
    with torch.no_grad():
        weight[never] = weight[often] * (1 - distance)
    return often, never


def greedy(translator: Translator) -> SearchConfig:
    return translator.config.search.model_copy(update={"beam_size": 1})


def test_a_tie_is_a_close_call_and_is_told(translator: Translator, lines: list[str]) -> None:
    often, twin = twins(translator, 0)
    swapped = Echo(translator, lambda ids: [twin if number == often else number for number in ids])
    found = check(translator, swapped, lines)
    [comparison] = found.comparisons
    assert comparison.close_calls
    assert all(abs(call.scores[0] - call.scores[1]) < CLOSE_CALL for call in comparison.close_calls)
    first = comparison.close_calls[0]
    told = found.lines()
    n_close = len({call.line for call in comparison.close_calls})
    assert told[0] == f"greedy: {25 - n_close} of 25 lines identical, {n_close} close calls"
    assert told[1].startswith(f"line {first.line}: close call")


def test_what_is_not_quite_a_tie_is_refused(translator: Translator, lines: list[str]) -> None:
    often, twin = twins(translator, 1e-3)
    swapped = Echo(translator, lambda ids: [twin if number == often else number for number in ids])
    with pytest.raises(ExportError, match="becomes"):
        check(translator, swapped, lines)


def test_a_beam_of_another_quality_is_refused(
    translator: Translator, lines: list[str], references: list[str]
) -> None:
    worse = Echo(translator, lambda ids: ids[1:], beam_size=5)
    with pytest.raises(ExportError, match="with a beam of 5, BLEU"):
        check(translator, worse, lines, references)


@pytest.mark.parametrize("lines", [[], ["", " \t"]])
def test_nothing_to_check_with_is_refused(translator: Translator, lines: list[str]) -> None:
    with pytest.raises(DataError, match="no text"):
        check(translator, Echo(translator, lambda ids: ids), lines)


def test_the_log_prob_is_that_of_the_search(translator: Translator, lines: list[str]) -> None:
    sources = translator.tokenizer.encode_batch([line for line in lines if 0 < len(line) < 60])
    for source, found in zip(sources, translator.search(sources, greedy(translator)), strict=True):
        [best] = found.hypotheses
        scored, other = translator.score_ids([source] * 2, [best.ids, best.ids[:-1]])
        assert scored == pytest.approx(best.log_prob, abs=1e-4)
        assert abs(other - best.log_prob) > 1e-2  # control
