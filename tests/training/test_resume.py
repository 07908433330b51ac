"""Killed or stopped and resumed is uninterrupted: the final weights are the same to the last bit."""

import csv
import fcntl
import hashlib
import os
import pty
import re
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Forked
from mixed import MIXED, write_other
from phrases import command, environment, write_phrases

from translator.config import Config
from translator.data.batching import Batch
from translator.engine import native_library
from translator.model_folder import MANIFEST, WEIGHTS
from translator.signals import ENDING
from translator.training.embedding_init import cooccurrence_embeddings
from translator.training.module import STATE, TranslationModule
from translator.training.run import train

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]

#: Everything with a state: dropout, accumulation, averaging, validations, several epochs.
STATEFUL = (
    "data.files={train: 'train.{lang}', val: 'val.{lang}'}",
    "model.dropout=0.2",
    "train.accumulate=2",
    "train.ema_decay=0.9",
    "train.max_steps=12",
    "validation.every_steps=4",
    "validation.n_samples=0",
)


@pytest.fixture(autouse=True)
def _rising_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each validation is better than the last, so that the final weights are those of the last step.

    There are no curves: drawing takes longer than training here.
    """
    step = [0]
    account = TranslationModule.record_step

    def note(module: TranslationModule, batch: Batch) -> None:
        account(module, batch)
        step[0] = module.progress.steps

    monkeypatch.setattr(TranslationModule, "record_step", note)
    monkeypatch.setattr("translator.training.validation.bleu", lambda texts, references: float(step[0]))
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)


def weights(model: Path | None) -> bytes:
    assert model is not None
    return (model / WEIGHTS).read_bytes()


def validations(folder: Path) -> list[tuple[str, str]]:
    """(step, loss) of each validation of a run, over all its sessions."""
    found = []
    for path in sorted(folder.glob("logs/version_*/metrics.csv")):
        with path.open(newline="") as file:
            found += [(row["step"], row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]
    return found


def stop_after(step: int, config: Config, monkeypatch: pytest.MonkeyPatch, *, name: str) -> Path:
    """Train until Ctrl-C is pressed during a step; return the run's folder."""
    account = TranslationModule.record_step

    def press(module: TranslationModule, batch: Batch) -> None:
        account(module, batch)
        if module.progress.steps == step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TranslationModule, "record_step", press)
        with pytest.raises(KeyboardInterrupt):
            train(config, name=name)
    folder = Path(config.run.root) / name
    assert not (folder / "model").exists()
    return folder


#: Overrides, and the steps to stop after: the first, the one before a validation, one with a validation, one
#: between two, the last but one.
VARIANTS = {
    "plain": ((), (4, 9)),
    "plain, at every kind of step": ((), (1, 3, 11)),
    "sampled pieces": (("tokenizer.dropout=0.2",), (4, 9)),
    "noise": (("data.noise={accents: 0.3, lower: 0.3, upper: 0.1}",), (4, 9)),
    "noise and sampled pieces": (("data.noise={final: 0.5}", "tokenizer.dropout=0.2"), (9,)),
    "muon": (("train.optimizer=muon",), (4, 9)),
    "no average": (("train.ema_decay=null", "train.accumulate=1"), (4, 9)),
    "counted embeddings": (("train.embedding_init=counts",), (4,)),
    "copies": (
        (
            "data.copies=0.3",
            "data.random_names=0.5",
            "train.attention_init=copying",
            "tokenizer.digits_per_piece=2",
        ),
        (4, 9),
    ),
    # The smaller source is repeated several times by step 12, and the epoch ends before.
    "two sources": ((*MIXED, "train.accumulate=4"), (4, 7, 9)),
    "two sources with noise and sampled pieces": (
        (*MIXED, "data.noise={accents: 0.3}", "tokenizer.dropout=0.2", "train.embedding_init=counts"),
        (9,),
    ),
}


