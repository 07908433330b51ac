"""An explanation as JSON."""

import json

import pytest
import torch

from translator.explain import Explanation, to_json

pytest_plugins = ("trained",)


def test_json_comes_back_as_it_went(explanation: Explanation) -> None:
    facts = to_json(explanation)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["translation"] == explanation.translation
    length = len(explanation.target_pieces) ** facts["length_penalty"]
    assert facts["score"] == pytest.approx(facts["log_prob"] / length)
    assert [choice["piece"] for choice in facts["choices"]] == explanation.target_pieces
    assert len(facts["beam"]) == len(explanation.nodes)
    assert facts["hypotheses"][0]["text"] == explanation.translation


@pytest.mark.parametrize("role", ["encoder", "decoder", "cross"])
def test_weights_have_six_decimals_and_null_where_shut(explanation: Explanation, role: str) -> None:
    written, shown = to_json(explanation)["attention"][role], getattr(explanation, role)
    for rows, weights in (
        (written["average"], shown.average),
        (written["heads"][0][2], shown.weights[0, 2]),
    ):
        assert [[value is not None for value in row] for row in rows] == shown.mask.tolist()
        numbers = torch.tensor([[value or 0.0 for value in row] for row in rows])
        torch.testing.assert_close(numbers, weights, rtol=0, atol=1e-6)
        assert all(abs(sum(value or 0.0 for value in row) - 1) < 1e-4 for row in rows)
    assert written["heads"][0][2] != written["heads"][0][1]  # control: heads differ
