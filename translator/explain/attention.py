"""The attention of a translation, and the vectors from which it was computed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from translator.data.batching import make_batch
from translator.engine.runtime import device_of
from translator.model.attention import Attention
from translator.model.layers import AttentionMaps
from translator.model.masks import causal_mask
from translator.translation.inference import Translator

#: Maximum numbers of rows and columns in a sample of a weight matrix.
SAMPLE_SHAPE = (16, 32)


@dataclass(frozen=True)
class AttentionMap:
    """The attention of one kind: encoder self-attention, decoder self-attention or cross-attention.

    The letters are those of `translator/model/__init__.py`: H heads, Q queries, K keys, head width E and
    model width D. All tensors are on the CPU. `weights` is softmax(`queries` · `keys`ᵀ / √E), where the
    scores of masked keys are −∞ (Vaswani et al. 2017, §3.2.1).

    Attributes:
        weights: (layers, H, Q, K) float32. The weights of each query sum to one, and the weights of masked
            keys are zero.
        mask: (Q, K) bool, True where the query may attend to the key.
        queries: (layers, H, Q, E) float32.
        keys: (layers, H, K, E) float32.
        values: (layers, H, K, E) float32.
        projections: (layers, H, 3, rows, columns) float32, samples of the matrices (E, D) by which a head
            computes its queries, keys and values. A sample has every n-th row and every m-th column, with the
            smallest n and m that leave at most `SAMPLE_SHAPE`.
        model_width: D.
    """

    weights: Tensor
    mask: Tensor
    queries: Tensor
    keys: Tensor
    values: Tensor
    projections: Tensor
    model_width: int

    @property
    def average(self) -> Tensor:
        """The weights averaged over all layers and heads, (Q, K)."""
        return self.weights.mean((0, 1))


@torch.inference_mode()
def attention(
    translator: Translator, source_ids: list[int], target_ids: list[int]
) -> tuple[AttentionMap, AttentionMap, AttentionMap, Tensor]:
    """Recompute the attention and the probabilities of a translation by teacher forcing, in one pass.

    Args:
        translator: the model.
        source_ids: ids of the source pieces, without the end symbol.
        target_ids: ids of the target pieces, without the end symbol.

    Returns:
        The maps of encoder self-attention, decoder self-attention and cross-attention; and the
        log-probabilities of all V pieces at each of the T target positions, (T, V).
    """
    model = translator.model
    batch = make_batch([source_ids], [target_ids]).to(device_of(model))
    encoder, decoder = AttentionMaps(), AttentionMaps()
    with _recorded(model) as outputs:
        memory = model.encode(batch.source_ids, maps=encoder)
        states = model.decode(memory, batch.target_in, maps=decoder)
    log_probs = model.logits(states).float().log_softmax(-1)[0].cpu()
    across = [layer.cross_attention for layer in model.decoder.layers if layer.cross_attention is not None]

    def gather(attentions: list[Attention], weights: list[Tensor], mask: Tensor) -> AttentionMap:
        vectors = [_vectors(each, outputs) for each in attentions]
        queries, keys, values = (torch.stack(each).float().cpu() for each in zip(*vectors, strict=True))
        samples = torch.stack([_samples(each) for each in attentions]).float().cpu()
        width = attentions[0].width
        return AttentionMap(torch.cat(weights).float().cpu(), mask, queries, keys, values, samples, width)

    n_source, n_target = len(source_ids) + 1, len(target_ids) + 1
    return (
        gather(
            [layer.self_attention for layer in model.encoder.layers],
            encoder.self_attention,
            torch.ones(n_source, n_source, dtype=torch.bool),
        ),
        gather(
            [layer.self_attention for layer in model.decoder.layers],
            decoder.self_attention,
            causal_mask(n_target).view(n_target, n_target),
        ),
        gather(across, decoder.cross_attention, torch.ones(n_target, n_source, dtype=torch.bool)),
        log_probs,
    )


@contextmanager
def _recorded(model: nn.Module) -> Iterator[dict[nn.Module, Tensor]]:
    """Record what the linear maps of all attentions compute, by linear map.

    Another thread may use the model at the same time. What it computes is not recorded.
    """
    outputs: dict[nn.Module, Tensor] = {}
    thread = threading.get_ident()

    def record(linear: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        if threading.get_ident() == thread:
            outputs[linear] = output

    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    hooks = [
        linear.register_forward_hook(record) for each in attentions for linear in (each.query, each.key_value)
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _vectors(attention: Attention, outputs: dict[nn.Module, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the queries (H, Q, E), the keys (H, K, E) and the values (H, K, E) of an attention."""
    [queries] = _heads(outputs[attention.query][0], attention.n_heads, parts=1)
    keys, values = _heads(outputs[attention.key_value][0], attention.n_heads, parts=2)
    return queries, keys, values


def _heads(x: Tensor, n_heads: int, *, parts: int) -> Tensor:
    """Split the last dimension into parts and heads: (L, parts · D) → (parts, H, L, E)."""
    return x.view(len(x), parts, n_heads, -1).permute(1, 2, 0, 3)


def _samples(attention: Attention) -> Tensor:
    """Return samples of the matrices W_Q, W_K and W_V of each head, (H, 3, rows, columns)."""
    matrices = torch.cat([attention.query.weight, attention.key_value.weight]).detach()  # (3 D, D)
    by_head = matrices.view(3, attention.n_heads, -1, attention.width).transpose(0, 1)  # (H, 3, E, D)
    rows, columns = (-(-size // most) for size, most in zip(by_head.shape[2:], SAMPLE_SHAPE, strict=True))
    return by_head[:, :, ::rows, ::columns]