@pytest.mark.parametrize(
    "variant",
    [pytest.param(name, marks=() if name == "plain" else pytest.mark.slow) for name in VARIANTS],
)
def test_stopped_anywhere_and_resumed_is_uninterrupted(
    tiny_config: MakeConfig, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    write_other(tiny_corpus)
    overrides, steps = VARIANTS[variant]
    config = tiny_config(*STATEFUL, *overrides)
    uninterrupted = train(config, name="whole")
    expected = weights(uninterrupted)
    expected_validations = validations(Path(config.run.root) / "whole")
    assert [step for step, _ in expected_validations] == ["3", "7", "11"]
    for step in steps:
        name = f"stopped-at-{step:02}"
        folder = stop_after(step, config, monkeypatch, name=name)
        saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)[STATE]["progress"]
        assert saved["steps"] == step
        assert weights(train(config, name=name, resume=True)) == expected, name
        assert validations(folder) == expected_validations, name


@pytest.mark.slow
def test_embeddings_are_counted_for_the_start_and_not_again(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[torch.Tensor] = []

    def count(*arguments: Any) -> torch.Tensor:
        counted.append(cooccurrence_embeddings(*arguments))
        return counted[-1]

    monkeypatch.setattr("translator.training.trainer.cooccurrence_embeddings", count)
    still = (*STATEFUL, "train.learning_rate=1e-9")
    config = tiny_config(*still, "train.embedding_init=counts")
    folder = stop_after(4, config, monkeypatch, name="counted")
    assert len(counted) == 1
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.allclose(saved["model.embedding.weight"], counted[0], atol=1e-6)
    train(config, name="counted", resume=True)
    train(tiny_config(*still), name="random")
    assert len(counted) == 1


@pytest.mark.slow
def test_several_stops_are_as_good_as_one(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(*STATEFUL)
    expected = weights(train(config, name="whole"))
    stop_after(2, config, monkeypatch, name="often")
    account = TranslationModule.record_step

    def press(module: TranslationModule, batch: Batch) -> None:
        account(module, batch)
        if module.progress.steps in (5, 8):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TranslationModule, "record_step", press)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(config, name="often", resume=True)
    assert weights(train(config, name="often", resume=True)) == expected
    assert len(list((Path(config.run.root) / "often" / "logs").iterdir())) == 4


@pytest.mark.slow
def test_a_run_that_was_moved_keeps_its_best(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scores = iter([9.0, 5.0, 7.0, 9.0, 5.0, 7.0])  # of two runs; the best comes before the stop
    monkeypatch.setattr("translator.training.validation.bleu", lambda texts, references: next(scores))
    config = tiny_config(*STATEFUL)
    expected = weights(train(config, name="whole"))
    stop_after(6, config, monkeypatch, name="stopped")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    moved = tiny_config(*STATEFUL, f"run.root={tmp_path}/elsewhere")
    assert weights(train(moved, name="stopped", resume=True)) == expected


def test_time_before_an_interruption_counts_and_the_pause_does_not(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 1
            return self.now

    clock = Clock()
    monkeypatch.setattr("translator.training.module.time", clock)
    minutes = ("train.max_steps=null", "train.max_minutes=0.2", "validation.every_steps=100")
    config = tiny_config(*STATEFUL, *minutes)
    stop_after(5, config, monkeypatch, name="stopped")
    clock.now += 1000
    train(config, name="stopped", resume=True)
    [(last_step, _)] = validations(Path(config.run.root) / "stopped")
    # 12 seconds, one a step; the look at the clock that begins the second session is not counted.
    assert int(last_step) + 1 == 12


@pytest.mark.slow
@pytest.mark.parametrize("change", [None, "hardware.backend=reference", "hardware.replicas=2"])
def test_resumed_with_another_backend_one_note_says_so(
    tiny_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str | None,
) -> None:
    """What was computed with one is not bit for bit what another would give."""
    before = (*STATEFUL, "hardware.backend=torch", "hardware.precision=32-true")
    stop_after(3, tiny_config(*before), monkeypatch, name="tiny")
    assert "bit for bit" not in capsys.readouterr().err
    train(tiny_config(*before, *([change] if change else [])), name="tiny", resume=True)
    notes = [line for line in capsys.readouterr().err.splitlines() if "bit for bit" in line]
    assert len(notes) == (change is not None)
    if change is not None:
        now = {"hardware.backend=reference": ("reference", 1), "hardware.replicas=2": ("torch", 2)}[change]
        assert "resumed with backend {}, precision 32-true, replicas {}, threads 1".format(*now) in notes[0]
        assert "after backend torch, precision 32-true, replicas 1, threads 1" in notes[0]


@pytest.mark.skipif(native_library.level() is None, reason="there are no C operations")
def test_resumed_where_the_library_has_gone_one_note_says_so(
    tiny_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The configuration is the same: what counts is what its `auto` came to."""
    config = tiny_config(
        *STATEFUL, "train.max_steps=4", "hardware.backend=auto", "hardware.precision=32-true"
    )
    stop_after(3, config, monkeypatch, name="tiny")
    capsys.readouterr()
    monkeypatch.setattr("translator.engine.native_library.FOLDER", tmp_path)  # no library there
    train(config, name="tiny", resume=True)
    [note] = [line for line in capsys.readouterr().err.splitlines() if "bit for bit" in line]
    assert "resumed with backend torch, precision 32-true, " in note
    assert " after backend native, precision 32-true, " in note


@pytest.mark.parametrize(
    ("record", "has_note"),
    [
        (lambda now: None, False),  # as in the checkpoints of before there was a record
        (lambda now: {name: now[name] for name in now if name != "hardware"}, False),
        (lambda now: now | {"hardware": "cpu other"}, True),
    ],
)
def test_what_computed_a_checkpoint_is_compared_as_far_as_it_is_known(
    tiny_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    record: Callable[[dict[str, Any]], dict[str, Any] | None],
    has_note: bool,
) -> None:
    save = TranslationModule.on_save_checkpoint

    def as_before(module: TranslationModule, checkpoint: dict[str, Any]) -> None:
        save(module, checkpoint)
        checkpoint[STATE]["computed_with"] = record(checkpoint[STATE]["computed_with"])

    with monkeypatch.context() as patch:
        patch.setattr(TranslationModule, "on_save_checkpoint", as_before)
        stop_after(3, tiny_config(*STATEFUL), monkeypatch, name="tiny")
    assert train(tiny_config(*STATEFUL), name="tiny", resume=True) is not None
    notes = [line for line in capsys.readouterr().err.splitlines() if "bit for bit" in line]
    assert len(notes) == has_note
    assert all(" after " in note and note.count("hardware cpu ") == 2 for note in notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("position", "optimiser")] + ["average"],
)
def test_control_a_changed_checkpoint_gives_other_weights(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    config = tiny_config(*STATEFUL)
    expected = weights(train(config, name="whole"))
    folder = stop_after(5, config, monkeypatch, name="stopped")
    last = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    if broken == "position":
        checkpoint[STATE]["position"][1] += 1
    elif broken == "optimiser":
        checkpoint["optimizer_states"][0]["state"][0]["exp_avg"] *= 0.9
    else:
        checkpoint["averaging_state"]["n_averaged"] -= 1
    torch.save(checkpoint, last)
    assert weights(train(config, name="stopped", resume=True)) != expected


# -- real signals to real processes --------------------------------------------------------------------


KILLABLE = (
    "model.dropout=0.2",
    "train.accumulate=2",
    "train.ema_decay=0.9",
    "train.max_steps=120",
    "train.checkpoint_minutes=0.01",
    "validation.every_steps=1000",
    "validation.n_samples=0",
)


def start(
    *arguments: str | Path, by: type[subprocess.Popen[bytes]] = Forked, **variables: str
) -> subprocess.Popen[bytes]:
    env = environment(**variables)
    return by(command(*arguments), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finished(*arguments: str | Path, by: type[subprocess.Popen[bytes]] = Forked) -> bytes:
    """Run a command to its end; return what it said."""
    with start(*arguments, by=by) as process:
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr.decode()
    return stderr


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < until
        time.sleep(0.03)  # to look takes time from the training


def epochs_at(checkpoint: Path) -> float:
    return float(torch.load(checkpoint, weights_only=True)[STATE]["progress"]["epochs"])


def first_step(stderr: bytes) -> int:
    found = re.search(r"^training +\d+%  .* step ([\d,]+) ", stderr.decode(), re.MULTILINE)
    assert found is not None, stderr.decode()
    return int(found.group(1).replace(",", ""))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "by"),
    [
        pytest.param(("tokenizer.dropout=0.1",), Forked, id="sampled pieces"),
        pytest.param(MIXED, subprocess.Popen, id="two sources, really started"),
    ],
)
def test_kill_9_between_two_checkpoints(
    tmp_path: Path, more: tuple[str, ...], by: type[subprocess.Popen[bytes]]
) -> None:
    path = write_phrases(tmp_path)
    write_other(tmp_path / "corpus")
    assert first_step(finished("train", path, *KILLABLE, *more, "run.name=whole", by=by)) == 1

    last = tmp_path / "runs" / "killed" / "checkpoints" / "last.ckpt"
    with start("train", path, *KILLABLE, *more, "run.name=killed", by=by) as process:
        # After a checkpoint in the middle of an epoch, and then for nearly half the 0.6 s to the next.
        wait_for(lambda: last.exists() and epochs_at(last) % 1 != 0, process)
        time.sleep(0.25)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    saved = torch.load(last, weights_only=True)[STATE]
    assert saved["progress"]["epochs"] % 1, "in the middle of an epoch"
    assert not (tmp_path / "runs" / "killed" / "model").exists()

    resumed = finished("train", path, *KILLABLE, *more, "run.name=killed", "--resume", by=by)
    assert first_step(resumed) == saved["progress"]["steps"] + 1 > 2
    ours, expected = (weights(tmp_path / "runs" / name / "model") for name in ("killed", "whole"))
    assert hashlib.sha256(ours).hexdigest() == hashlib.sha256(expected).hexdigest()


@pytest.mark.slow
def test_ctrl_c_saves_says_how_to_resume_and_exits_with_130(tmp_path: Path) -> None:
    path = write_phrases(tmp_path)
    finished("train", path, *KILLABLE, "run.name=whole")
    folder = tmp_path / "runs" / "stopped"
    last = folder / "checkpoints" / "last.ckpt"
    with start("train", path, *KILLABLE, "run.name=stopped", by=subprocess.Popen) as process:
        wait_for(last.exists, process)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr.decode()
    assert "Traceback" not in stderr.decode()
    [said] = [line for line in stderr.decode().splitlines() if line.startswith("stopped at step")]
    assert said.endswith("and saved; to resume, run the same command with --resume")
    stopped_at = int(re.search(r"step ([\d,]+)", said).group(1))  # type: ignore[union-attr]
    assert torch.load(last, weights_only=True)[STATE]["progress"]["steps"] == stopped_at
    assert not (folder / "model").exists()
    resumed = finished("train", path, *KILLABLE, "run.name=stopped", "--resume")
    assert first_step(resumed) == stopped_at + 1 > 2
    ours, expected = (weights(tmp_path / "runs" / name / "model") for name in ("stopped", "whole"))
    assert hashlib.sha256(ours).hexdigest() == hashlib.sha256(expected).hexdigest()


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    path = write_phrases(tmp_path)
    # Steps of half a minute's batches: the first Ctrl-C waits for the end of the step, the second does not.
    options = ("train.accumulate=100000", "run.name=stopped")
    with start("train", path, *options) as process:
        logs = tmp_path / "runs" / "stopped" / "logs"
        wait_for(lambda: logs.exists() and any(logs.rglob("*.tfevents.*")), process)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None, "the first asks for a stop between two steps"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr.decode()
    assert "Traceback" not in stderr.decode()
    assert "Ctrl-C again stops at once, without saving" in stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left", "by"),
    [
        ({}, Forked),
        (
            {"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
            subprocess.Popen,
        ),
    ],
    ids=["plain", "in a batch job of Slurm, really started"],
)
@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGHUP, "hung up")], ids=["TERM", "HUP"]
)
def test_what_ends_it_saves_says_how_to_resume_and_exits_with_143_or_129(
    tmp_path: Path, left: dict[str, str], by: type[subprocess.Popen[bytes]], number: int, word: str
) -> None:
    path = write_phrases(tmp_path)
    last = tmp_path / "runs" / "phrases" / "checkpoints" / "last.ckpt"
    arguments = ("train", path, *KILLABLE, "train.max_steps=100000", "train.checkpoint_minutes=0.01")
    with start(*arguments, by=by, **left) as process:
        wait_for(last.exists, process)
        time.sleep(0.3)
        for _ in range(2):  # some schedulers send it again
            process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    lines = stderr.decode().splitlines()
    assert process.returncode == 128 + number, stderr.decode()
    assert lines.count("stopping after this step …") == 1
    found = re.fullmatch(r"stopped at step ([\d,]+) and saved; to resume, run .* --resume", lines[-2])
    assert found is not None, stderr.decode()
    stopped_at = int(found.group(1).replace(",", ""))
    assert lines[-1] == f"error: {word}"
    assert torch.load(last, weights_only=True)[STATE]["progress"]["steps"] == stopped_at


@pytest.mark.slow
@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_terminal_that_closes_stops_it_saved_unless_that_is_ignored(
    tmp_path: Path, is_ignored: bool
) -> None:
    path = write_phrases(tmp_path)
    last = tmp_path / "runs" / "phrases" / "checkpoints" / "last.ckpt"
    n_steps = 60 if is_ignored else 150  # it is to end, or to go on for longer than until it is stopped
    options = (f"train.max_steps={n_steps}", "train.checkpoint_minutes=0.01", "validation.every_steps=50")
    end, terminal = pty.openpty()

    def sit_at_it() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        if is_ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with subprocess.Popen(
        command("train", path, *KILLABLE, *options),
        env=environment(),
        stdout=terminal,
        stderr=terminal,
        preexec_fn=sit_at_it,
    ) as process:
        os.close(terminal)
        while not last.exists():
            os.read(end, 10_000)  # else it would wait for its words to be read
        saved = last.stat().st_mtime_ns
        os.close(end)
        process.wait(100)
    assert process.returncode == (0 if is_ignored else 129)
    assert (last.parent.parent / "model" / MANIFEST).exists() is is_ignored
    if not is_ignored:
        assert last.stat().st_mtime_ns > saved
        finished("train", path, *KILLABLE, *options, "--resume")


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDING)
def test_what_ends_it_stops_between_two_steps_and_is_resumed_as_if_it_had_not(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    config = tiny_config(*STATEFUL)
    expected = weights(train(config, name="whole"))
    account = TranslationModule.record_step

    def terminate(module: TranslationModule, batch: Batch) -> None:
        account(module, batch)
        if module.progress.steps == 5:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(TranslationModule, "record_step", terminate)
        with pytest.raises(SystemExit) as stopped:
            train(config, name="stopped")
    assert stopped.value.code == 128 + number
    assert weights(train(config, name="stopped", resume=True)) == expected


@pytest.mark.parametrize("number", ENDING)
def test_one_that_is_ignored_stays_so(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    signal.signal(number, signal.SIG_IGN)
    account = TranslationModule.record_step

    def terminate(module: TranslationModule, batch: Batch) -> None:
        account(module, batch)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(TranslationModule, "record_step", terminate)
    assert train(tiny_config("train.max_steps=2"), name="tiny") is not None
    assert signal.getsignal(number) == signal.SIG_IGN


@pytest.mark.slow
@pytest.mark.parametrize(("pause", "by"), [(0.004, subprocess.Popen), (0.05, Forked)])
def test_many_presses_of_ctrl_c_show_no_traceback(
    tmp_path: Path, pause: float, by: type[subprocess.Popen[bytes]]
) -> None:
    path = write_phrases(tmp_path)
    last = tmp_path / "runs" / "phrases" / "checkpoints" / "last.ckpt"
    with start("train", path, *KILLABLE, "train.max_steps=100000", by=by) as process:
        wait_for(last.exists, process)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(pause)
        assert process.stderr is not None
        stderr = process.stderr.read().decode()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr
