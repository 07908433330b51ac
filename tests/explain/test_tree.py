"""The tree of a beam search contains the translation and every finished hypothesis as paths."""

import math

import pytest

from translator.explain import Node, explain
from translator.explain.tree import path_to
from translator.symbols import BOS, EOS
from translator.translation.inference import Translator

pytest_plugins = ("trained",)

SENTENCES = ["Ma sœur ne mange pas dans la maison.", "La reine.", "Un 🐈 attend."]


def way_back(nodes: list[Node], number: int) -> list[int]:
    """Return the pieces on the path from the root, excluded, to a node."""
    return [] if number == 0 else [*way_back(nodes, nodes[number].parent), nodes[number].piece]


@pytest.mark.parametrize("beam_size", [1, 3, 8])
@pytest.mark.parametrize("sentence", SENTENCES)
def test_hypotheses_are_ways_through_the_tree_and_scores_match(
    translator: Translator, sentence: str, beam_size: int
) -> None:
    shown = explain(translator, sentence, beam_size=beam_size)
    nodes, source = shown.nodes, translator.cut([sentence])[0][1]
    assert nodes[0] == Node(BOS, -1, 0, 0.0, None, "kept", chosen=True)
    assert all(node.parent < number for number, node in enumerate(nodes))
    assert all(nodes[node.parent].depth == node.depth - 1 for node in nodes[1:])
    assert all(nodes[node.parent].fate == "kept" for node in nodes[1:])
    assert len(shown.hypotheses) == sum(node.fate == "finished" for node in nodes) > 0
    scores = [nodes[number].score for number, _ in shown.hypotheses]
    assert scores == sorted(scores, reverse=True)
    for number, text in shown.hypotheses:
        *ids, end = way_back(nodes, number)
        assert end == EOS
        assert translator.tokenizer.decode(ids) == text
        [log_prob] = translator.score_ids([source], [ids])
        assert nodes[number].log_prob == pytest.approx(log_prob, rel=0, abs=1e-4)
        expected = log_prob / math.pow(len(ids) + 1, translator.config.search.length_penalty)
        assert nodes[number].score == pytest.approx(expected, rel=0, abs=1e-4)
    best, text = shown.hypotheses[0]
    assert (text, nodes[best].score) == (shown.translation, shown.score)
    assert [node.piece for node in nodes if node.chosen] == [BOS, *way_back(nodes, best)]


def test_a_beam_prunes_and_its_steps_are_whole(translator: Translator) -> None:
    shown = explain(translator, SENTENCES[0], beam_size=3)
    last = max(node.depth for node in shown.nodes)
    for depth in range(1, last + 1):
        step = [node for node in shown.nodes if node.depth == depth]
        if {node.piece for node in step} == {EOS}:
            continue  # at the length limit only the end symbol is allowed
        assert len(step) == 7, "the best 2 W + 1 were looked at"
        assert sum(node.fate in ("kept", "open") for node in step) == 3
        assert any(node.fate == "pruned" for node in step)
        assert [node.fate == "open" for node in step].count(True) == 0 or depth == last


def test_a_way_that_was_not_gone_is_no_way(translator: Translator) -> None:
    """Control: the tree has no path that the search did not consider."""
    shown = explain(translator, SENTENCES[0])
    chosen = [node.piece for node in shown.nodes if node.chosen][1:]
    assert path_to(shown.nodes, chosen)[-1] == shown.hypotheses[0][0]
    with pytest.raises(KeyError):
        path_to(shown.nodes, chosen[1:])
