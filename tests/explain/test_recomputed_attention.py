"""The vectors of an explanation are the model's own, and its weights follow from them."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.explain import Explanation, explain, to_json
from translator.explain.attention import attention
from translator.model.attention import Attention
from translator.model.transformer import Transformer
from translator.symbols import EOS
from translator.translation.inference import Translator

pytest_plugins = ("trained",)

Vectors = dict[str, Tensor]

TEXT = "Ma sœur ne mange pas dans la maison."
ROLES = ("encoder", "decoder", "cross")


def attentions_of(model: Transformer) -> dict[str, list[Attention]]:
    found = {
        "encoder": [layer.self_attention for layer in model.encoder.layers],
        "decoder": [layer.self_attention for layer in model.decoder.layers],
    }
    return found | {"cross": [layer.cross_attention for layer in model.decoder.layers]}


@torch.inference_mode()
def inputs_of(translator: Translator, shown: Explanation) -> dict[nn.Module, Tensor]:
    """Run the model itself on a translation; return the input of each linear map of its attentions."""
    inputs: dict[nn.Module, Tensor] = {}
    hooks = [
        linear.register_forward_pre_hook(lambda linear, given: inputs.update({linear: given[0][0]}))
        for linear in translator.model.modules()
        if isinstance(linear, nn.Linear)
    ]
    [(_, source)] = translator.cut([TEXT])
    target = [node.piece for node in shown.nodes if node.chosen][:-1]
    translator.model(torch.tensor([[*source, EOS]]), torch.tensor([target]))
    for hook in hooks:
        hook.remove()
    return inputs


@torch.inference_mode()
def computed(attention: Attention, inputs: dict[nn.Module, Tensor], head: int, *, causal: bool) -> Vectors:
    """Queries, keys, values and weights of a head, from the rows of the weight matrices that belong to it."""
    e = attention.width // attention.n_heads
    vectors = {}
    for name, linear, start in (
        ("queries", attention.query, 0),
        ("keys", attention.key_value, 0),
        ("values", attention.key_value, attention.width),
    ):
        rows = slice(start + head * e, start + (head + 1) * e)
        vectors[name] = F.linear(
            inputs[linear].double(), linear.weight[rows].double(), linear.bias[rows].double()
        )
    # If each value is a row of the identity matrix, attention returns the weights.
    identity = torch.eye(len(vectors["keys"]), dtype=torch.double)
    found = F.scaled_dot_product_attention(vectors["queries"], vectors["keys"], identity, is_causal=causal)
    return vectors | {"weights": found}


@pytest.mark.parametrize("role", ROLES)
def test_json_is_what_the_model_computes(layered: Translator, role: str) -> None:
    shown = explain(layered, TEXT)
    facts, inputs = to_json(shown), inputs_of(layered, shown)
    others = []
    for layer, module in enumerate(attentions_of(layered.model)[role]):
        for head in range(module.n_heads):
            expected = computed(module, inputs, head, causal=role == "decoder")
            for name in ("queries", "keys", "values"):
                found = torch.tensor(facts["vectors"][role][name][layer][head], dtype=torch.double)
                torch.testing.assert_close(found, expected[name], rtol=0, atol=1e-5)
            rows = facts["attention"][role]["heads"][layer][head]
            found = torch.tensor([[x or 0.0 for x in row] for row in rows], dtype=torch.double)
            torch.testing.assert_close(found, expected["weights"], rtol=0, atol=1e-5)
            others.append(found)
    # Control: another head or layer has other weights.
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(others) for b in others[:i])


def test_vectors_have_six_decimals(explanation: Explanation) -> None:
    vectors = to_json(explanation)["vectors"]
    assert set(vectors) == set(ROLES)
    for of_role in vectors.values():
        assert set(of_role) == {"queries", "keys", "values"}
        numbers = [x for values in of_role.values() for x in torch.tensor(values).flatten().tolist()]
        written = [x for head in of_role["values"][0] for row in head for x in row]
        assert len(numbers) > 100
        assert all(x == round(x, 6) for x in written)


@pytest.mark.parametrize("role", ROLES)
def test_samples_are_weights_of_their_head(layered: Translator, role: str) -> None:
    samples = getattr(explain(layered, TEXT), role).projections
    modules = attentions_of(layered.model)[role]
    assert samples.shape == (len(modules), 3, 3, 14, 28)
    for layer, module in enumerate(modules):
        for head in range(3):
            for kind in range(3):
                matrix = module.key_value.weight if kind else module.query.weight
                start = (kind == 2) * 84 + head * 28
                assert samples[layer, head, kind].equal(matrix[start : start + 28][::2, ::3])


def test_another_thread_does_not_disturb(layered: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs the same model, after each attention of this one."""
    expected, real = attention(layered, [7, 8, 9], [7, 8]), Attention.forward
    main, n_runs = threading.get_ident(), 0
    other_ids = torch.full((1, 30), 7)

    def forward(module: Attention, *inputs: Any, **options: Any) -> Tensor:
        nonlocal n_runs
        result = real(module, *inputs, **options)
        if threading.get_ident() == main:
            other = threading.Thread(target=torch.no_grad()(layered.model), args=(other_ids, other_ids))
            other.start()
            other.join()
            n_runs += 1
        return result

    monkeypatch.setattr(Attention, "forward", forward)
    found = attention(layered, [7, 8, 9], [7, 8])
    assert n_runs == 8, "two layers have one attention each, and three have two"
    for of_role, of_expected in zip(found[:3], expected[:3], strict=True):
        for name in ("weights", "queries", "keys", "values"):
            assert getattr(of_role, name).equal(getattr(of_expected, name))


@pytest.fixture
def no_hooks(layered: Translator) -> Iterator[None]:
    yield
    assert all(not module._forward_hooks for module in layered.model.modules())


@pytest.mark.usefixtures("no_hooks")
def test_one_pass_gives_all_and_leaves_no_hook(layered: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    for name in ("encode", "decode", "logits"):
        real = getattr(Transformer, name)

        def counted(*inputs: Any, name: str = name, real: Any = real, **options: Any) -> Any:
            runs.append(name)
            return real(*inputs, **options)

        monkeypatch.setattr(Transformer, name, counted)
    encoder, decoder, cross, log_probs = attention(layered, [7, 8, 9], [7, 8])
    assert runs == ["encode", "decode", "logits"]
    assert [m.weights.shape for m in (encoder, decoder, cross)] == [(2, 3, 4, 4), (3, 3, 3, 3), (3, 3, 3, 4)]
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(3))


@pytest.mark.usefixtures("no_hooks")
def test_no_hook_is_left_after_a_failure(layered: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Tensor:
        raise MemoryError

    monkeypatch.setattr(Transformer, "decode", fail)
    with pytest.raises(MemoryError):
        explain(layered, TEXT)
