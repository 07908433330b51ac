"""Inject faults into training, its files and its models, and count the outcomes.

python scripts/faults.py                            every fault, its default number of rounds: 25 minutes
python scripts/faults.py --only killed --rounds 3   faults with "killed" in their name, three rounds each

Each round trains a model of width 32 on 3,000 pairs of the embedded corpus for 120 steps.

    same                  `model.safetensors` has the same SHA-256 as after an undisturbed run
    rebuilt with a note   the same, and a note reported the damage
    unaffected            the data read is the same as without the fault
    one line              the exit code is not 0, and the last line is the only one that starts with `error: `

An outcome in CAPITALS is a bug and makes the exit code 1. Commands are forked from this process, which has
already imported everything, so that a round takes seconds. Only commands that receive a signal to stop run in
a new interpreter. Faults with "read" in their name run no command: they call the reading function in a
separate process.
"""

import argparse
import ctypes
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

# Set before NumPy and torch are imported: a process must have no other threads when it forks.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import damage
import degenerate
import matplotlib.pyplot  # noqa: F401 (this and the next two are used by forked commands)
import sacrebleu  # noqa: F401
import torch.utils.tensorboard  # noqa: F401
from trials import Trials

from translator.data import phrasebook
from translator.files import sha256
from translator.model_folder import WEIGHTS
from translator.translation.inference import Translator


class Fault(NamedTuple):
    """A kind of fault: its name, the default number of rounds, and a function that runs one round.

    The function returns the outcome.
    """

    name: str
    n_rounds: int
    round: Callable[[Trials, int], str]


# -- killed or stopped -------------------------------------------------------------------------------


def kill_training(trials: Trials, number: int) -> str:
    trials.fresh("cache")
    for more in ((), ("--resume",)):
        process = trials.start("train", *more)
        time.sleep(trials.random.uniform(0, trials.train_seconds))
        process.kill()
    return trials.resume()


def kill_finish(trials: Trials, number: int) -> str:
    trials.fresh("cache")
    process = trials.start("train")
    process.wait_until((trials.run / "model").exists)
    time.sleep(trials.random.uniform(0, (0.02, 0.5)[number % 2]))
    process.kill()
    return trials.resume()


def kill_preparation(trials: Trials, number: int) -> str:
    trials.fresh()
    process = trials.start("check-data")
    time.sleep(trials.random.uniform(0, trials.data_seconds))
    process.kill()
    return trials.start("check-data").wait().failure() or cache_is_same(trials)


def cache_is_same(trials: Trials) -> str:
    ours, theirs = (
        {path.relative_to(folder): sha256(path) for path in folder.rglob("*") if path.is_file()}
        for folder in (trials.here / "cache", trials.calm / "cache")
    )
    return "same" if ours == theirs else "SILENTLY WRONG" if ours.keys() == theirs.keys() else "LEFTOVERS"


def stop(trials: Trials, number: int, *, signals: list[int]) -> str:
    trials.fresh("cache")
    command = [sys.executable, "-c", "from translator.cli import main; main()", "train"]
    command.append(str(trials.here / "small.yaml"))
    process = trials.train_a_while(before=lambda: os.execv(sys.executable, command))
    time.sleep(trials.random.uniform(0, 0.2))
    for one in signals:
        process.send(one)
        time.sleep(0.005)
    if (failure := process.wait().failure()) not in ("one line", "NO WORD"):
        return failure or trials.outcome(process)
    said = "stopped with a word" if failure == "one line" or "stopped" in process.said() else "stopped"
    return f"{said}{' and saved' if 'and saved' in process.said() else ''}, then {trials.resume()}"


# -- refused by the system -----------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder), 4096):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def fill_disk(trials: Trials, number: int, *, by_mount: bool) -> str:
    part, most = (("cache", 900_000), ("runs", 1_500_000))[number % 2]
    here = trials.fresh(*["cache"] * (part == "runs"))
    size = trials.random.randrange(16_000, most)
    if by_mount:
        with small_disk(here / part, size):
            outcome = trials.outcome(trials.start("train"))
            subprocess.run(["mount", "-o", "remount,size=64m", here / part], check=True)
            return f"{outcome}, then {trials.resume()}"
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size // 3, size // 3))
    return f"{trials.outcome(trials.start('train', before=limit))}, then {trials.resume()}"


#: Path that may not be read (mode 0) or written (0o500), the parts that exist, and the command.
FORBIDDEN = [
    *((name, 0, "cache stopped", "train") for name in ("small.yaml", "corpus/train.fr", "corpus", "cache")),
    *((name, 0o500, "cache stopped", "train train.seed=2") for name in ("cache", "cache/arrow", "runs")),
    *(
        (f"runs/small{name}", mode, "cache stopped", "train --resume")
        for name, mode in (
            *(("", 0o500), ("/checkpoints", 0o500), ("/checkpoints", 0), ("/logs", 0o500)),
            *(("/checkpoints/last.ckpt", 0), ("/config.yaml", 0), ("/data.json", 0)),
        )
    ),
    *((f"runs/small/model{name}", 0, "runs", "translate Bonjour.") for name in ("", f"/{WEIGHTS}")),
]


