"""A run: where it is kept, when it ends, what it keeps, what it refuses."""

import csv
import gc
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from translator.config import Config
from translator.config.file import config_to_yaml, load_config
from translator.data.batching import Batch
from translator.errors import DataError, TrainingError
from translator.model_folder import MANIFEST, load_model_folder
from translator.training import finalize as finalize_module
from translator.training import module as training_module
from translator.training import run_dir as folder_module
from translator.training.callbacks import SaveForResuming
from translator.training.curves import plot_curves
from translator.training.module import STATE, TranslationModule
from translator.training.run import train
from translator.training.trainer import choose_precision
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]

#: Leaves out the scoring of a test split, where a test is not about it.
NO_TEST = "data.files={train: 'train.{lang}', val: 'val.{lang}'}"
QUICK = (NO_TEST, "validation.n_samples=0", "train.max_steps=4", "validation.every_steps=2")


def metrics(folder: Path) -> list[dict[str, str]]:
    rows = []
    for path in sorted(folder.glob("logs/version_*/metrics.csv")):
        with path.open(newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


def best_checkpoint(folder: Path) -> dict[str, Any]:
    return dict(torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True))


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than training here; see `test_curves.py`."""
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)


class FakeClock:
    """A second goes by with every look at it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_taken_name_gets_a_number_and_nothing_of_a_former_run_changes(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    folders = [train(tiny_config(*QUICK), name="tiny")]
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    folders += [train(tiny_config(*QUICK), name="tiny") for _ in range(2)]
    assert folders == [tmp_path / "runs" / name / "model" for name in ("tiny", "tiny-2", "tiny-3")]
    assert {path: path.read_bytes() for path in before} == before


def test_run_name_picks_another_name(tiny_config: MakeConfig, tmp_path: Path) -> None:
    assert train(tiny_config(*QUICK, "run.name=mine"), name="tiny") == tmp_path / "runs" / "mine" / "model"


def test_a_root_that_cannot_be_made_is_refused_in_one_line(tiny_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrainingError, match=r"file/tiny: cannot be created: Not a directory; set run.root"):
        train(tiny_config(*QUICK, f"run.root={tmp_path}/file"), name="tiny")


# -- what a run leaves ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/b", "..", "", "a\0b"])
def test_a_name_that_is_no_folders_is_refused(tiny_config: MakeConfig, name: str) -> None:
    config = tiny_config("train.max_steps=2")
    with pytest.raises(TrainingError, match="is not a folder name"):
        train(config, name=name)
    assert not Path(config.run.root).exists()


def test_a_torn_log_costs_the_curves_and_not_the_model(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def tear(logs: list[Path], picture: Path, *, name: str, test_bleu: float | None) -> bool:
        (picture.parent / "logs" / "version_abc").mkdir()
        logs[0].write_bytes(logs[0].read_bytes() + b'garb,"\n\xff\0')
        return plot_curves(logs, picture, name=name, test_bleu=test_bleu)

    monkeypatch.setattr(finalize_module, "plot_curves", tear)
    assert train(tiny_config("train.max_steps=2"), name="tiny") is not None
    assert "no curves.png: a metrics.csv below " in capfd.readouterr().err


def test_whoever_reads_the_scores_and_goes_leaves_a_whole_model(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("train.max_steps=2")

    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(finalize_module, "print", closed, raising=False)
    with pytest.raises(BrokenPipeError):
        train(config, name="tiny")
    Translator.load(Path(config.run.root) / "tiny" / "model")


def test_a_finished_run_has_all_its_files(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalize_module, "plot_curves", plot_curves)
    config = tiny_config()
    model = train(config, name="tiny")
    folder = tmp_path / "runs" / "tiny"
    assert model == folder / "model"
    assert load_config(folder / "config.yaml") == config
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert len((folder / "test.hypotheses.txt").read_text().split("\n")) == 4 + 1
    assert list(folder.glob("logs/version_0/events.out.tfevents.*"))
    assert not list(folder.rglob(".*")), "nothing half-written"
    rows = metrics(folder)
    assert set(rows[0]) == {
        "epoch",
        "step",
        "learning_rate",
        "train_loss",
        "tokens_per_second",
        "val_loss",
        "val_perplexity",
        "val_bleu",
    }
    assert [row["step"] for row in rows if row["val_bleu"]] == ["9", "19"]
    assert [row["step"] for row in rows if row["train_loss"]] == ["9", "19"]


def test_the_manifest_says_where_the_weights_come_from(tiny_config: MakeConfig) -> None:
    model = train(tiny_config("train.ema_decay=0.9"), name="tiny")
    assert model is not None
    manifest = json.loads((model / MANIFEST).read_text())
    best = best_checkpoint(model.parent)
    assert manifest["weights"]["of_step"] == best[STATE]["progress"]["steps"] in (10, 20)
    assert manifest["weights"]["averaged"] is True
    assert manifest["trained"] == best[STATE]["progress"]
    assert manifest["computed_with"] == best[STATE]["computed_with"]
    assert set(manifest["computed_with"]) == {"backend", "precision", "replicas", "threads", "hardware"}
    weights = load_model_folder(model).model.state_dict()
    for name, value in weights.items():
        torch.testing.assert_close(value, best["state_dict"][f"model.{name}"], rtol=0, atol=0)
    assert any(not torch.equal(best["current_model_state"][f"model.{n}"], v) for n, v in weights.items())
    assert set(manifest["data"]) == {f"{s}.{x}" for s in ("train", "val", "test") for x in ("fr", "en")}
    assert set(manifest["scores"]["test"]) >= {"bleu", "chrf", "ter", "copy_baseline_bleu", "n_lines"}
    assert set(manifest["scores"]["test"]["bleu"]) == {"score", "low", "high", "signature"}


def test_the_validation_with_the_best_bleu_gives_the_weights(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([3.0, 8.0, 8.0, 5.0])
    monkeypatch.setattr("translator.training.validation.bleu", lambda texts, references: next(scores))
    model = train(
        tiny_config(*QUICK, "train.max_steps=8", "validation.every_steps=2"),
        name="tiny",
    )
    assert model is not None
    manifest = json.loads((model / MANIFEST).read_text())
    assert manifest["weights"] == {"of_step": 4, "averaged": True, "val_bleu": 8.0}


# -- when a run ends -----------------------------------------------------------------------------------


def test_a_budget_of_steps_ends_with_a_validation_and_a_rate_near_zero(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    train(tiny_config(NO_TEST, "train.max_steps=30", "validation.every_steps=1000"), name="tiny")
    rows = metrics(tmp_path / "runs" / "tiny")
    assert [row["step"] for row in rows if row["val_bleu"]] == ["29"]
    rates = [float(row["learning_rate"]) for row in rows if row["learning_rate"]]
    # Steps 10, 20 and 30 of 30: before, in and at the end of the last half.
    assert rates == pytest.approx([2e-3, 2e-3 * 11 / 15, 2e-3 / 15])


def test_a_budget_of_epochs_sees_each_pair_as_often(tiny_config: MakeConfig, tmp_path: Path) -> None:
    train(tiny_config(NO_TEST, "train.max_steps=null", "train.max_epochs=3"), name="tiny")
    progress = best_checkpoint(tmp_path / "runs" / "tiny")[STATE]["progress"]
    tokens = torch.load(next((tmp_path / "cache").glob("*/lengths.pt")), weights_only=True)[1].sum()
    last = [row for row in metrics(tmp_path / "runs" / "tiny") if row["val_bleu"]][-1]
    assert int(last["step"]) + 1 == 3 * round(progress["steps"] / progress["epochs"])
    assert progress["target_tokens"] == pytest.approx(float(tokens) * progress["epochs"], rel=0.1)


def test_a_budget_of_minutes_counts_the_wall_clock_validation_included(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(training_module, "time", clock)
    slow_bleu = 5.0

    def bleu(texts: list[str], references: list[str]) -> float:
        clock.now += slow_bleu
        return 0.0

    monkeypatch.setattr("translator.training.validation.bleu", bleu)
    minutes = ("train.max_steps=null", "train.max_minutes=0.5", "train.ema_decay=null")
    train(tiny_config(NO_TEST, "validation.every_steps=10", *minutes), name="tiny")
    steps = [int(row["step"]) + 1 for row in metrics(tmp_path / "runs" / "tiny") if row["val_bleu"]]
    # 30 seconds: a second a step; a validation takes 5 and one for the look at the clock after it. The
    # second validation ends at 32, so that nothing comes after it. Without validations it were 30 steps.
    assert steps == [10, 20]
    assert best_checkpoint(tmp_path / "runs" / "tiny")[STATE]["progress"]["seconds"] == 10.0


def test_real_minutes_end_a_run(tiny_config: MakeConfig, tmp_path: Path) -> None:
    options = ("train.max_steps=null", "train.max_minutes=0.01", "validation.every_steps=100000")
    train(tiny_config(NO_TEST, *options), name="tiny")
    seconds = best_checkpoint(tmp_path / "runs" / "tiny")[STATE]["progress"]["seconds"]
    assert 0.6 <= seconds < 2


@pytest.mark.slow
def test_patience_ends_a_run_early(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([1.0, 5.0, 4.0, 5.0, 3.0])
    monkeypatch.setattr("translator.training.validation.bleu", lambda texts, references: next(scores))
    options = ("train.max_steps=1000", "validation.every_steps=3", "validation.patience=2")
    train(tiny_config(NO_TEST, *options), name="tiny")
    steps = [row["step"] for row in metrics(tmp_path / "runs" / "tiny") if row["val_bleu"]]
    assert steps == ["2", "5", "8", "11"]  # two after the best without a better one; no fifth
    assert best_checkpoint(tmp_path / "runs" / "tiny")[STATE]["progress"]["steps"] == 6


def test_a_loss_that_is_no_number_ends_a_run_with_advice(tiny_config: MakeConfig) -> None:
    config = tiny_config(*QUICK, "train.learning_rate=1e30", "validation.beam_size=3")
    with pytest.raises(TrainingError, match=r"the loss became nan by step 2; lower train\.learning_rate"):
        train(config, name="tiny")


@pytest.mark.slow
def test_checkpoints_come_at_least_as_often_as_asked_and_never_at_the_end(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_module, "time", FakeClock())
    saved = []
    save = SaveForResuming._save_if_it_is_time

    def note(saver: SaveForResuming, trainer: Any, pl_module: Any) -> None:
        before = saver.path.stat().st_mtime_ns if saver.path.exists() else 0
        save(saver, trainer, pl_module)
        if saver.path.exists() and saver.path.stat().st_mtime_ns != before:
            saved.append(pl_module.progress.steps)

    monkeypatch.setattr(SaveForResuming, "_save_if_it_is_time", note)
    train(tiny_config(NO_TEST, "train.checkpoint_minutes=0.05"), name="tiny")
    # 3 seconds from the first step on; after step 10 a validation comes first, and a look at the clock more.
    assert saved == [4, 7, 10, 13, 16, 19]


# -- --resume ------------------------------------------------------------------------------------------


def unfinished(config: Config, name: str) -> Path:
    """A run that was killed before it had a checkpoint."""
    folder = folder_module.new_folder(Path(config.run.root), name)
    (folder / "config.yaml").write_text(config_to_yaml(config), encoding="utf-8")
    return folder


def test_nothing_to_resume_is_refused(tiny_config: MakeConfig, tmp_path: Path) -> None:
    config = tiny_config(*QUICK)
    with pytest.raises(TrainingError, match=r"runs/tiny: there is no run of that name; leave --resume out"):
        train(config, name="tiny", resume=True)
    assert not (tmp_path / "runs").exists()
    train(config, name="tiny")
    train(tiny_config(*QUICK, "run.name=tiny-er"), name="")
    with pytest.raises(TrainingError, match="every run of that name is finished"):
        train(config, name="tiny", resume=True)


@pytest.mark.slow
def test_the_newest_unfinished_run_of_that_name_goes_on(tiny_config: MakeConfig, tmp_path: Path) -> None:
    config = tiny_config(*QUICK)
    unfinished(config, "tiny")  # older
    newest = unfinished(config, "tiny")
    train(config, name="tiny")  # finished
    unfinished(config, "tiny-or-other")  # of another name
    assert train(config, name="tiny", resume=True) == newest / "model" == tmp_path / "runs/tiny-2/model"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["[a-z]*", "x+y", "a.b"])
def test_a_name_of_special_characters_is_only_itself(tiny_config: MakeConfig, name: str) -> None:
    config = tiny_config(*QUICK)
    folder = unfinished(config, name)
    unfinished(config, "axb")
    assert train(config, name=name, resume=True) == folder / "model"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.seed=2", r"was trained with train\.seed=1, not 2; resume it with the same configuration"),
        ("model.width=32", r"was trained with model\.width=16, not 32"),
        ("tokenizer.dropout=0.1", r"was trained with tokenizer\.dropout=0\.0, not 0\.1"),
        ("data.noise.upper=0.1", r"was trained with data\.noise=.*'upper': 0\.0.*, not .*'upper': 0\.1"),
        ("data.max_characters=50", r"was trained with data\.max_characters=1000, not 50"),
    ],
)
def test_another_training_is_not_resumed(tiny_config: MakeConfig, override: str, message: str) -> None:
    folder = unfinished(tiny_config(*QUICK), "tiny")
    before = (folder / "config.yaml").read_bytes()
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(*QUICK, override), name="tiny", resume=True)
    assert (folder / "config.yaml").read_bytes() == before


def test_a_run_from_before_the_input_map_goes_on_without_it(tiny_config: MakeConfig) -> None:
    folder = unfinished(tiny_config(*QUICK), "tiny")
    path = folder / "config.yaml"
    older = path.read_text(encoding="utf-8").replace("  input_map: 1\n", "")
    assert "input_map" not in older
    path.write_text(older, encoding="utf-8")
    with pytest.raises(TrainingError, match=r"was trained with data\.input_map=None, not 1"):
        train(tiny_config(*QUICK), name="tiny", resume=True)
    assert train(tiny_config(*QUICK, "data.input_map=null"), name="tiny", resume=True) == folder / "model"
    assert load_model_folder(folder / "model").config.data.input_map is None


def test_budget_and_search_may_change_on_resuming(tiny_config: MakeConfig) -> None:
    folder = unfinished(tiny_config(*QUICK), "tiny")
    changed = tiny_config(*QUICK, "train.max_steps=6", "search.beam_size=4")
    assert train(changed, name="tiny", resume=True) == folder / "model"
    assert load_model_folder(folder / "model").config.search.beam_size == 4
    assert load_config(folder / "config.yaml") == changed


def test_a_damaged_checkpoint_is_refused_in_one_line(tiny_config: MakeConfig) -> None:
    folder = unfinished(tiny_config(*QUICK), "tiny")
    last = folder / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    torch.save({"state_dict": {}}, last)
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"last\.ckpt: damaged: .+; delete it to train from the start"):
        train(tiny_config(*QUICK), name="tiny", resume=True)
    last.unlink()
    assert train(tiny_config(*QUICK), name="tiny", resume=True) == folder / "model"


def test_a_checkpoint_that_would_run_code_is_refused(tiny_config: MakeConfig, tmp_path: Path) -> None:
    folder = unfinished(tiny_config(*QUICK), "tiny")
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": {}, "x": Touch(str(tmp_path / "touched"))}, folder / "checkpoints/last.ckpt")
    with pytest.raises(TrainingError, match=r"last\.ckpt: damaged"):
        train(tiny_config(*QUICK), name="tiny", resume=True)
    assert not (tmp_path / "touched").exists()
    torch.load(folder / "checkpoints/last.ckpt", weights_only=False)  # control: unpickled, it does
    assert (tmp_path / "touched").exists()


class Touch:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.path,)


# -- hardware ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hardware.accelerator=abacus", "hardware: .*abacus"),
        ("hardware.strategy=none-such", "hardware: .*none-such"),
        ("hardware.strategy=deepspeed", "hardware: .*(D|d)eep(S|s)peed"),
    ],
)
def test_hardware_that_is_not_there_is_refused_before_anything_is_written(
    tiny_config: MakeConfig, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(*QUICK, override), name="tiny")
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("wanted", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_precision_that_was_asked_for_is_taken(wanted: str) -> None:
    assert choose_precision(wanted, "cpu") == wanted


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": True}, "bf16-mixed"),
        ({"avx2": True, "amx_bf16": True}, "bf16-mixed"),
        ({"avx2": True, "avx512_bf16": False}, "32-true"),
        ({"architecture": "x86_64"}, "32-true"),
    ],
)
def test_auto_precision_on_a_cpu_is_what_it_multiplies_itself(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision("auto", "cpu") == expected


def test_auto_precision_where_torch_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", "cpu") == "32-true"


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_precision_on_a_gpu(monkeypatch: pytest.MonkeyPatch, has_bf16: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    assert choose_precision("auto", "gpu") == choose_precision("auto", "auto") == expected


def test_what_was_there_before_training_is_not_searched_for_garbage(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[int] = []
    account = TranslationModule.record_step

    def count(module: TranslationModule, batch: Batch) -> None:
        account(module, batch)
        frozen.append(gc.get_freeze_count())

    monkeypatch.setattr(TranslationModule, "record_step", count)
    train(tiny_config(*QUICK), name="tiny")
    assert min(frozen) > 10_000
    assert gc.get_freeze_count() == 0


@pytest.mark.slow
def test_bfloat16_trains_too(tiny_config: MakeConfig) -> None:
    model = train(tiny_config(*QUICK, "hardware.precision=bf16-mixed"), name="tiny")
    assert model is not None
    assert {value.dtype for value in load_model_folder(model).model.state_dict().values()} == {torch.float32}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains(tiny_config: MakeConfig) -> None:
    options = ("hardware.accelerator=gpu", "hardware.precision=auto", "train.ema_decay=0.9")
    model = train(tiny_config(*options), name="tiny")
    assert model is not None
    assert all(math.isfinite(float(row["val_loss"])) for row in metrics(model.parent) if row["val_loss"])


# -- data ----------------------------------------------------------------------------------------------


def test_data_without_a_validation_split_is_refused(tiny_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no `val` split; give data\.files\.val, or data\.held_out\.val"):
        train(tiny_config(*QUICK, "data.files={train: 'train.{lang}'}"), name="tiny")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_swapped_languages_train_the_other_direction_from_the_same_files(tiny_config: MakeConfig) -> None:
    model = train(
        tiny_config(*QUICK, "data.source_language=en", "data.target_language=fr"),
        name="tiny",
    )
    assert model is not None
    manifest = json.loads((model / MANIFEST).read_text())
    assert (manifest["source_language"], manifest["target_language"]) == ("en", "fr")


# -- what is said --------------------------------------------------------------------------------------


def test_validations_show_scores_and_samples_on_stderr(
    tiny_config: MakeConfig,
    tiny_corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("translator.training.callbacks.LINE_SECONDS", 0)
    train(tiny_config(*QUICK, "validation.n_samples=2"), name="tiny")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    [at] = [i for i, line in enumerate(lines) if line.startswith("step 2 after 0:0")]
    sources = (tiny_corpus / "val.fr").read_text(encoding="utf-8").splitlines()
    assert "validation loss" in lines[at]
    assert "perplexity" in lines[at]
    assert "BLEU" in lines[at]
    assert [line.strip() for line in lines[at + 1 : at + 7 : 3]] == [sources[0], sources[2]]
    assert all(line.startswith("  → ") for line in lines[at + 2 : at + 7 : 3])
    progress = [line for line in lines if " left · loss " in line]
    assert all(re.match(r"training +\d+%  \d+:\d\d left · ", line) for line in progress)
    # There is no speed yet at the first step and at the first after a validation.
    assert [line.endswith(" tokens/s") for line in progress] == [False, True, False, True]
    assert not any(" 0 tokens/s" in line for line in progress)
    assert lines[at - 1] == "validating"
    assert lines[-1].startswith("finished: ")


def test_tensorboard_gets_the_translations_of_each_validation(tiny_config: MakeConfig) -> None:
    model = train(tiny_config(*QUICK, "validation.n_samples=1"), name="tiny")
    assert model is not None
    events = EventAccumulator(str(model.parent / "logs" / "version_0"))
    events.Reload()
    found = events.Tensors("samples/text_summary")
    assert [event.step for event in found] == [2, 4]
    source, translation, reference = found[-1].tensor_proto.string_val[0].decode().splitlines()
    assert all(line.startswith("    ") for line in (source, translation, reference))  # shown as it is
    assert (translation.strip()[0], reference.strip()[0]) == ("→", "=")


def test_without_the_logging_extra_training_says_so_and_goes_on(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("tensorboard")

    monkeypatch.setattr("translator.training.trainer.TensorBoardLogger", missing)
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: False)
    model = train(tiny_config(*QUICK), name="tiny")
    assert model is not None
    assert metrics(model.parent)
    err = capsys.readouterr().err
    assert err.count("it needs pip install 'passerelle[logs]'") == 2


def test_the_module_does_not_need_a_trainer_to_be_made(tiny_config: MakeConfig) -> None:
    module = TranslationModule(SimpleNamespace(), tiny_config())  # type: ignore[arg-type]
    assert module.progress.steps == 0
