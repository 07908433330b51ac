"""Muon against singular values, against PyTorch's own, and beside AdamW in one optimiser."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from translator.building import build_model
from translator.config import Config
from translator.engine.ops import Ops
from translator.engine.replicas import Replicas
from translator.engine.training import TrainingEngine
from translator.model.layers import LayerOptions
from translator.model.transformer import Transformer
from translator.training import muon
from translator.training.module import TranslationModule
from translator.training.muon import MOMENTUM, POLYNOMIALS, Muon, orthogonalize

pytest_plugins = ("trained",)

JORDAN = ((3.4445, -4.7750, 2.0315),) * 5
SHAPES = [(6, 6), (4, 9), (9, 4), (1, 7), (7, 1)]


def matrix_of(shape: tuple[int, int], values: Tensor, *, seed: int = 0) -> Tensor:
    """A matrix with given singular values."""
    draw = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(n, n, generator=draw, dtype=torch.float64)).Q[:, : len(values)]
        for n in shape
    )
    return (left * values) @ right.T


def polynomials(values: Tensor) -> Tensor:
    for a, b, c in POLYNOMIALS:
        values = a * values + b * values**3 + c * values**5
    return values


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonal_changes_singular_values_alone(shape: tuple[int, int]) -> None:
    values = torch.logspace(0, -2, min(shape), dtype=torch.float64)
    stack = torch.stack([matrix_of(shape, scale * values, seed=scale) for scale in (300, 5)])
    expected = [matrix_of(shape, polynomials(values / values.norm()), seed=scale) for scale in (300, 5)]
    torch.testing.assert_close(orthogonalize(stack, torch.float64), torch.stack(expected), rtol=0, atol=1e-9)


def test_singular_values_end_between_a_fifth_and_two() -> None:
    values = polynomials(torch.logspace(0, -2.8, 500, dtype=torch.float64))
    assert values.min() > 0.18
    assert values.max() < 1.9
    assert polynomials(torch.tensor(1e-4)) < 0.02  # control: what is far below them stays small


def test_orthogonal_of_nothing_is_nothing() -> None:
    assert orthogonalize(torch.zeros(2, 3, 5), torch.float32).equal(torch.zeros(2, 3, 5))


def test_in_bfloat16_it_is_nearly_the_same() -> None:
    matrix = matrix_of((40, 60), torch.logspace(0, -2, 40, dtype=torch.float64)).float()[None]
    exact = orthogonalize(matrix, torch.float32)
    narrow = orthogonalize(matrix, torch.bfloat16)
    assert narrow.dtype == torch.bfloat16
    assert 0.001 < (narrow - exact).norm() / exact.norm() < 0.03


def gradients(parameters: list[nn.Parameter], step: int) -> None:
    draw = torch.Generator().manual_seed(100 + step)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=draw)


def parameters(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(3)
    return [nn.Parameter(torch.randn(shape, generator=draw)) for shape in shapes]


def test_with_the_same_polynomials_it_is_pytorchs_muon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "POLYNOMIALS", JORDAN)
    monkeypatch.setattr(muon, "STEP", 0.2)
    ours, theirs = parameters(*SHAPES), parameters(*SHAPES)
    optimizer = Muon(ours, [], lr=0.1, weight_decay=0.3)
    reference = torch.optim.Muon(
        theirs, lr=0.1, weight_decay=0.3, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"
    )
    before = copy.deepcopy(ours)
    for step in range(4):
        gradients(ours, step)
        gradients(theirs, step)
        optimizer.step()
        reference.step()
    for mine, other, start in zip(ours, theirs, before, strict=True):
        # Theirs multiplies in bfloat16.
        assert (mine - other).norm() < 0.02 * (mine - start).norm()


def test_all_else_is_adamws_and_muons_gradients_are_used_up() -> None:
    options = {"lr": 0.01, "betas": (0.8, 0.9)}
    matrix, *others = parameters((4, 6), (5, 3), (7,))
    alone = copy.deepcopy(others)
    groups = [{"params": others[:1], "weight_decay": 0.2}, {"params": others[1:], "weight_decay": 0.0}]
    optimizer = Muon([matrix], groups, **options)
    reference = torch.optim.AdamW(
        [{"params": alone[:1], "weight_decay": 0.2}, {"params": alone[1:], "weight_decay": 0.0}],
        **options,  # type: ignore[arg-type]
    )
    start = matrix.detach().clone()
    for step in range(3):
        gradients([matrix, *others], step)
        for mine, other in zip(others, alone, strict=True):
            other.grad = mine.grad
        optimizer.step()
        reference.step()
        assert matrix.grad is None
    for mine, other in zip(others, alone, strict=True):
        assert mine.equal(other)
    assert not matrix.equal(start)
    moved = matrix.detach().clone()
    optimizer.step()  # without a gradient nothing moves that is Muon's
    assert matrix.equal(moved)


def test_matrices_of_a_shape_are_moved_together(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def record(matrices: Tensor, dtype: torch.dtype) -> Tensor:
        seen.append(tuple(matrices.shape))
        return orthogonalize(matrices, dtype)

    monkeypatch.setattr(muon, "orthogonalize", record)
    monkeypatch.setattr(muon, "BATCH_SIZE", 2)
    shapes = [(4, 6), (6, 4), (4, 6), (4, 6), (4, 4)]
    together, alone = parameters(*shapes), parameters(*shapes)
    for its, optimizers in (
        (together, [Muon(together, [], lr=0.1, product_dtype=torch.bfloat16)]),
        (alone, [Muon([matrix], [], lr=0.1, product_dtype=torch.bfloat16) for matrix in alone]),
    ):
        gradients(its, 0)
        for optimizer in optimizers:
            optimizer.step()
    assert seen[:4] == [(2, 4, 6), (1, 4, 6), (1, 6, 4), (1, 4, 4)]
    for one, other, start in zip(together, alone, parameters(*shapes), strict=True):
        assert (one - other).norm() < 0.02 * (one - start).norm()


def test_its_steps_are_as_long_for_every_shape() -> None:
    for shape in ((64, 64), (64, 256), (256, 64)):
        [matrix] = parameters(shape)
        start = matrix.detach().clone()
        optimizer = Muon([matrix], [], lr=0.01, weight_decay=0.0)
        gradients([matrix], 0)
        optimizer.step()
        assert float((matrix.detach() - start).square().mean().sqrt()) == pytest.approx(0.1 * 0.01, rel=0.35)


def test_a_restored_state_goes_on_as_the_first_would() -> None:
    ours = parameters((4, 6), (5,))
    optimizer = Muon(ours[:1], [{"params": ours[1:]}], lr=0.1)
    for step in range(2):
        gradients(ours, step)
        optimizer.step()
    again = copy.deepcopy(ours)
    restored = Muon(again[:1], [{"params": again[1:]}], lr=0.5)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each, its in ((optimizer, ours), (restored, again)):
        gradients(its, 7)
        each.step()
    for one, other in zip(ours, again, strict=True):
        assert one.equal(other)


@pytest.mark.usefixtures("one_thread")  # like each replica: with three or more, products are summed otherwise
def test_on_several_threads_it_is_the_same() -> None:
    shapes = [(8, 8), (8, 24), (24, 8)] * 5
    ours, other = parameters(*shapes), parameters(*shapes)
    model = Transformer(4, LayerOptions(2, 1, 2), n_encoder_layers=1, n_decoder_layers=1)
    replicas = Replicas(TrainingEngine(model, Ops()), n_replicas=3)
    for its, optimizer in (
        (ours, Muon(ours, [], lr=0.1)),
        (other, Muon(other, [], lr=0.1, map_function=replicas.map)),
    ):
        for step in range(3):
            gradients(its, step)
            optimizer.step()
    replicas.close()
    for one, two in zip(ours, other, strict=True):
        assert one.equal(two)


def test_it_takes_the_matrices_of_the_layers_and_nothing_else(tiny_config: Callable[..., Config]) -> None:
    config = tiny_config("train.optimizer=muon", "train.weight_decay=0.3", "train.adam_betas=[0.8, 0.95]")
    module = TranslationModule(build_model(config.model, 300), config)
    for precision, products in (("bf16-mixed", torch.bfloat16), ("32-true", torch.float32)):
        module._trainer = type("T", (), {"precision": precision})()  # type: ignore[assignment]
        optimizer = module.configure_optimizers()
        assert isinstance(optimizer, Muon)
        assert optimizer.product_dtype == products
    for_muon, matrices, vectors = optimizer.param_groups
    linear = [part.weight for part in module.modules() if isinstance(part, nn.Linear)]
    assert [id(p) for p in for_muon["params"]] == [id(p) for p in linear]
    assert [id(p) for p in matrices["params"]] == [id(module.model.embedding.weight)]
    assert {p.dim() for p in vectors["params"]} == {1}
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.3, 0.0]
    assert matrices["betas"] == (0.8, 0.95)
    n_all = len(list(module.parameters()))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == n_all


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("64-true", torch.float64), ("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)],
)
def test_products_have_the_precision_of_the_training(
    tiny_config: Callable[..., Config], precision: str, dtype: torch.dtype
) -> None:
    config = tiny_config("train.optimizer=muon")
    module = TranslationModule(build_model(config.model, 300), config)
    module._trainer = type("T", (), {"precision": precision})()  # type: ignore[assignment]
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, Muon)
    assert optimizer.product_dtype == dtype
