"""With accumulation or several ranks the gradient is that of the mean over all real target tokens.

Accumulated steps go through the real Trainer; what they are compared with is PyTorch's own cross-entropy on
all pairs at once. The batches are of unequal token counts, so a mean of means is another gradient.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import Precision
from phrases import command, environment
from torch import Tensor
from torch.nn import functional as F

from translator.building import build_model
from translator.config import Config
from translator.data.batching import Batch, BatchStream, make_batch
from translator.data.preparation import Prepared, prepare
from translator.engine.ops import Ops
from translator.engine.training import TrainingEngine
from translator.symbols import EOS, PAD
from translator.training import data as training_data
from translator.training.checkpoint import read_checkpoint
from translator.training.module import TranslationModule
from translator.training.run import train
from translator.translation.film import FILM

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]
Gradients = dict[str, Tensor]

ONE_STEP = (
    "model.dropout=0",
    "train.max_steps=1",
    "train.clip_norm=null",
    "train.ema_decay=null",
    "validation.n_samples=0",
    "data.files={train: 'train.{lang}', val: 'val.{lang}'}",
)


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> Gradients:
    """What the optimiser gets at the last step of whatever trains in this test."""
    seen: Gradients = {}

    def note(module: TranslationModule, optimizer: Any) -> None:
        seen.clear()
        seen.update({name: parameter.grad.clone() for name, parameter in module.model.named_parameters()})

    monkeypatch.setattr(TranslationModule, "on_before_optimizer_step", note)
    return seen


def first_batches(config: Config, prepared: Prepared, n: int) -> list[Batch]:
    stream = BatchStream(prepared.train, partial(prepared.plan, config.train))
    return [batch for batch, _ in zip(stream, range(n), strict=False)]


def merged(batches: Iterable[Batch]) -> Batch:
    """All pairs of some batches as one."""
    sources, targets = [], []
    for batch in batches:
        sources += [[i for i in row if i not in (PAD, EOS)] for row in batch.source_ids.tolist()]
        targets += [[i for i in row if i not in (PAD, EOS)] for row in batch.target_out.tolist()]
    return make_batch(sources, targets)


def fresh_module(config: Config, prepared: Prepared) -> TranslationModule:
    """The module that `train` begins with."""
    torch.manual_seed(config.train.seed)
    return TranslationModule(build_model(config.model, len(prepared.tokenizer)), config)


def module_of_rank(config: Config, prepared: Prepared, *, n_ranks: int) -> TranslationModule:
    """The same in a training of so many processes that has begun."""
    module = fresh_module(config, prepared)
    module._trainer = SimpleNamespace(world_size=n_ranks, precision_plugin=Precision())  # type: ignore[assignment]
    module._engine = TrainingEngine(module.model, Ops())
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    return module


def reference(config: Config, prepared: Prepared, batch: Batch) -> Gradients:
    """The gradient of the mean over all real target tokens, without any of our training code."""
    model = fresh_module(config, prepared).model
    logits = model(batch.source_ids, batch.target_in)
    F.cross_entropy(
        logits.flatten(0, 1), batch.target_out.flatten(), ignore_index=PAD, label_smoothing=0.1
    ).backward()
    return {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }


def distance(ours: Gradients, theirs: Gradients) -> float:
    """The greatest difference between two gradients, as a share of the greatest value."""
    assert ours.keys() == theirs.keys()
    scale = max(float(gradient.abs().max()) for gradient in theirs.values())
    return max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) / scale


@pytest.mark.slow
def test_four_batches_accumulated_are_four_at_once(
    tiny_config: MakeConfig, gradients: Gradients, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(*ONE_STEP, "train.accumulate=4", "run.name=accumulated")
    prepared = prepare(config)
    batches = first_batches(config, prepared, 4)
    counts = [batch.n_step_tokens for batch in batches]
    assert max(counts) > 1.5 * min(counts)
    expected = reference(config, prepared, merged(batches))

    train(config, name="tiny")
    accumulated = dict(gradients)
    assert distance(accumulated, expected) < 1e-5

    class AllAtOnce(BatchStream):
        def __iter__(self) -> Any:
            while True:
                yield merged(batches)

    monkeypatch.setattr(training_data, "BatchStream", AllAtOnce)
    train(tiny_config(*ONE_STEP, "run.name=at-once"), name="tiny")
    assert distance(gradients, expected) < 1e-5
    assert distance(gradients, accumulated) < 1e-5


def test_control_a_mean_of_means_is_another_gradient(
    tiny_config: MakeConfig, gradients: Gradients, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(*ONE_STEP, "train.accumulate=4")
    prepared = prepare(config)
    expected = reference(config, prepared, merged(first_batches(config, prepared, 4)))
    ours = TranslationModule.training_step

    def mean_of_this_batch(module: TranslationModule, batch: Batch, batch_idx: int) -> Tensor:
        own_tokens = int((batch.target_out != PAD).sum())
        return ours(module, batch, batch_idx) * batch.n_step_tokens / own_tokens / config.train.accumulate

    monkeypatch.setattr(TranslationModule, "training_step", mean_of_this_batch)
    train(config, name="tiny")
    assert distance(gradients, expected) > 1e-3


def test_a_step_computes_on_real_tokens_only(tiny_config: MakeConfig) -> None:
    config = tiny_config(*ONE_STEP)
    module = module_of_rank(config, prepare(config), n_ranks=1)
    seen: dict[str, int] = {}
    for name in ("encoder", "decoder"):
        inner = getattr(module.model, name).layers[0].feed_forward.inner
        inner.register_forward_hook(
            lambda _, inputs, __, name=name: seen.update({name: inputs[0].numel() // inputs[0].size(-1)})
        )
    batch = make_batch([[5] * 20, [6], [6], [6], [6]], [[7], [8] * 30, [7], [7], [7]])
    module.training_step(batch, 0)
    assert seen == {"encoder": 30, "decoder": 40}  # 29 and 39 tokens, and rows up to a round number
    module.model(batch.source_ids, batch.target_in)
    assert seen == {"encoder": 105, "decoder": 155}  # control: with padding


def gradient_of_ranks(config: Config, prepared: Prepared, n_ranks: int, *, broken: bool = False) -> Gradients:
    """The gradient as `n_ranks` processes compute it: each sums its own, DDP averages them."""
    sums: Gradients = {}
    for rank in range(n_ranks):
        module = module_of_rank(config, prepared, n_ranks=1 if broken else n_ranks)
        stream = BatchStream(
            prepared.train,
            partial(prepared.plan, config.train),
            accumulate=config.train.accumulate,
            rank=rank,
            n_ranks=n_ranks,
        )
        for batch, index in zip(stream, range(config.train.accumulate), strict=False):
            (module.training_step(batch, index) / config.train.accumulate).backward()
        for name, parameter in module.model.named_parameters():
            assert parameter.grad is not None
            sums[name] = sums.get(name, torch.zeros(())) + parameter.grad / n_ranks
    return sums


@pytest.mark.parametrize(("n_ranks", "accumulate"), [(2, 2), (4, 1)])
def test_ranks_averaged_are_all_batches_at_once(
    tiny_config: MakeConfig, n_ranks: int, accumulate: int
) -> None:
    config = tiny_config(*ONE_STEP, f"train.accumulate={accumulate}")
    prepared = prepare(config)
    expected = reference(config, prepared, merged(first_batches(config, prepared, 4)))
    assert distance(gradient_of_ranks(config, prepared, n_ranks), expected) < 1e-5
    # Control: a module that does not know of the other ranks.
    assert distance(gradient_of_ranks(config, prepared, n_ranks, broken=True), expected) > 1e-3


#: A command line whose processes all train on the batches of the first, or one of which kills itself.
BROKEN = """
import os, sys
from translator import cli
from translator.training import data
from translator.training.module import TranslationModule

