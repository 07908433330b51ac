"""A run that starts from a model: its first weights, frozen parts, what it records, and resuming."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from translator.building import build_model
from translator.config import Config
from translator.data.batching import Batch, make_batch
from translator.data.preparation import prepare
from translator.engine.backend import training_engine
from translator.engine.replicas import Replicas
from translator.engine.training import TrainingEngine
from translator.errors import ConfigError, TrainingError
from translator.files import sha256
from translator.model_folder import MANIFEST, TOKENIZER, WEIGHTS, save_weights, write_manifest
from translator.training.module import TranslationModule
from translator.training.run import train

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]
Weights = dict[str, Tensor]

QUICK = (
    "data.files={train: 'train.{lang}', val: 'val.{lang}'}",
    "model.dropout=0.1",
    "train.max_steps=4",
    "validation.every_steps=2",
    "validation.n_samples=0",
)


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)


@pytest.fixture
def base(tiny_config: MakeConfig, tmp_path: Path) -> Path:
    """The model folder of an untrained model, whose vocabulary is not the one a run would build itself."""
    config, folder = tiny_config("tokenizer.sample_sentences=30"), tmp_path / "base"
    tokenizer = prepare(config).tokenizer
    torch.manual_seed(5)
    model = build_model(tiny_config().model, len(tokenizer))
    save_weights(folder, model.state_dict(), tokenizer, tiny_config())
    write_manifest(folder, {})
    return folder


def weights(folder: Path | None) -> Weights:
    assert folder is not None
    return safetensors.torch.load_file(folder / WEIGHTS)


def test_training_starts_with_the_weights_and_the_vocabulary_of_the_model(
    tiny_config: MakeConfig, base: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    still = (*QUICK, "train.learning_rate=1e-9", "train.embedding_init=counts")
    found = train(tiny_config(*still, f"train.init_from={base}"), name="tiny")
    assert found is not None
    for name, tensor in weights(base).items():
        torch.testing.assert_close(weights(found)[name], tensor, rtol=0, atol=1e-6)
    assert (found / TOKENIZER).read_bytes() == (base / TOKENIZER).read_bytes()
    said = capfd.readouterr().err
    assert f"initial weights: {base}; learning rate at most 0.25 · 1e-09\n" in said
    assert "vocabulary: fr: " in said
    afresh = train(tiny_config(*still), name="tiny")  # the control
    assert afresh is not None
    difference = weights(afresh)["embedding.weight"] - weights(base)["embedding.weight"]
    assert difference.abs().max() > 0.1
    assert (afresh / TOKENIZER).read_bytes() != (base / TOKENIZER).read_bytes()
    assert "initial weights" not in capfd.readouterr().err


def test_the_manifest_records_the_model_its_score_and_the_fit_of_its_vocabulary(
    tiny_config: MakeConfig, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_test = (*QUICK[1:], "search.max_length_offset=2", "search.max_length_ratio=0.1")
    found = train(tiny_config(*with_test, f"train.init_from={base}"), name="tiny")
    assert found is not None
    manifest = json.loads((found / MANIFEST).read_text())
    assert manifest["initial_model"]["folder"] == str(base)
    assert manifest["initial_model"]["sha256"][WEIGHTS] == sha256(base / WEIGHTS)
    assert manifest["vocabulary_fit"]["source"]["pieces_per_word"] > 1
    assert {*manifest["scores"]} == {"test", "test_before"}
    score = manifest["scores"]["test_before"]["bleu"]["score"]
    assert f"before, with {base}: BLEU {score:.2f}\n" in capsys.readouterr().out
    afresh = train(tiny_config(*with_test), name="tiny")
    assert afresh is not None
    control = json.loads((afresh / MANIFEST).read_text())
    assert (control["initial_model"], {*control["scores"]}) == (None, {"test"})
    assert "before, with" not in capsys.readouterr().out


def test_the_saved_weights_are_an_average_of_the_initial_and_the_trained_ones(
    tiny_config: MakeConfig, base: Path
) -> None:
    found = {
        fraction: weights(
            train(
                tiny_config(*QUICK, f"train.init_from={base}", f"train.init_average={fraction}"), name="tiny"
            )
        )
        for fraction in (0.0, 0.25)
    }
    for name, initial in weights(base).items():
        trained = found[0.0][name]
        assert not torch.equal(trained, initial)
        torch.testing.assert_close(found[0.25][name], 0.75 * trained + 0.25 * initial)


# -- frozen parts --------------------------------------------------------------------------------------

PARTS = {"encoder": "encoder.", "decoder": "decoder.", "embeddings": "embedding."}

#: Each has the optimiser, the backend, the number of replicas and the average.
SETTINGS = [
    ("adamw", "torch", 1, "null"),
    ("muon", "native", 2, "0.9"),
    ("muon", "torch", 1, "0.9"),
    ("adamw", "native", 2, "null"),
    ("adamw", "reference", 1, "0.9"),
]


@pytest.mark.parametrize("frozen", [["encoder"], ["decoder"], ["embeddings"], ["encoder", "embeddings"]])
@pytest.mark.parametrize(
    "settings", [pytest.param(s, marks=() if s == SETTINGS[1] else pytest.mark.slow) for s in SETTINGS]
)
def test_frozen_parts_stay_the_same_bit_for_bit(
    tiny_config: MakeConfig, base: Path, settings: tuple[str, str, int, str], frozen: list[str]
) -> None:
    optimizer, backend, replicas, average = settings
    config = tiny_config(
        *QUICK,
        f"train.init_from={base}",
        f"train.optimizer={optimizer}",
        f"hardware.backend={backend}",
        f"hardware.replicas={replicas}",
        f"train.ema_decay={average}",
        f"train.freeze={json.dumps(frozen)}",
    )
    before, after = weights(base), weights(train(config, name="tiny"))
    prefixes = tuple(PARTS[part] for part in frozen)
    for name, tensor in before.items():
        assert tensor.equal(after[name]) == name.startswith(prefixes), name


def test_all_parts_cannot_be_frozen(tiny_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"train.freeze names every part, so nothing would be trained"):
        tiny_config("train.freeze=[encoder, decoder, embeddings]")


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("frozen", ["encoder", "decoder", "embeddings"])
def test_other_gradients_do_not_change_when_a_part_is_frozen(
    tiny_config: MakeConfig, backend: str, frozen: str
) -> None:
    batch = make_batch([[5, 6, 7], [8, 9]], [[7, 5], [9, 6, 8, 4]])

    def gradients(*overrides: str) -> dict[str, Tensor | None]:
        torch.manual_seed(3)
        config = tiny_config(*QUICK, "model.dropout=0", *overrides)
        module = TranslationModule(build_model(config.model, 20), config)
        engine = training_engine(module.model, backend)
        assert isinstance(engine, TrainingEngine)
        replicas = Replicas(engine, n_replicas=2)
        loss, _ = replicas.forward_backward(batch, lambda engine, shard: engine.loss(shard, 0.1))
        loss.backward()
        replicas.close()
        return {name: parameter.grad for name, parameter in module.model.named_parameters()}

    whole, part = gradients(), gradients(f"train.freeze=[{frozen}]")
    for name, gradient in whole.items():
        assert gradient is not None
        ours = part[name]
        assert (ours is None) == name.startswith(PARTS[frozen])
        assert ours is None or ours.equal(gradient), name


# -- resuming ------------------------------------------------------------------------------------------


def stop_after(step: int, config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train until Ctrl-C is pressed during a step; return the run's folder."""
    account = TranslationModule.record_step

    def press(module: TranslationModule, batch: Batch) -> None:
        account(module, batch)
        if module.progress.steps == step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TranslationModule, "record_step", press)
        with pytest.raises(KeyboardInterrupt):
            train(config, name="stopped")
    return Path(config.run.root) / "stopped"


