"""Evaluation on a test set: scores by the origin of the lines."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from translator.translation.evaluator import evaluate
from translator.translation.inference import Translator
from translator.translation.joining import Translation


class Echo:
    """Hands each source back."""

    config = SimpleNamespace(search=SimpleNamespace(beam_size=1))
    precision = "float32"

    def translate(self, texts: Sequence[str], **_: Any) -> list[Translation]:
        return [Translation("", text, 0.0, (), 1) for text in texts]


LINES = [
    "The cat sleeps on the bed.",
    "A dog runs in the big park.",
    "We eat an apple at noon.",
    "Rien du tout ici.",
]
REFERENCES = [*LINES[:3], "Nothing at all here, really."]


def test_lines_of_each_origin_are_scored_by_themselves() -> None:
    translator = cast(Translator, Echo())
    found = evaluate(translator, LINES, REFERENCES, origins=["a", "b", "a", "b"])
    assert list(found.by_origin) == ["a", "b"]
    assert round(found.by_origin["a"].score, 6) == 100
    assert found.by_origin["b"].score < found.scores["bleu"].score < 100
    assert [line.split()[0] for line in found.lines("test") if line.startswith("  ")] == ["a:", "b:"]
    assert list(found.to_dict()["bleu_by_origin"]) == ["a", "b"]


def test_one_origin_says_nothing_more() -> None:
    for origins in (None, ["a"] * 4):
        found = evaluate(cast(Translator, Echo()), LINES, REFERENCES, origins=origins)
        assert found.by_origin == {}
        assert "bleu_by_origin" not in found.to_dict()