def forbid(trials: Trials, number: int) -> str:
    name, mode, parts, command = FORBIDDEN[number % len(FORBIDDEN)]
    here = trials.fresh(*parts.split())
    (here / name).chmod(mode)

    def without_privileges() -> None:
        os.chdir(here)
        if os.getuid() == 0:  # root ignores permissions: drop all capabilities (capset, version 3)
            ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24))

    process = trials.start(*command.split(), before=without_privileges).wait()
    (here / name).chmod(0o700)
    return process.failure() or "not in the way"


# -- crowded -------------------------------------------------------------------------------------------


def run_twice(trials: Trials, number: int) -> str:
    trials.fresh("cache")
    return both(trials, "train")


def resume_twice(trials: Trials, number: int) -> str:
    trials.fresh("cache", "stopped")
    return both(trials, "train", "--resume")


def both(trials: Trials, *command: str) -> str:
    processes = [trials.start(*command, log=f"log-{i}") for i in range(2)]
    said = [process.wait().said() for process in processes]
    folders = [found[1] for text in said if (found := re.search("finished: (.*)", text))]
    if len(folders) != len(set(folders)):
        return "BOTH INTO ONE FOLDER"
    return " and ".join(sorted(trials.outcome(process) for process in processes))


def prepare_twice(trials: Trials, number: int) -> str:
    trials.fresh()
    processes = [trials.start("check-data", log=f"log-{i}") for i in range(2)]
    failures = [process.wait().failure() for process in processes]
    return next(filter(None, failures), None) or cache_is_same(trials)


def use_threads(trials: Trials, number: int) -> str:
    model = trials.calm / "runs" / "small" / "model"
    texts = [pair["fr"] for pair in islice(phrasebook.pairs("test"), 60 * number, 60 * number + 60)]

    def translate(n_threads: int) -> str:
        one = Translator.load(model)
        with ThreadPoolExecutor(n_threads) as pool:
            return damage.digest([*pool.map(lambda text: one.translate(text).text, texts)])

    return trials.outcome_of_reading(lambda: translate(8), lambda: {translate(1)})


def change_data(trials: Trials, number: int) -> str:
    here = trials.fresh("cache", "stopped")
    path = here / "corpus" / trials.random.choice(("train.fr", "train.en", "val.fr", "test.en"))
    lines = path.read_text().splitlines(keepends=True)
    lines[trials.random.randrange(len(lines))] = "Une autre ligne.\n"
    path.write_text("".join(lines))
    return trials.start("train", "--resume").wait().failure() or "SILENTLY WRONG"


def faults(*, by_mount: bool) -> list[Fault]:
    disk = "a small tmpfs" if by_mount else "RLIMIT_FSIZE, for a process may not mount"
    interrupts = [
        Fault(f"Ctrl-C × {n} in training, then --resume", rounds, partial(stop, signals=[signal.SIGINT] * n))
        for n, rounds in ((1, 5), (2, 2), (3, 3))
    ]
    return [
        Fault("killed twice in training, then --resume", 24, kill_training),
        Fault("killed while model/ is written, then --resume", 12, kill_finish),
        Fault("killed in preparation, then check-data", 33, kill_preparation),
        *interrupts,
        Fault("SIGTERM in training, then --resume", 3, partial(stop, signals=[signal.SIGTERM])),
        Fault(f"full disk ({disk}), then room and --resume", 12, partial(fill_disk, by_mount=by_mount)),
        Fault("permissions lacking", len(FORBIDDEN), forbid),
        Fault("damaged model folder, read", 320, damage.damage_model),
        Fault("damaged last.ckpt, read", 500, damage.damage_checkpoint),
        Fault("damaged file of a run, then --resume", 16, damage.damage_run),
        Fault("damaged cache, read", 200, damage.damage_cache),
        Fault("data changed, then --resume", 4, change_data),
        Fault("degenerate corpora", len(degenerate.CORPORA), degenerate.train_on_little),
        Fault("two runs of one name at once", 4, run_twice),
        Fault("--resume twice at once", 4, resume_twice),
        Fault("one cache prepared twice at once", 8, prepare_twice),
        Fault("8 threads on one Translator, 60 texts a round (480 in all), read", 8, use_threads),
        Fault("NaN or Inf in a model, each command", 2 * len(damage.USES), damage.spoil_model),
        Fault("NaN or Inf in last.ckpt, then --resume", 4, damage.spoil_checkpoint),
        Fault("learning rates from 1e6 to 1e38", 4, damage.train_too_fast),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, help="number of rounds of each fault")
    parser.add_argument("--only", default="", help="only faults whose name contains this")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    has_bug = False
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), seed=arguments.seed)
        print("| fault | rounds | outcomes |\n| --- | --- | --- |", flush=True)
        for fault in faults(by_mount=may_mount()):
            if arguments.only not in fault.name:
                continue
            n_rounds = arguments.rounds or fault.n_rounds
            counts: Counter[str] = Counter()
            for number in range(n_rounds):
                outcome = fault.round(trials, number)
                counts[outcome] += 1
                if re.search("[A-Z]{4}", outcome):
                    has_bug = True
                    print(f"{fault.name}: {outcome}\n{trials.said()}", file=sys.stderr, flush=True)
            found = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common())
            print(f"| {fault.name} | {n_rounds} | {found} |", flush=True)
    sys.exit(has_bug)


if __name__ == "__main__":
    main()
