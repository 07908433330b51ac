"""Replicas on one CPU train as one engine does: same gradients for any number, reproducible dropout."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from translator.config import Config
from translator.data.batching import Batch, make_batch
from translator.engine.native import Native
from translator.engine.ops import Ops
from translator.engine.replicas import Replicas
from translator.engine.training import TrainingEngine
from translator.model import Transformer
from translator.model.layers import LayerOptions
from translator.model_folder import load_model_folder
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


def engine_of(model: Transformer, native: Native | None = None) -> TrainingEngine:
    return TrainingEngine(model, Ops(native))


def loss_of(engine: TrainingEngine, shard: Batch) -> tuple[Tensor, Tensor]:
    smoothed, nll = engine.loss(shard, 0.1)
    return smoothed / shard.n_step_tokens, nll


def gradient(engine: TrainingEngine, n_replicas: int, *, seed: int = 1, batch: Batch | None = None) -> Tensor:
    """The gradient of a batch, by so many replicas."""
    engine.model.zero_grad()
    torch.manual_seed(seed)
    replicas = Replicas(engine, n_replicas=n_replicas)
    replicas.seed(seed)
    loss, _ = replicas.forward_backward(batch or a_batch(), loss_of)
    loss.backward()
    replicas.close()
    return gradients_of(engine.model)


def gradients_of(model: Transformer) -> Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@pytest.mark.parametrize("n_replicas", [1, 2, 3, 20])
def test_any_number_of_replicas_gives_the_gradient_of_the_whole_batch(n_replicas: int) -> None:
    model = model_with()
    loss, _ = loss_of(engine_of(model), a_batch())
    loss.backward()
    expected = gradients_of(model)
    torch.testing.assert_close(gradient(engine_of(model), n_replicas), expected, rtol=1e-4, atol=1e-6)


def test_replicas_compute_in_c_too(native: Native) -> None:
    model = model_with(dropout=0.5)
    engine = engine_of(model, native)
    assert all(replica.ops.native is native for replica in Replicas(engine, n_replicas=3).engines)
    first = gradient(engine, 3)
    assert torch.equal(gradient(engine, 3), first)
    model = model_with()
    expected = gradient(engine_of(model), 1)
    torch.testing.assert_close(gradient(engine_of(model, native), 3), expected, rtol=1e-4, atol=1e-6)


def test_control_a_lost_shard_is_another_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(model_with())
    expected = gradient(engine, 1)
    shards = Batch.shards
    monkeypatch.setattr(Batch, "shards", lambda batch, n: shards(batch, n)[:-1])
    assert not torch.allclose(gradient(engine, 2), expected, rtol=1e-4, atol=1e-6)


def test_gradients_accumulate_over_batches() -> None:
    model = model_with()
    engine = engine_of(model)
    first, second = a_batch(5), a_batch(9)
    separate = gradient(engine, 2, batch=first) + gradient(engine, 2, batch=second)
    model.zero_grad()
    replicas = Replicas(engine, n_replicas=2)
    for batch in (first, second):
        (0.5 * replicas.forward_backward(batch, loss_of)[0]).backward()
    replicas.close()
    torch.testing.assert_close(gradients_of(model), 0.5 * separate, rtol=1e-4, atol=1e-6)


def test_the_seed_alone_decides_what_dropout_draws() -> None:
    engine = engine_of(model_with(dropout=0.5))
    first = gradient(engine, 2, seed=7)
    for _ in range(5):
        assert torch.equal(gradient(engine, 2, seed=7), first)
    assert not torch.allclose(gradient(engine, 2, seed=8), first)


def test_replicas_draw_other_masks() -> None:
    """Of two shards of equal rows, each replica drops other values."""
    row = [5, 6, 7, 8, 9]
    engine = engine_of(model_with(dropout=0.5))
    replicas = Replicas(engine, n_replicas=2)
    torch.manual_seed(3)
    replicas.seed(3)
    for each in replicas.engines:
        each.rng.masks = []
    replicas.forward_backward(make_batch([row] * 8, [row] * 8), loss_of)
    replicas.close()
    masks = [torch.cat([mask.flatten() for mask in each.rng.masks or []]) for each in replicas.engines]
    assert masks[0].shape == masks[1].shape
    assert 0.4 < (masks[0] == masks[1]).float().mean() < 0.6


def test_replicas_share_weights_even_when_these_are_replaced() -> None:
    model = model_with()
    replicas = Replicas(engine_of(model), n_replicas=2)
    for weight in model.parameters():
        weight.data = torch.zeros_like(weight)
    _, nll = replicas.forward_backward(a_batch(), loss_of)
    replicas.close()
    n_tokens = a_batch().n_step_tokens
    torch.testing.assert_close(nll, n_tokens * torch.tensor(float(V)).log())  # no weight: all as likely


@pytest.mark.parametrize("threads_each", [1, 2])
def test_each_replica_computes_on_its_own_threads(threads_each: int) -> None:
    """Whatever the process has when a thread first computes."""

    def count(engine: TrainingEngine, shard: Batch) -> tuple[Tensor, Tensor]:
        loss, _ = loss_of(engine, shard)
        return loss, torch.tensor(torch.get_num_threads())

    before = torch.get_num_threads()
    replicas = Replicas(engine_of(model_with()), n_replicas=2, threads_each=threads_each)
    both = threading.Barrier(2, timeout=20)
    list(replicas.map(lambda _: both.wait(), range(2)))  # both threads have begun
    torch.set_num_threads(3)
    try:
        _, total = replicas.forward_backward(a_batch(), count)
    finally:
        replicas.close()
        torch.set_num_threads(before)
    assert total == 2 * threads_each


def test_a_failure_in_a_replica_is_raised() -> None:
    def fail(engine: TrainingEngine, shard: Batch) -> tuple[Tensor, Tensor]:
        raise ZeroDivisionError

    replicas = Replicas(engine_of(model_with()), n_replicas=2)
    with pytest.raises(ZeroDivisionError):
        replicas.forward_backward(a_batch(), fail)
    replicas.close()


def test_shards_are_all_rows_in_order_and_shed_padding() -> None:
    batch = a_batch(9)
    for n in (1, 2, 4, 9, 50):
        shards = batch.shards(n)
        assert 1 <= len(shards) <= n
        rows = [row[row != PAD].tolist() for shard in shards for row in shard.source_ids]
        assert rows == [row[row != PAD].tolist() for row in batch.source_ids]
        assert sum(int((shard.target_out != PAD).sum()) for shard in shards) == batch.n_step_tokens
        for shard in shards:
            assert (shard.source_ids != PAD).any(0).all()
            assert (shard.target_out != PAD).any(0).all()
            assert shard.target_in.shape == shard.target_out.shape
    half, other = batch.shards(2)
    sizes = [
        int((shard.source_ids != PAD).sum() + (shard.target_out != PAD).sum()) for shard in (half, other)
    ]
    assert max(sizes) < 0.7 * sum(sizes)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.slow
def test_training_with_two_replicas_learns_as_with_one(tiny_config: Callable[..., Config]) -> None:
    options = ("model.dropout=0", "train.max_steps=8", "hardware.precision=32-true", "train.ema_decay=null")
    weights = []
    for name, more in (("one", ()), ("two", ()), ("other", ("train.learning_rate=1e-4",))):
        config = tiny_config(
            *options, f"hardware.replicas={2 if name == 'two' else 1}", f"run.name={name}", *more
        )
        folder = train(config, name="tiny")
        assert folder is not None
        state = load_model_folder(folder).model.state_dict()
        weights.append(torch.cat([value.flatten() for value in state.values()]))
    one, two, other = weights
    # By norm: Adam makes whole steps of the rounding errors where a gradient is zero (biases of keys).
    assert (one - two).norm() < 0.01 * (one - other).norm()
