"""What computes a training: chosen by name, written down, the same numbers but for rounding."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from translator.config import Config
from translator.data.batching import make_batch
from translator.engine import native_library
from translator.engine.backend import choose_training_backend
from translator.engine.native import load_native
from translator.engine.native_decoding import NativeDecoder
from translator.engine.ops import Ops
from translator.engine.reference import ReferenceDecoding, ReferenceTraining
from translator.engine.torch_search import TorchDecoder
from translator.engine.training import TrainingEngine
from translator.errors import TrainingError
from translator.model.layers import LayerOptions
from translator.model.transformer import Transformer
from translator.model_folder import MANIFEST, load_model_folder
from translator.training.module import STATE, TranslationModule
from translator.training.run import train
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]

QUICK = (
    "data.files={train: 'train.{lang}', val: 'val.{lang}'}",
    "validation.n_samples=0",
    "train.max_steps=4",
    "validation.every_steps=2",
    "hardware.precision=32-true",
)
#: Wide enough for any CPU's registers, and nothing drawn.
PLAIN = ("model.width=32", "model.n_heads=2", "model.dropout=0", "train.ema_decay=null")

needs_c = pytest.mark.skipif(load_native() is None, reason="the C operations were not built")


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than training here."""
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """The engine and the loss of every step, as it goes on."""
    found: list[tuple[str, float]] = []
    training_step = TranslationModule.training_step

    def note(module: TranslationModule, *arguments: Any) -> Tensor:
        loss = training_step(module, *arguments)
        engine = module._engine
        kind = type(engine).__name__
        if isinstance(engine, TrainingEngine):
            kind = "torch" if engine.ops.native is None else "native"
        found.append((kind, loss.item()))
        return loss

    monkeypatch.setattr(TranslationModule, "training_step", note)
    return found


def test_without_a_library_training_goes_by_pytorch(
    tiny_config: MakeConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    seen: list[tuple[str, float]],
) -> None:
    monkeypatch.setattr(native_library, "FOLDER", tmp_path)
    with pytest.raises(TrainingError, match=r"hardware.backend=native: the C operations were not built, .*"):
        train(tiny_config(*QUICK, "hardware.backend=native"), name="tiny")
    assert not (tmp_path / "runs").exists()
    assert train(tiny_config(*QUICK), name="tiny").exists()
    assert {kind for kind, _ in seen} == {"torch"}
    [note] = [line for line in capsys.readouterr().err.splitlines() if "C operations" in line]
    assert (
        "training by PyTorch's operations, a fifth slower: the C operations were not built, because" in note
    )
    assert train(tiny_config(*QUICK, "hardware.backend=torch"), name="tiny").exists()
    assert "C operations" not in capsys.readouterr().err


def test_which_backend_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translator.engine.backend.problem", lambda: None)
    for wanted in ("auto", "native"):
        assert choose_training_backend(wanted, "cpu") == ("native", None)
        assert choose_training_backend(wanted, "cuda") == ("torch", None)
    monkeypatch.setattr("translator.engine.backend.problem", lambda: "no compiler")
    assert choose_training_backend("auto", "cpu") == ("torch", "no compiler")
    with pytest.raises(TrainingError, match=r"^hardware.backend=native: no compiler; .*=auto does without$"):
        choose_training_backend("native", "cpu")
    assert choose_training_backend("native", "cuda") == ("torch", None)  # where no compiler is needed
    assert choose_training_backend("torch", "cpu") == ("torch", None)
    for device in ("cpu", "cuda"):
        assert choose_training_backend("reference", device) == ("reference", None)


@pytest.mark.slow
@pytest.mark.parametrize("backend", [pytest.param("native", marks=needs_c), "reference"])
def test_the_backend_changes_rounding_alone(
    tiny_config: MakeConfig, seen: list[tuple[str, float]], backend: str
) -> None:
    weights, other = [], "train.learning_rate=1e-4"
    for name, more in ((backend, ()), ("torch", ()), ("another", (other,))):
        which = f"hardware.backend={backend if name == backend else 'torch'}"
        folder = train(tiny_config(*QUICK, *PLAIN, which, *more), name=name)
        assert folder is not None
        state = load_model_folder(folder).model.state_dict()
        weights.append(torch.cat([value.flatten() for value in state.values()]))
    n = len(seen) // 3
    ours, theirs = seen[:n], seen[n : 2 * n]
    assert {kind for kind, _ in ours} == {"native" if backend == "native" else ReferenceTraining.__name__}
    assert {kind for kind, _ in theirs} == {"torch"}
    assert [loss for _, loss in ours] == pytest.approx([loss for _, loss in theirs], rel=1e-4)
    # By norm: Adam makes whole steps of the rounding errors where a gradient is zero (biases of keys).
    one, two, control = weights
    assert (one - two).norm() < 0.01 * (one - control).norm()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ("hardware.backend=torch", "hardware.replicas=2", "hardware.threads=3"),
            {"backend": "torch", "precision": "32-true", "replicas": 2, "threads": 3},
        ),
        (
            ("hardware.backend=reference", "hardware.replicas=2"),  # which has no replicas
            {"backend": "reference", "precision": "32-true", "replicas": 1, "threads": 1},
        ),
    ],
)
def test_what_computed_is_in_checkpoint_and_manifest(
    tiny_config: MakeConfig, overrides: tuple[str, ...], expected: dict[str, Any]
) -> None:
    model = train(tiny_config(*QUICK, *overrides), name="tiny")
    assert model is not None
    expected["hardware"] = f"cpu {torch.backends.cpu.get_cpu_capability().lower()}"
    assert json.loads((model / MANIFEST).read_text())["computed_with"] == expected
    checkpoint = torch.load(model.parent / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint[STATE]["computed_with"] == expected


@needs_c
def test_a_training_that_begins_and_ends_changes_nothing_for_another_engine(tiny_config: MakeConfig) -> None:
    """Two trainings in one process, of different backends: no switch is between them."""
    torch.manual_seed(3)
    options = LayerOptions(32, 2, 48)
    model = Transformer(30, options, n_encoder_layers=1, n_decoder_layers=1)
    engine = TrainingEngine(model, Ops(load_native()))
    batch = make_batch([[5, 6, 7], [8]], [[9, 10], [11, 12, 13]])
    weights = list(model.parameters())
    expected = torch.autograd.grad(engine.loss(batch, 0.1)[0], weights)
    begun, _ = engine.loss(batch, 0.1)
    train(tiny_config(*QUICK, "hardware.backend=torch"), name="tiny")
    found = torch.autograd.grad(begun, weights)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    again = torch.autograd.grad(engine.loss(batch, 0.1)[0], weights)
    assert all(torch.equal(one, other) for one, other in zip(again, expected, strict=True))


@needs_c
def test_the_textbook_translates_the_same(trained: Any) -> None:
    sources = ["Ma sœur ne mange pas dans la maison.", "La reine.", "", "Un vieux chat attend l’enfant."]
    quick, reference = Translator.load(trained.model), Translator.load(trained.model, backend="reference")
    assert isinstance(reference.decoder, TorchDecoder)
    assert isinstance(reference.decoder.engine, ReferenceDecoding)
    assert isinstance(quick.decoder, NativeDecoder)
    for beam_size in (1, 4):
        ours = quick.translate(sources, beam_size=beam_size)
        theirs = reference.translate(sources, beam_size=beam_size)
        assert [one.text for one in ours] == [other.text for other in theirs]
        assert [one.score for one in ours] == pytest.approx([other.score for other in theirs], abs=1e-5)
