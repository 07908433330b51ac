"""A run whose files were damaged, whose data changed, or whose numbers went wrong: seen, said, survived."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from test_resume import STATEFUL, stop_after, weights

from translator.config import Config
from translator.data.batching import Batch
from translator.data.preparation import prepare
from translator.errors import TrainingError
from translator.training import run
from translator.training.callbacks import SaveForResuming
from translator.training.checkpoint import BEST, LAST, PREVIOUS, STATE, read_checkpoint
from translator.training.data_record import RECORD
from translator.training.finalize import finalize
from translator.training.module import TranslationModule
from translator.training.run import train

pytestmark = pytest.mark.usefixtures("one_thread")
pytest_plugins = ("trained",)

MakeConfig = Callable[..., Config]

#: A checkpoint at every step.
OFTEN = (*STATEFUL, "train.checkpoint_minutes=1e-9")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each validation is better than the last, and there are no curves."""
    score = iter(range(1000))
    monkeypatch.setattr("translator.training.validation.bleu", lambda texts, references: float(next(score)))
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)


def refusal(config: Config, name: str) -> str:
    with pytest.raises(TrainingError) as caught:
        train(config, name=name, resume=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def steps_of(checkpoint: Path) -> int:
    return int(read_checkpoint(checkpoint)[STATE]["progress"]["steps"])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# -- damage --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_a_damaged_checkpoint_a_run_goes_on_from_the_one_before(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(*OFTEN)
    expected = weights(train(config, name="whole"))
    folder = stop_after(7, config, monkeypatch, name="stopped")
    checkpoints = folder / "checkpoints"
    assert [steps_of(checkpoints / name) for name in (LAST, PREVIOUS)] == [7, 6]
    flip(checkpoints / LAST)
    capsys.readouterr()
    assert weights(train(config, name="stopped", resume=True)) == expected
    said = f"{LAST}: damaged: its SHA-256 is not the recorded one; resuming from {PREVIOUS}, of"
    assert f"{said} step 6\n" in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_best_checkpoint_is_replaced_by_the_best_from_there_on(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = iter([9.0, 5.0, 7.0])
    monkeypatch.setattr("translator.training.validation.bleu", lambda texts, references: next(scores))
    config = tiny_config(*STATEFUL)
    folder = stop_after(6, config, monkeypatch, name="stopped")
    flip(folder / "checkpoints" / BEST)
    model = train(config, name="stopped", resume=True)
    assert f"{BEST}: damaged: " in capsys.readouterr().err
    assert model is not None
    assert json.loads((model / "manifest.json").read_text())["weights"]["val_bleu"] == 7.0


@pytest.mark.slow
def test_a_best_checkpoint_that_is_damaged_at_the_end_is_no_model(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(*OFTEN)
    fit = run.fit

    def damaged(module: Any, data: Any, folder: Path, **options: Any) -> None:
        fit(module, data, folder, **options)
        flip(folder / "checkpoints" / BEST)

    with monkeypatch.context() as patch:
        patch.setattr(run, "fit", damaged)
        with pytest.raises(TrainingError, match=r"best\.ckpt: damaged: .*; the same command with --resume"):
            train(config, name="run")
    assert not (Path(config.run.root) / "run" / "model").exists()
    assert train(config, name="run", resume=True) is not None


@pytest.mark.parametrize(
    "missing", ["weight", *(pytest.param(name, marks=pytest.mark.slow) for name in ("progress", "shape"))]
)
def test_a_checkpoint_of_another_shape_is_refused_in_one_line(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    config = tiny_config(*STATEFUL)
    last = stop_after(3, config, monkeypatch, name="stopped") / "checkpoints" / LAST
    checkpoint = read_checkpoint(last)
    name = "model.embedding.weight"
    if missing == "weight":
        del checkpoint["state_dict"][name]
    elif missing == "shape":
        checkpoint["state_dict"][name] = checkpoint["state_dict"][name][:-1]
    else:
        del checkpoint[STATE]["position"]
    torch.save(checkpoint, last)
    said = refusal(config, "stopped")
    assert said.startswith(
        "the checkpoint to resume from does not fit; leave --resume out to start another run: "
    )
    assert ("position" if missing == "progress" else name) in said


def test_what_a_killed_run_left_half_written_is_removed(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(*STATEFUL)
    folder = stop_after(3, config, monkeypatch, name="stopped")
    (folder / "model").mkdir()
    left = ("config.yaml", f"checkpoints/{LAST}", f"checkpoints/{BEST}", "model/model.safetensors")
    for name in left:
        path = folder / name
        path.with_name(f".{path.name}-abcdefg1").write_bytes(b"half")
    (folder / ".notes-abcdefg1").write_bytes(b"mine")
    train(config, name="stopped", resume=True)
    assert [path.name for path in folder.rglob(".*")] == [".notes-abcdefg1"]


# -- other data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["train.fr", pytest.param("val.en", marks=pytest.mark.slow)])
def test_changed_data_is_named_and_refused(
    tiny_config: MakeConfig, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    config = tiny_config(*STATEFUL)
    folder = stop_after(3, config, monkeypatch, name="stopped")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    content = (tiny_corpus / file).read_bytes()
    (tiny_corpus / file).write_bytes(content.replace(b".", b"!", 1))
    hexadecimal = "[0-9a-f]{16}"
    assert re.fullmatch(
        rf"{folder} was started with other data: {file} was {hexadecimal} and is {hexadecimal}\. Restore "
        "the original data, or leave --resume out to start another run",
        refusal(config, "stopped"),
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (tiny_corpus / file).write_bytes(content)
    assert train(config, name="stopped", resume=True) == folder / "model"


def test_another_vocabulary_of_the_same_data_is_refused(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another version of SentencePiece might build it, where the cache was lost."""
    config = tiny_config(*STATEFUL)
    folder = stop_after(3, config, monkeypatch, name="stopped")
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**record, "vocabulary": "0" * 64}))
    assert f"other data: the vocabulary was {'0' * 16} and is {record['vocabulary'][:16]}." in refusal(
        config, "stopped"
    )


def test_a_damaged_record_is_refused(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(*STATEFUL)
    record = stop_after(3, config, monkeypatch, name="stopped") / RECORD
    for content in ("", "[]", '{"data": {}}', "[" * 100_000, '{"data": 1, "vocabulary": ""}'):
        record.write_text(content)
        assert refusal(config, "stopped") == (f"{record}: damaged; leave --resume out to start another run")


def test_a_run_from_before_the_record_goes_on_with_a_note_and_is_held_from_there(
    tiny_config: MakeConfig,
    tiny_corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tiny_config(*STATEFUL)
    folder = stop_after(3, config, monkeypatch, name="stopped")
    assert "from before runs recorded" not in capsys.readouterr().err
    (folder / RECORD).unlink()
    (tiny_corpus / "unused").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(run, "fit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(config, name="stopped", resume=True)
    said = f"{folder} is from before runs recorded their data; it is assumed to be the same"
    assert said in capsys.readouterr().err
    (tiny_corpus / "train.fr").write_bytes((tiny_corpus / "train.fr").read_bytes().upper())
    assert "train.fr was " in refusal(config, "stopped")


# -- numbers that are not finite -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", pytest.param("bf16-mixed", marks=pytest.mark.slow)])
@pytest.mark.parametrize("where", [pytest.param("weight", marks=pytest.mark.slow), "gradient"])
def test_the_last_good_checkpoint_survives_a_diverging_run(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, where: str, precision: str
) -> None:
    config = tiny_config(*OFTEN, "validation.every_steps=100", f"hardware.precision={precision}")
    expected = weights(train(config, name="whole"))
    step = TranslationModule.training_step

    def diverge(module: TranslationModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        loss = step(module, batch, batch_idx)
        if module.progress.steps != 5:
            return loss
        if where == "weight":
            module.model.embedding.weight.data[5, 0] = math.inf
        return loss * math.nan if where == "gradient" else loss

    with monkeypatch.context() as patch:
        patch.setattr(TranslationModule, "training_step", diverge)
        with pytest.raises(TrainingError) as caught:
            train(config, name="diverged")
    assert re.fullmatch(
        r"[\w.]+ has values that are not finite \(nan or inf\) by step 6; lower train\.learning_rate, raise "
        r"train\.warmup_steps, or set hardware\.precision=32-true, in another run\. Earlier checkpoints are "
        r"kept; of these three settings, --resume may change only the precision",
        str(caught.value),
    )
    checkpoints = Path(config.run.root) / "diverged" / "checkpoints"
    assert [steps_of(checkpoints / name) for name in (LAST, PREVIOUS)] == [5, 4]
    assert weights(train(config, name="diverged", resume=True)) == expected


@pytest.mark.parametrize("at", [4, 5])
def test_a_loss_that_is_no_number_replaces_no_good_checkpoint(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The weights are finite still; it is seen too where it was of an earlier step than the last."""
    config = tiny_config(*OFTEN, "validation.every_steps=100")
    shard_loss, save = TranslationModule._shard_loss, SaveForResuming._save_if_it_is_time

    def infinite(module: TranslationModule, *given: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        loss, nll = shard_loss(module, *given, **options)
        return loss + (math.inf if module.progress.steps == at else 0), nll

    def save_not_at_5(saver: SaveForResuming, trainer: Trainer, module: TranslationModule) -> None:
        if module.progress.steps != 5:
            save(saver, trainer, module)

    monkeypatch.setattr(TranslationModule, "_shard_loss", infinite)
    monkeypatch.setattr(SaveForResuming, "_save_if_it_is_time", save_not_at_5)
    with pytest.raises(TrainingError, match=r"^the loss became inf by step 6; lower train\.learning_rate, "):
        train(config, name="diverged")
    assert steps_of(Path(config.run.root) / "diverged" / "checkpoints" / LAST) == 4


def test_a_checkpoint_that_had_diverged_is_refused(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(*STATEFUL)
    last = stop_after(3, config, monkeypatch, name="stopped") / "checkpoints" / LAST
    checkpoint = read_checkpoint(last)
    checkpoint["current_model_state"]["model.embedding.weight"][0, 0] = math.nan
    torch.save(checkpoint, last)
    assert refusal(config, "stopped") == (
        f"{last}: current_model_state.model.embedding.weight has values that are not finite (nan or inf): "
        "the training had diverged; delete it to train from the start"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [LAST, BEST])
def test_a_checkpoint_of_another_run_is_refused(
    tiny_config: MakeConfig, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = tiny_config(*STATEFUL)
    theirs = stop_after(4, config, monkeypatch, name="theirs")
    (tiny_corpus / "train.fr").write_bytes(
        (tiny_corpus / "train.fr").read_bytes().replace(b"chat", b"cheval")
    )
    ours = stop_after(4, config, monkeypatch, name="ours")
    for kept in (LAST, PREVIOUS, BEST):
        (ours / "checkpoints" / kept).unlink(missing_ok=True)
    checkpoint = (theirs / "checkpoints" / LAST).read_bytes()
    (ours / "checkpoints" / name).write_bytes(checkpoint)
    if name == LAST:
        assert "written with another vocabulary" in refusal(config, "ours")
    else:
        with pytest.raises(TrainingError, match="written with another vocabulary"):
            finalize(config, prepare(config), ours, commit=None)
