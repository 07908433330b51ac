"""The same layers as an encoder, as a language model, and as a reader of a memory of another width.

Each learns a toy task within a hundred steps or so. Guessing one of the eight ids costs ln 8 = 2.1; less
is possible only by looking where the answer stands.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_model import assert_differs, assert_same, normal

from translator.model.initialisation import initialise
from translator.model.layers import LayerOptions, Stack
from translator.model.masks import causal_mask, padding_mask
from translator.model.positions import sinusoids
from translator.symbols import BOS, PAD

OPTIONS = LayerOptions(width=16, n_heads=2, feed_forward=32)
N_IDS, LENGTH, PATCH_WIDTH = 12, 6, 24


class Reader(nn.Module):
    """Embedding, stack, and a prediction at each position."""

    def __init__(self, *, cross: bool = False, memory_width: int | None = None):
        super().__init__()
        self.embedding = nn.Embedding(N_IDS, OPTIONS.width)
        self.stack = Stack(OPTIONS, 1, cross=cross, memory_width=memory_width)
        self.output = nn.Linear(OPTIONS.width, N_IDS)
        initialise(self)

    def embed(self, ids: Tensor) -> Tensor:
        positions = sinusoids(ids.size(1), OPTIONS.width).to(self.embedding.weight.dtype)
        return self.embedding(ids) * OPTIONS.width**0.5 + positions

    def encode(self, ids: Tensor) -> Tensor:
        return self.output(self.stack(self.embed(ids), padding_mask(ids)))

    def continue_(self, ids: Tensor) -> Tensor:
        return self.output(self.stack(self.embed(ids), causal_mask(ids.size(1))))

    def describe(self, ids: Tensor, patches: Tensor, patch_mask: Tensor) -> Tensor:
        mask, cross = causal_mask(ids.size(1)), self.stack.project(patches)
        return self.output(self.stack(self.embed(ids), mask, cross=cross, cross_mask=patch_mask))


def train(model: nn.Module, loss_of: Callable[[], Tensor], n_steps: int) -> tuple[float, float]:
    """Return the first and the last loss, each a mean of five steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(n_steps):
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[:5]) / 5, sum(losses[-5:]) / 5


def padded_ids(n: int) -> Tensor:
    ids = torch.randint(4, N_IDS, (n, LENGTH))
    lengths = torch.randint(2, LENGTH + 1, (n, 1))
    return ids.masked_fill(torch.arange(LENGTH) >= lengths, PAD)


def test_encoder_only_learns_and_sees_no_padding() -> None:
    torch.manual_seed(1)
    model = Reader()

    def loss_of() -> Tensor:  # at each real position: which id does the sequence begin with?
        ids = padded_ids(32)
        expected = ids[:, :1].expand_as(ids).masked_fill(ids == PAD, -100)
        return F.cross_entropy(model.encode(ids).flatten(0, 1), expected.flatten())

    first, last = train(model, loss_of, 80)
    assert first > 2
    assert last < 0.2
    model.double()
    ids = torch.tensor([[5, 6, 7]])
    padded = F.pad(ids, (0, 3), value=PAD)
    assert_same(model.encode(padded)[:, :3], model.encode(ids))
    assert_differs(model.encode(F.pad(ids, (0, 3), value=9))[:, :3], model.encode(ids))
    # It looks both ways: a later token changes what is said of the first.
    changed = torch.tensor([[5, 6, 8]])
    assert_differs(model.encode(changed)[:, :1], model.encode(ids)[:, :1])


def test_decoder_only_learns_and_sees_no_future() -> None:
    torch.manual_seed(1)
    model = Reader()
    assert not any("cross" in name for name, _ in model.named_parameters())

    def loss_of() -> Tensor:  # say again what was said two tokens ago: needs a look back
        start = torch.randint(4, N_IDS, (32, 2))
        ids = start.repeat(1, LENGTH // 2)
        return F.cross_entropy(model.continue_(ids[:, 1:-1]).flatten(0, 1), ids[:, 2:].flatten())

    # The first of four predictions has nothing to look back to: (ln 8) / 4 = 0.52 is the least possible.
    first, last = train(model, loss_of, 100)
    assert first > 2
    assert last < 0.9
    model.double()
    ids = torch.tensor([[5, 6, 5, 6, 5]])
    for changed in range(1, 5):
        other = ids.clone()
        other[:, changed:] = 9
        assert_same(model.continue_(other)[:, :changed], model.continue_(ids)[:, :changed])
        assert_differs(model.continue_(other)[:, changed:], model.continue_(ids)[:, changed:])
        # Control: an encoder's mask does show the future.
        assert_differs(model.encode(other)[:, :changed], model.encode(ids)[:, :changed])


def test_cross_attention_to_a_memory_of_another_width() -> None:
    torch.manual_seed(1)
    model = Reader(cross=True, memory_width=PATCH_WIDTH)
    features = normal(N_IDS, PATCH_WIDTH).float()  # what each id looks like

    def picture(ids: Tensor) -> Tensor:  # (B, L) → (B, L, M)
        places = sinusoids(ids.size(1), PATCH_WIDTH)
        return (features[ids] + places).to(model.embedding.weight.dtype)

    def loss_of() -> Tensor:  # name what is seen, in order
        ids = padded_ids(32)
        target_in = F.pad(ids[:, :-1], (1, 0), value=BOS)
        logits = model.describe(target_in, picture(ids), padding_mask(ids))
        return F.cross_entropy(logits.flatten(0, 1), ids.masked_fill(ids == PAD, -100).flatten())

    first, last = train(model, loss_of, 120)
    assert first > 2
    assert last < 0.3
    model.double()
    ids = torch.tensor([[5, 6, 7, PAD, PAD]])
    target_in, patches, mask = torch.tensor([[BOS, 5, 6]]), picture(ids), padding_mask(ids)
    expected = model.describe(target_in, patches, mask)
    assert model.stack.project(patches)[0].key.shape == (1, 2, 5, 8)  # (B, H, K, E)
    spoilt = torch.where(mask[:, 0, 0, :, None], patches, 1e3 * normal(1, 5, PATCH_WIDTH, seed=7))
    assert_same(model.describe(target_in, spoilt, mask), expected)
    assert_differs(model.describe(target_in, spoilt, torch.ones_like(mask)), expected)
    # The last patch is seen by the first token: a memory has no future.
    patches[0, 2] += 1e-3
    assert_differs(model.describe(target_in, patches, mask)[:, :1], expected[:, :1])
