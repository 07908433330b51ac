"""A language model (decoder-only): the translator's layers without cross-attention, and a causal mask.

python scripts/examples/language_model.py

It reads English sentences of the embedded phrasebook and says at each word which one comes next. `--no-mask`
lets it look at the word that it is to guess: its loss is then wonderful, and what it writes is not.
"""

import argparse

import torch
from sentences import read
from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.initialisation import initialise
from translator.model.layers import LayerOptions, Stack
from translator.model.masks import causal_mask
from translator.model.positions import sinusoids
from translator.symbols import BOS, EOS, PAD

OPTIONS = LayerOptions(width=64, n_heads=4, feed_forward=128)
LONGEST, BATCH = 12, 64


class LanguageModel(nn.Module):
    """Embedding, stack, and the embedding again."""

    def __init__(self, n_ids: int):
        super().__init__()
        self.embedding = nn.Embedding(n_ids, OPTIONS.width)
        self.stack = Stack(OPTIONS, 2)
        initialise(self)

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T) ids → (B, T, V) logits of the id that follows each."""
        positions = sinusoids(ids.size(1), OPTIONS.width)
        states = self.stack(self.embedding(ids) * OPTIONS.width**0.5 + positions, mask)
        return F.linear(states, self.embedding.weight)


def framed(rows: Tensor) -> Tensor:
    """(N, T) sentences → (N, T + 2), each between the start and the end symbol."""
    rows = F.pad(F.pad(rows, (1, 0), value=BOS), (0, 1), value=PAD)
    ends = (rows != PAD).sum(1, keepdim=True)
    return rows.scatter(1, ends, EOS)


def loss_of(model: LanguageModel, rows: Tensor, *, causal: bool) -> Tensor:
    """The mean cost of a word, in nats, of (B, T) framed sentences."""
    seen, following = rows[:, :-1], rows[:, 1:]
    mask = causal_mask(seen.size(1)) if causal else None
    return F.cross_entropy(model(seen, mask).flatten(0, 1), following.flatten(), ignore_index=PAD)


@torch.no_grad()
def sample(model: LanguageModel, *, temperature: float = 0.7) -> list[int]:
    """Draw a sentence, one word after another."""
    ids = [BOS]
    while len(ids) <= LONGEST:
        logits = model(torch.tensor([ids]), causal_mask(len(ids)))[0, -1]
        logits[[PAD, BOS]] = -torch.inf
        ids.append(int(torch.multinomial((logits / temperature).softmax(-1), 1)))
        if ids[-1] == EOS:
            return ids[1:-1]
    return ids[1:]


def run(*, n_steps: int = 250, causal: bool = True) -> dict[str, float]:
    """Train, print, and return what a word of other sentences costs, in nats: by frequency, by the model."""
    torch.manual_seed(1)
    rows, others, vocabulary = read()
    rows, others = framed(rows), framed(others)
    frequency = torch.bincount(rows[:, 1:].flatten(), minlength=len(vocabulary)) + 1.0
    frequency[PAD] = 0
    unigram = -(frequency / frequency.sum()).log()[others[:, 1:][others[:, 1:] != PAD]].mean().item()
    model = LanguageModel(len(vocabulary))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss_of(model, rows[torch.randint(len(rows), (BATCH,))], causal=causal).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        cost = loss_of(model, others, causal=causal).item()
    print(f"a word of a new sentence costs {cost:.2f} nats; by its frequency alone, {unigram:.2f}")
    for _ in range(5):
        print("  " + " ".join(vocabulary[i] for i in sample(model)))
    return {"unigram": unigram, "model": cost}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--no-mask", action="store_true", help="let it see the word that it is to guess")
    torch.set_num_threads(1)
    run(causal=not parser.parse_args().no_mask)
