"""A cross-modal model: words attend to the patches of a picture, which are vectors of another width.

python scripts/examples/cross_modal.py

A picture is nine patches of 20 numbers; two of them hold a coloured shape, the others noise alone. The
caption names the two in reading order. Cross-attention is the translator's own, with `memory_width`; it has
no causal mask, since a picture has no future. `--shuffle` trains on captions of other pictures.
"""

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.initialisation import initialise
from translator.model.layers import AttentionMaps, LayerOptions, Stack
from translator.model.masks import causal_mask
from translator.model.positions import sinusoids
from translator.symbols import BOS

OPTIONS = LayerOptions(width=32, n_heads=2, feed_forward=64)
COLOURS, SHAPES = ["red", "green", "blue", "black"], ["circle", "square", "star"]
WORDS = ["", "", "<s>", "", *COLOURS, *SHAPES]  # special ids come first
FIRST_COLOUR, FIRST_SHAPE = WORDS.index("red"), WORDS.index("circle")
SIDE, N_PATCHES, PATCH_WIDTH, BATCH = 3, 9, 20, 64
#: Who sees nothing can only guess two colours and two shapes: (ln 4 + ln 3) / 2 nats a word.
CHANCE = (torch.tensor(4.0).log() + torch.tensor(3.0).log()).item() / 2


class Captioner(nn.Module):
    """A decoder whose memory is a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), OPTIONS.width)
        self.stack = Stack(OPTIONS, 1, cross=True, memory_width=PATCH_WIDTH)
        initialise(self)

    def forward(self, words: Tensor, patches: Tensor, maps: AttentionMaps | None = None) -> Tensor:
        """(B, T) words so far and (B, 9, 20) patches → (B, T, V) logits of the next word."""
        positions = sinusoids(words.size(1), OPTIONS.width)
        x = self.embedding(words) * OPTIONS.width**0.5 + positions
        cross, mask = self.stack.project(patches), causal_mask(words.size(1))
        return F.linear(self.stack(x, mask, cross=cross, maps=maps), self.embedding.weight)


def draw(n: int, looks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw pictures: patches (n, 9, 20), captions (n, 4) and where the two shapes lie, (n, 2).

    `looks`, (V, 20), is what each colour and each shape looks like.
    """
    places = torch.rand(n, N_PATCHES).argsort(1)[:, :2].sort(1).values
    colours = torch.randint(len(COLOURS), (n, 2)) + FIRST_COLOUR
    shapes = torch.randint(len(SHAPES), (n, 2)) + FIRST_SHAPE
    patches = 0.1 * torch.randn(n, N_PATCHES, PATCH_WIDTH) + sinusoids(N_PATCHES, PATCH_WIDTH)
    patches.scatter_add_(1, places[..., None].expand(-1, -1, PATCH_WIDTH), looks[colours] + looks[shapes])
    return patches, torch.stack([colours, shapes], 2).flatten(1), places


def run(*, n_steps: int = 500, shuffle: bool = False) -> dict[str, float]:
    """Train, print, and return the cost of a word in new pictures in nats, and the share that is right."""
    torch.manual_seed(1)
    looks, model = 2 * torch.randn(len(WORDS), PATCH_WIDTH), Captioner()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def loss_of(patches: Tensor, captions: Tensor) -> Tensor:
        before = F.pad(captions[:, :-1], (1, 0), value=BOS)
        return F.cross_entropy(model(before, patches).flatten(0, 1), captions.flatten())

    for _ in range(n_steps):
        patches, captions, _ = draw(BATCH, looks)
        optimizer.zero_grad()
        loss_of(patches.roll(1, 0) if shuffle else patches, captions).backward()
        optimizer.step()
    model.eval()
    patches, captions, places = draw(500, looks)
    with torch.no_grad():
        said = torch.full((len(captions), 1), BOS)
        for _ in range(captions.size(1)):  # greedily, word by word
            maps = AttentionMaps()
            said = torch.cat([said, model(said, patches, maps)[:, -1:].argmax(-1)], 1)
        cost = loss_of(patches, captions).item()
    right = (said[:, 1:] == captions).double().mean().item()
    looked_at = maps.cross_attention[0].mean(1).argmax(-1)  # (B, T): the patch each word was read from
    found = (looked_at == places.repeat_interleave(2, 1)).double().mean().item()
    print(f"a word of a new caption costs {cost:.2f} nats, by chance {CHANCE:.2f}; {right:.0%} are right")
    print(f"{found:.0%} of the words look most at the patch that they name")
    show(places[0].tolist(), [WORDS[i] for i in said[0, 1:]], [WORDS[i] for i in captions[0]], looked_at[0])
    return {"model": cost, "chance": CHANCE, "right": right, "found": found}


def show(places: list[int], said: list[str], caption: list[str], looked_at: Tensor) -> None:
    """Print one picture, what was said of it, and where each word looked."""
    cells = ["."] * N_PATCHES
    for i, place in enumerate(places):
        cells[place] = " ".join(caption[2 * i : 2 * i + 2])
    for row in range(SIDE):
        print("  " + "".join(f"{cell:14}" for cell in cells[row * SIDE : (row + 1) * SIDE]))
    for word, patch in zip(said, looked_at.tolist(), strict=True):
        print(f"  {word:7} ← row {patch // SIDE + 1}, column {patch % SIDE + 1}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shuffle", action="store_true", help="train on captions of other pictures")
    torch.set_num_threads(1)
    run(shuffle=parser.parse_args().shuffle)