@pytest.mark.slow
@pytest.mark.parametrize("keeps_checkpoints", [True, False])
def test_resuming_does_not_need_the_model_and_is_bit_for_bit(
    tiny_config: MakeConfig, base: Path, monkeypatch: pytest.MonkeyPatch, keeps_checkpoints: bool
) -> None:
    config = tiny_config(*QUICK, f"train.init_from={base}", "train.optimizer=muon", "train.freeze=[encoder]")
    expected = train(config, name="whole")
    folder = stop_after(3, config, monkeypatch)
    shutil.rmtree(base)
    shutil.rmtree(config.data.cache)
    if not keeps_checkpoints:
        shutil.rmtree(folder / "checkpoints")
    resumed = train(config, name="stopped", resume=True)
    assert expected is not None
    assert resumed is not None
    assert (resumed / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()
    manifests = [json.loads((model / MANIFEST).read_text()) for model in (expected, resumed)]
    assert manifests[0]["initial_model"] == manifests[1]["initial_model"]


def test_a_run_is_resumed_from_what_it_was_started_from(
    tiny_config: MakeConfig, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_base = f"train.init_from={base}"
    stop_after(1, tiny_config(*QUICK, from_base), monkeypatch)
    with pytest.raises(
        TrainingError, match=r"stopped started from a model, and cannot be .* with no train\."
    ):
        train(tiny_config(*QUICK), name="stopped", resume=True)
    with pytest.raises(TrainingError, match=r"was trained with train.init_from='.*base', not '.*other'"):
        train(tiny_config(*QUICK, f"{from_base}/other"), name="stopped", resume=True)
    shutil.rmtree(Path(tiny_config().run.root))
    stop_after(1, tiny_config(*QUICK), monkeypatch)
    with pytest.raises(
        TrainingError, match=r"stopped did not start from a model, and cannot be resumed with"
    ):
        train(tiny_config(*QUICK, from_base), name="stopped", resume=True)
