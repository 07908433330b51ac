"""Attention that starts as an induction head: what each head attends to before the first step."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from translator.config import Config
from translator.model.layers import LayerOptions
from translator.model.transformer import Transformer
from translator.symbols import BOS
from translator.training.attention_init import initialise_copying
from translator.training.run import train

MakeConfig = Callable[..., Config]
V = 200


def untrained(*, width: int = 96, n_heads: int = 3, base: float = 300.0) -> Transformer:
    torch.manual_seed(1)
    options = LayerOptions(width=width, n_heads=n_heads, feed_forward=2 * width)
    return Transformer(V, options, n_encoder_layers=2, n_decoder_layers=2, position_base=base)


def initialised(**shape: Any) -> tuple[Transformer, torch.Tensor]:
    model = untrained(**shape)
    return model, initialise_copying(model)


def random_sources(n: int = 40, length: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.stack([torch.randperm(V - 10, generator=generator)[:length] + 10 for _ in range(n)])


@pytest.mark.parametrize(
    ("width", "n_heads", "base"), [(96, 3, 300.0), (128, 4, 10_000.0), (48, 1, 300.0), (60, 4, 1_000.0)]
)
def test_a_head_of_the_first_encoder_layer_attends_to_the_previous_piece(
    width: int, n_heads: int, base: float
) -> None:
    """Layer norms subtract the mean of all columns, so the head is not exact. At random it is at 1/8."""
    model, _ = initialised(width=width, n_heads=n_heads, base=base)
    with torch.no_grad():
        encoder, _ = model.attention_maps(random_sources(), torch.full((40, 1), BOS))
    weights = encoder.self_attention[0][:, 0, 1:]  # (B, Q, K)
    offsets = torch.arange(8) - torch.arange(1, 8)[:, None]
    previous, two_before, following = (weights[:, offsets == offset].mean() for offset in (-1, -2, 1))
    assert previous > 0.3
    assert previous > 1.5 * two_before
    assert previous > 1.5 * following


def test_the_last_decoder_layer_attends_to_the_piece_after_the_one_written_last() -> None:
    model, _ = initialised()
    sources = random_sources()
    with torch.no_grad():
        _, decoder = model.attention_maps(sources, sources)
    found = decoder.cross_attention[-1][:, :, :-1].argmax(-1) == torch.arange(1, 8)  # (B, H, Q)
    rates = found.float().mean((0, 2))
    assert rates[:2].min() > 2 * rates[2]
    assert rates[2] < 0.2


def test_copying_is_learnt_much_sooner_than_from_random_weights() -> None:
    losses = {}
    for init in ("copying", "xavier"):
        model, _ = (
            initialised(width=48, n_heads=3) if init == "copying" else (untrained(width=48, n_heads=3), 0)
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
        generator = torch.Generator().manual_seed(3)
        for _ in range(30):
            sources = torch.randint(10, V, (60, 8), generator=generator)
            logits = model(sources, sources[:, :-1])  # the first piece is given
            loss = F.cross_entropy(logits.flatten(0, 1), sources[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses[init] = loss.item()
    assert losses["copying"] < 0.5 * losses["xavier"]


def test_cross_attention_passes_on_what_it_attends_to() -> None:
    model, _ = initialised()
    for layer in model.decoder.layers:
        cross = layer.cross_attention
        assert cross is not None
        product = cross.output.weight @ cross.key_value.weight[96:]
        assert torch.allclose(product, 2 * torch.eye(96), atol=1e-5)


def test_embeddings_leave_the_columns_of_the_fastest_sinusoids_free() -> None:
    model = untrained()
    norms = model.embedding.weight.norm(dim=1)
    used = initialise_copying(model)
    free = sorted({*range(96)} - {*used.tolist()})
    assert free == [*range(16), *range(48, 64)]
    assert not model.embedding.weight[:, free].any()
    assert torch.allclose(model.embedding.weight.norm(dim=1), norms)


@pytest.mark.parametrize("embedding_init", ["normal", "counts"])
def test_a_training_starts_with_it(tiny_config: MakeConfig, embedding_init: str) -> None:
    """At a learning rate near zero, the trained weights are the initial ones."""
    still = (
        "train.max_steps=1",
        "validation.every_steps=1",
        "train.learning_rate=1e-9",
        "train.ema_decay=null",
    )
    weights = {}
    for name in ("xavier", "copying"):
        overrides = (f"train.attention_init={name}", f"train.embedding_init={embedding_init}")
        weights[name] = load_file(train(tiny_config(*still, *overrides), name=name) / "model.safetensors")
    embedding = {name: found["embedding.weight"] for name, found in weights.items()}
    width = embedding["copying"].size(1)
    is_free = embedding["copying"].abs().amax(0) < 1e-6
    assert 0 < is_free.sum() <= width // 3
    assert (embedding["xavier"].abs().amax(0) > 1e-3).all()
    norms = {name: found.norm(dim=1).mean().item() for name, found in embedding.items()}
    assert norms["copying"] == pytest.approx(norms["xavier"], rel=0.1)
