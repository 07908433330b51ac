"""Test bed of scripts/faults.py: a small training run, the commands to disturb, and their outcomes."""

import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from translator.cli import main
from translator.data import phrasebook
from translator.errors import PasserelleError
from translator.files import sha256
from translator.model_folder import WEIGHTS
from translator.training.checkpoint import BEST, LAST, PREVIOUS

YAML = """
run: {{root: {root}/runs}}
data:
  format: text
  root: {root}/corpus
  files: {{train: "train.{{lang}}", val: "val.{{lang}}", test: "test.{{lang}}"}}
  cache: {root}/cache
tokenizer: {{vocabulary_size: 1000}}
model: {{width: 32, n_heads: 4, feed_forward: 64, n_encoder_layers: 1, n_decoder_layers: 1, max_length: 64}}
train: {{max_steps: {steps}, max_tokens_per_batch: 512, learning_rate: 1e-2, checkpoint_minutes: 0.002}}
validation: {{every_steps: {every}, n_samples: 1}}
search: {{beam_size: 1}}
hardware: {{accelerator: cpu, precision: 32-true, replicas: 1, backend: torch}}
"""


class Process:
    """A function in a forked process with its own process group. Forking avoids importing everything again.

    Attributes:
        code: exit code, set by `wait`; None if the process did not end in time.
    """

    def __init__(self, job: Callable[[], object], log: Path):
        self.code: int | None = None
        self._log = log
        log.unlink(missing_ok=True)
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _live(job, log)
        with suppress(PermissionError):  # the child has done so itself and has since called exec
            os.setpgid(self.pid, self.pid)

    def wait(self, seconds: float = 120) -> "Process":
        """Wait until the process ends; kill it after some seconds."""
        until = time.monotonic() + seconds
        while self.code is None and time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                return self
            time.sleep(0.005)
        if self.code is None:
            self.kill()
        return self

    def wait_until(self, is_time: Callable[[], bool], seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not is_time() and time.monotonic() < until:
            time.sleep(0.001)

    def send(self, number: int) -> None:
        os.killpg(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.is_file() else ""

    def failure(self) -> str | None:
        """Return the kind of failure, or None after exit code 0."""
        said = self.said()
        if self.code is None:
            return "HANG"
        if "Traceback (most" in said:
            return "TRACEBACK"
        if self.code < 0:
            return f"CRASH {self.code}"
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        is_one = len(errors) == 1 and said.endswith(f"{errors[0]}\n")
        return None if self.code == 0 else "one line" if is_one else "NO WORD"


def _live(job: Callable[[], object], log: Path) -> None:
    code: object = 1
    try:
        os.setpgid(0, 0)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        job()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


class Trials:
    """An undisturbed run, a run that was killed, and a folder for the current round.

    Attributes:
        calm: a folder with `corpus`, `cache` and `runs` of the undisturbed run, and `stopped`, the runs
            folder of the killed one.
        here: the folder of the current round.
        random: chooses the time and place of faults.
        data_seconds, train_seconds: duration of `check-data` and `train`.
    """

    def __init__(self, folder: Path, *, seed: int, n_pairs: int = 3000, steps: int = 120):
        self.calm, self.here, self.random = folder / "calm", folder / "round", random.Random(seed)
        self._settings = {"steps": steps, "every": steps // 3}
        (self.calm / "corpus").mkdir(parents=True)
        for split, n in (("train", n_pairs), ("val", 50), ("test", 50)):
            for language in ("fr", "en"):
                lines = [pair[language] + "\n" for pair in islice(phrasebook.pairs(split), n)]
                (self.calm / "corpus" / f"{split}.{language}").write_text("".join(lines), encoding="utf-8")
        self.fresh()
        self.data_seconds, self.train_seconds = map(self._timed, ("check-data", "train"))
        for part in ("cache", "runs"):
            shutil.copytree(self.here / part, self.calm / part)
        self.expected = sha256(self.run / "model" / WEIGHTS)
        self.fresh("cache")
        self.train_a_while().kill()
        shutil.copytree(self.here / "runs", self.calm / "stopped")

    @property
    def run(self) -> Path:
        """The run folder of the current round."""
        return self.here / "runs" / "small"

    def _timed(self, verb: str) -> float:
        started = time.monotonic()
        process = self.start(verb).wait()
        if process.code:
            sys.exit(f"{verb} fails without a fault:\n{process.said()}")
        return time.monotonic() - started

    def fresh(self, *parts: str) -> Path:
        """Start a round with copies of the corpus and of other parts of `calm`."""
        shutil.rmtree(self.here, ignore_errors=True)
        for log in self.here.parent.glob("log*"):
            log.unlink()
        for part in ("corpus", *parts):
            shutil.copytree(self.calm / part, self.here / part.replace("stopped", "runs"))
        (self.here / "small.yaml").write_text(YAML.format(root=self.here, **self._settings))
        return self.here

    def start(self, *words: object, log: str = "log", before: Callable[[], object] | None = None) -> Process:
        """Start `translator` in a forked process, after calling `before`."""
        arguments = [str(word) for word in words]
        if words[0] in ("train", "check-data"):
            arguments.insert(1, str(self.here / "small.yaml"))

        def job() -> None:
            if before is not None:
                before()
            main(arguments)

        return Process(job, self.here.parent / log)

    def said(self) -> str:
        """Return the logs of the current round."""
        return "\n".join(log.read_text(errors="replace") for log in sorted(self.here.parent.glob("log*")))

    def train_a_while(self, **options: Callable[[], object]) -> Process:
        """Start a training run, and return once all three checkpoints exist."""
        process = self.start("train", **options)
        checkpoints = [self.run / "checkpoints" / name for name in (LAST, PREVIOUS, BEST)]
        process.wait_until(lambda: all(path.exists() for path in checkpoints))
        return process

    def outcome(self, process: Process) -> str:
        """Return the outcome of a training command."""
        said = process.wait().said()
        if (failure := process.failure()) is not None:
            return failure
        model = Path(said.rpartition("finished: ")[2].partition("\n")[0])
        if sha256(model / WEIGHTS) != self.expected:
            return "SILENTLY WRONG"
        has_leftovers = any(half_written(folder) for folder in (model.parent, self.here / "cache"))
        return (
            "HALF-WRITTEN FILES" if has_leftovers else "rebuilt with a note" if "damaged" in said else "same"
        )

    def resume(self) -> str:
        """Return the outcome of resuming the run, or of a new run if there is nothing to resume."""
        resuming = self.start("train", "--resume")
        outcome = self.outcome(resuming)
        return self.outcome(self.start("train")) if "nothing to resume" in resuming.said() else outcome

    def outcome_of_reading(self, read: Callable[[], str], expected: Callable[[], set[str]]) -> str:
        """Return the outcome of reading: an error, or whether an expected value was read, and with a note."""

        def job() -> None:
            try:
                found = read()
            except PasserelleError as error:
                print("error:", *str(error).split())
                sys.exit(1)
            print("unaffected" if found in expected() else "SILENTLY WRONG")

        process = Process(job, self.here.parent / "log").wait(60)
        said = process.said()
        is_noted = "damaged" in said and said.endswith("unaffected\n")
        return process.failure() or ("rebuilt with a note" if is_noted else said.splitlines()[-1])

    def damage(self, path: Path) -> None:
        """Flip a bit of a file, truncate it, or overwrite a range with zeros or random bytes."""
        before, draw = path.read_bytes(), self.random
        content = bytearray(before)
        while content == before:
            at, kind = draw.randrange(len(content)), draw.choice(("flip", "cut", "zeros", "noise"))
            end = min(len(content), at + draw.randint(1, 4096))
            if kind == "flip":
                content[at] ^= 1 << draw.randrange(8)
            elif kind == "cut":
                del content[draw.choice((0, at)) :]
            else:
                content[at:end] = bytes(end - at) if kind == "zeros" else draw.randbytes(end - at)
        path.unlink()  # it may be a hard link
        path.write_bytes(content)


def half_written(folder: Path) -> list[Path]:
    """Return the temporary files and folders that a killed process left."""
    return [path for path in folder.rglob("*") if path.name.startswith((".", "partial-"))]
