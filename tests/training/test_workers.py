"""Workers of one CPU train as one does: same gradients, whatever their number; reproducible dropout."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from translator.training.loss import token_loss
from translator.training.workers import Workers

from translator.bundle import load_bundle
from translator.config import Config
from translator.data.batching import Batch, make_batch
from translator.model import Transformer
from translator.model.layers import LayerOptions
from translator.symbols import PAD
from translator.training.run import train

pytest_plugins = ("trained",)

V = 40


def model_with(dropout: float = 0.0) -> Transformer:
    torch.manual_seed(5)
    options = LayerOptions(16, 2, 32, dropout=dropout)
    return Transformer(V, options, n_encoder_layers=1, n_decoder_layers=1)


def a_batch(n_pairs: int = 9) -> Batch:
    draw = torch.Generator().manual_seed(2)
    lengths = torch.randint(1, 9, (n_pairs, 2), generator=draw).sort(0).values.tolist()
    ids = [[torch.randint(4, V, (n,), generator=draw).tolist() for n in pair] for pair in lengths]
    return make_batch([source for source, _ in ids], [target for _, target in ids])


def loss_of(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    assert isinstance(model, Transformer)
    real = batch.target_out != PAD
    states = model.decode(model.encode(batch.source_ids), batch.target_in)[real]
    smoothed, plain = token_loss(states, model.output_weight, batch.target_out[real], 0.1)
    return smoothed / batch.n_step_tokens, plain


def gradient(model: Transformer, n_workers: int, *, seed: int = 1, batch: Batch | None = None) -> Tensor:
    """The gradient of a batch, by so many workers."""
    model.zero_grad()
    torch.manual_seed(seed)
    workers = Workers(model, n_workers=n_workers)
    workers.seed(seed)
    loss, _ = workers.loss(batch or a_batch(), loss_of)
    loss.backward()
    workers.close()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@pytest.mark.parametrize("n_workers", [1, 2, 3, 20])
def test_any_number_of_workers_gives_the_gradient_of_the_whole_batch(n_workers: int) -> None:
    model = model_with()
    loss, _ = loss_of(model, a_batch())
    loss.backward()
    expected = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
    torch.testing.assert_close(gradient(model, n_workers), expected, rtol=1e-4, atol=1e-6)


def test_control_a_lost_share_is_another_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_with()
    expected = gradient(model, 1)
    shares = Batch.shares
    monkeypatch.setattr(Batch, "shares", lambda batch, n: shares(batch, n)[:-1])
    assert not torch.allclose(gradient(model, 2), expected, rtol=1e-4, atol=1e-6)


def test_gradients_accumulate_over_batches() -> None:
    model = model_with()
    first, second = a_batch(5), a_batch(9)
    separate = gradient(model, 2, batch=first) + gradient(model, 2, batch=second)
    model.zero_grad()
    workers = Workers(model, n_workers=2)
    for batch in (first, second):
        (0.5 * workers.loss(batch, loss_of)[0]).backward()
    workers.close()
    together = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
    torch.testing.assert_close(together, 0.5 * separate, rtol=1e-4, atol=1e-6)


def test_the_seed_alone_decides_what_dropout_draws() -> None:
    model = model_with(dropout=0.5)
    first = gradient(model, 2, seed=7)
    for _ in range(5):
        assert torch.equal(gradient(model, 2, seed=7), first)
    assert not torch.allclose(gradient(model, 2, seed=8), first)


def test_workers_share_weights_even_when_these_are_replaced() -> None:
    model = model_with()
    workers = Workers(model, n_workers=2)
    for weight in model.parameters():
        weight.data = torch.zeros_like(weight)
    _, plain = workers.loss(a_batch(), loss_of)
    workers.close()
    n_tokens = a_batch().n_step_tokens
    torch.testing.assert_close(plain, n_tokens * torch.tensor(float(V)).log())  # no weight: all as likely


def test_a_failure_in_a_worker_is_raised() -> None:
    def fail(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        raise ZeroDivisionError

    workers = Workers(model_with(), n_workers=2)
    with pytest.raises(ZeroDivisionError):
        workers.loss(a_batch(), fail)
    workers.close()


def test_shares_are_all_rows_in_order_and_shed_padding() -> None:
    batch = a_batch(9)
    for n in (1, 2, 4, 9, 50):
        shares = batch.shards(n)
        assert 1 <= len(shares) <= n
        rows = [row[row != PAD].tolist() for share in shares for row in share.source_ids]
        assert rows == [row[row != PAD].tolist() for row in batch.source_ids]
        assert sum(int((share.target_out != PAD).sum()) for share in shares) == batch.n_step_tokens
        for share in shares:
            assert (share.source_ids != PAD).any(0).all()
            assert (share.target_out != PAD).any(0).all()
            assert share.target_in.shape == share.target_out.shape
    half, other = batch.shards(2)
    sizes = [
        int((share.source_ids != PAD).sum() + (share.target_out != PAD).sum()) for share in (half, other)
    ]
    assert max(sizes) < 0.7 * sum(sizes)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.slow
def test_training_with_two_workers_learns_as_with_one(tiny_config: Callable[..., Config]) -> None:
    options = ("model.dropout=0", "train.max_steps=8", "hardware.precision=32-true", "train.ema_decay=null")
    weights = []
    for name, more in (("one", ()), ("two", ()), ("other", ("train.learning_rate=1e-4",))):
        config = tiny_config(
            *options, f"hardware.workers={2 if name == 'two' else 1}", f"run.name={name}", *more
        )
        folder = train(config, name="tiny")
        assert folder is not None
        state = load_bundle(folder).model.state_dict()
        weights.append(torch.cat([value.flatten() for value in state.values()]))
    one, two, other = weights
    # By norm: Adam makes whole steps of the rounding errors where a gradient is zero (biases of keys).
    assert (one - two).norm() < 0.01 * (one - other).norm()
