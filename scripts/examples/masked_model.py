"""A masked-token model (encoder-only): the translator's layers without cross-attention and without a future.

python scripts/examples/masked_model.py

Some words of English sentences are blotted out, and the model restores them from what stands on both sides
(Devlin et al. 2019). The only mask hides padding. `--look-at left` and `--look-at itself` take away what an
encoder has over a decoder, and then all that attention is for.
"""

import argparse
from collections.abc import Callable

import torch
from sentences import BLOT, read
from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.initialisation import initialise
from translator.model.layers import LayerOptions, Stack
from translator.model.masks import causal_mask, padding_mask
from translator.model.positions import sinusoids
from translator.symbols import PAD

OPTIONS = LayerOptions(width=64, n_heads=4, feed_forward=128)
BATCH, FRACTION = 64, 0.2

MaskOf = Callable[[Tensor], Tensor]
#: What a place may look at, beside padding.
MASKS: dict[str, MaskOf] = {
    "both sides": padding_mask,
    "left": lambda ids: causal_mask(ids.size(1)) & padding_mask(ids),
    "itself": lambda ids: torch.eye(ids.size(1), dtype=torch.bool)[None, None],
}


class MaskedModel(nn.Module):
    """Embedding, stack, and the embedding again."""

    def __init__(self, n_ids: int):
        super().__init__()
        self.embedding = nn.Embedding(n_ids, OPTIONS.width)
        self.stack = Stack(OPTIONS, 2)
        initialise(self)

    def forward(self, ids: Tensor, mask: Tensor, wanted: Tensor) -> Tensor:
        """(B, S) ids → (n, V) logits of what stood at the n places that are `wanted`, (B, S) bool."""
        positions = sinusoids(ids.size(1), OPTIONS.width)
        states = self.stack(self.embedding(ids) * OPTIONS.width**0.5 + positions, mask)
        return F.linear(states[wanted], self.embedding.weight)


def blot(rows: Tensor) -> Tensor:
    """Choose what to hide: (B, S) ids → (B, S) bool, never padding."""
    return (torch.rand(rows.shape) < FRACTION) & (rows != PAD)


def loss_of(model: MaskedModel, rows: Tensor, mask_of: MaskOf) -> Tensor:
    """The mean cost of a blotted word, in nats."""
    hidden = blot(rows)
    return F.cross_entropy(model(rows.masked_fill(hidden, BLOT), mask_of(rows), hidden), rows[hidden])


def run(*, n_steps: int = 450, look_at: str = "both sides") -> dict[str, float]:
    """Train, print, and return what a blotted word costs, in nats: by frequency, by the model."""
    torch.manual_seed(1)
    rows, others, vocabulary = read()
    frequency = torch.bincount(rows[rows != PAD], minlength=len(vocabulary)) + 1.0
    unigram = -(frequency / frequency.sum()).log()[others[others != PAD]].mean().item()
    model, mask_of = MaskedModel(len(vocabulary)), MASKS[look_at]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss_of(model, rows[torch.randint(len(rows), (BATCH,))], mask_of).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        cost = sum(loss_of(model, others, mask_of).item() for _ in range(10)) / 10
    print(
        f"looking at {look_at}, a blotted word costs {cost:.2f} nats; by its frequency alone, {unigram:.2f}"
    )
    show(model, others[:6], mask_of, vocabulary)
    return {"unigram": unigram, "model": cost}


@torch.no_grad()
def show(model: MaskedModel, rows: Tensor, mask_of: MaskOf, vocabulary: list[str]) -> None:
    """Print sentences with a word blotted out each, and what the model puts in its place."""
    hidden = torch.zeros_like(rows, dtype=torch.bool)
    hidden[range(len(rows)), [i % 3 + 1 for i in range(len(rows))]] = True
    seen = rows.masked_fill(hidden, BLOT)
    guesses = model(seen, mask_of(seen), hidden).argmax(-1).tolist()
    for ids, guess, right in zip(seen.tolist(), guesses, rows[hidden].tolist(), strict=True):
        text = " ".join(vocabulary[i] for i in ids if i != PAD)
        print(
            f"  {text}  →  {vocabulary[guess]}"
            + ("" if guess == right else f" (it was: {vocabulary[right]})")
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--look-at", choices=MASKS, default="both sides")
    torch.set_num_threads(1)
    run(look_at=parser.parse_args().look_at)