class SameForAll(data.BatchStream):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **{**options, "rank": 0})

record_step = TranslationModule.record_step
def die_in_step_6(module, batch):
    record_step(module, batch)
    if (module.progress.steps, module.global_rank) == (6, 1):  # after an odd number of steps
        os.kill(os.getpid(), int(sys.argv[1]))

if sys.argv[1] == "same":
    data.BatchStream = SameForAll
else:
    TranslationModule.record_step = die_in_step_6
cli.main(sys.argv[2:])
"""


@pytest.mark.slow
def test_two_processes_train_as_one_does(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """Through Lightning's own launcher: the same loss after each step and the same weights at the end.

    In float64 with Muon, noise and BPE-dropout, and with a process that is killed and a run that is resumed
    on one process.
    """
    config, path = tiny_config(), tmp_path / "tiny.yaml"
    options = (
        *("model.dropout=0", "train.max_steps=8", "validation.every_steps=1", "train.ema_decay=0.9"),
        *("hardware.precision=64-true", "train.optimizer=muon", "tokenizer.dropout=0.1"),
        *("data.noise={accents: 0.3, upper: 0.3, final: 0.3}", "train.checkpoint_minutes=1e-9"),
    )
    (tmp_path / "broken.py").write_text(BROKEN)
    broken = [sys.executable, str(tmp_path / "broken.py")]
    two = ["train", str(path), "hardware.devices=2", "hardware.strategy=ddp", *options]
    both = run_process([*command(*two), "run.name=both"])
    same = run_process([*broken, "same", *two, "run.name=broken"])
    for ran in (both, same):
        assert ran.returncode == 0, ran.stderr.decode()

    killed = run_process([*broken, str(int(signal.SIGKILL)), *two, "run.name=resumed"])
    assert killed.returncode == 1
    error = re.escape("ended; its own output may say why. To go on from the last checkpoint, start all")
    [message] = [line for line in killed.stderr.decode().splitlines() if "rror" in line]
    assert re.fullmatch(rf"error: process 1 of 2 \(pid \d+ on .*\) {error} .* --resume", message)

    train(tiny_config(*options, "run.name=resumed"), name="tiny", resume=True)
    train(tiny_config(*options, "run.name=one", "train.accumulate=2"), name="tiny")
    train(tiny_config(*options, "run.name=half"), name="tiny")
    names = ("both", "broken", "one", "half", "resumed")
    curves = {name: loss_curve(Path(config.run.root) / name) for name in names}
    weights = {name: flat_weights(Path(config.run.root) / name) for name in names}
    assert len(curves["one"]) == 8
    assert curves["one"][-1] < curves["one"][0] - 0.1
    torch.testing.assert_close(curves["both"], curves["one"], rtol=0, atol=1e-5)
    for same in ("both", "resumed"):
        torch.testing.assert_close(weights[same], weights["one"], rtol=0, atol=1e-10)
    assert weights["one"].dtype == torch.float64
    for control in ("half", "broken"):  # half the batches a step; the same batches on both processes
        assert (curves[control] - curves["one"]).abs().max() > 1e-3, control
        assert (weights[control] - weights["one"]).abs().max() > 1e-4, control
    assert not list(Path(config.run.root).glob("both-*")), "one folder for both"
    films = [
        json.loads((Path(config.run.root) / name / FILM).read_text()) for name in ("one", "both", "resumed")
    ]
    texts = [[(m["step"], [t["text"] for t in m["translations"]]) for m in film["moments"]] for film in films]
    assert [step for step, _ in texts[0]] == [0, 1, 2, 3, 5, 7, 8]
    assert texts == texts[:1] * 3


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others_in_time(tiny_config: MakeConfig, tmp_path: Path) -> None:
    tiny_config()
    (tmp_path / "broken.py").write_text(BROKEN)
    hangs = [sys.executable, str(tmp_path / "broken.py"), str(int(signal.SIGSTOP)), "train"]
    options = ("hardware.devices=2", "hardware.timeout_seconds=2", "train.max_steps=8")
    process = subprocess.Popen(
        [*hangs, str(tmp_path / "tiny.yaml"), *options],
        env=environment(),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    try:
        message = next(line for line in process.stderr if line.startswith(b"error: ")).decode()
        assert "no answer within hardware.timeout_seconds=2. To go on" in message
        assert process.wait(60) == 1
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stderr.close()


def run_process(line: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(line, env=environment(), capture_output=True, timeout=250, check=False)


def loss_curve(run: Path) -> Tensor:
    """The validation loss after each validation of a run."""
    with (run / "logs" / "version_0" / "metrics.csv").open(newline="") as file:
        return torch.tensor([float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]])


def flat_weights(run: Path) -> Tensor:
    """The averaged weights of a run after its last step but one, when it saved for the last time."""
    weights = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    return torch.cat([value.flatten() for value in weights.values()])
