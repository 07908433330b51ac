"""Fuzz everything that reads input with mutated and random data, and print a summary.

python scripts/fuzz.py                                    500,000 inputs, in about 15 minutes on one core
python scripts/fuzz.py --inputs 20000 --only sentences    only targets with this in their name

An input fails if it raises anything but the package's own errors, takes longer than `SECONDS`, or violates an
assertion of its target. The inputs of a target depend only on `--seed` and their number.
"""

import argparse
import copy
import faulthandler
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import fuzz_inputs as inputs
from fuzz_inputs import ROOT, prose
from fuzz_models import Model, Web, make_model

from translator.config.file import load_config, with_overrides
from translator.data.tokenizer import Tokenizer
from translator.errors import PasserelleError, is_out_of_memory
from translator.model_folder import TOKENIZER

SECONDS = 5.0
OURS = (str(ROOT / "translator"), str(ROOT / "scripts"))
#: Address space limit, so that allocating too much fails here as on a small machine.
MEMORY = 8 << 30


class Target(NamedTuple):
    """A target: its name, its weight in the number of inputs, a generator of inputs, and a check of one."""

    name: str
    weight: float
    make: Callable[[Random], Any]
    check: Callable[[Any], object]


class TooSlowError(BaseException):
    """An input takes too long. Not an `Exception`, so that no handler in the package catches it."""


def targets(folder: Path) -> list[Target]:
    path, model = folder / "given", Model(make_model(folder / "model"))
    web, tokenizer = Web(model.folder), Tokenizer(model.files[TOKENIZER])
    config = load_config(ROOT / "configs" / "phrasebook.yaml")
    return [
        Target(
            "configurations", 0.5, inputs.configuration, lambda text: inputs.check_configuration(text, path)
        ),
        Target("overrides", 1.5, inputs.override, lambda overrides: with_overrides(config, overrides)),
        Target("text and tables", 20, inputs.table, lambda given: inputs.check_table(given, path)),
        Target("lines of links", 20, inputs.links, inputs.check_links),
        Target("model folders", 1, model.make, model.check),
        Target("requests", 2, web.make, web.check),
        Target("sentences", 10, prose, inputs.check_sentences),
        Target("splitting", 10, prose, inputs.check_splitting),
        Target("the input map", 15, prose, inputs.check_map),
        Target("noise", 10, prose, inputs.check_noise),
        Target("tokens", 10, prose, lambda text: inputs.check_tokens(text, tokenizer)),
    ]


def too_slow(*_: object) -> None:
    raise TooSlowError


def finding_of(target: Target, given: Any) -> str | None:
    """Check one input; return None, "refused", or a description of the failure and its location."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        target.check(given)
    except PasserelleError:
        return "refused"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic in Rust code is not an Exception
        if is_out_of_memory(error):  # the commands report this in one line
            return "refused"
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if frame.filename.startswith(OURS)]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        return f"{type(error).__name__} at {place}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def feed(target: Target, n_inputs: int, *, seed: int) -> tuple[Counter[str], dict[str, str]]:
    """Run a target; return the numbers of refused and failed inputs, and the first of each failure."""
    draw, counts, findings = Random(f"{seed} {target.name}"), Counter[str](), dict[str, str]()
    for _ in range(n_inputs):
        faulthandler.dump_traceback_later(12 * SECONDS, exit=True)  # also stops C code
        given = target.make(draw)
        finding = finding_of(target, copy.deepcopy(given))
        counts[finding if finding in (None, "refused") else "wrong"] += 1
        if finding not in (None, "refused"):
            findings.setdefault(finding.partition(": ")[0], f"{target.name}: {finding}\n  {given!r:.1000}")
    faulthandler.cancel_dump_traceback_later()
    return counts, findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only targets whose name contains this")
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, too_slow)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    passed = True
    with tempfile.TemporaryDirectory() as folder:
        chosen = [target for target in targets(Path(folder)) if arguments.only in target.name]
        print("| target | inputs | refused | failed | seconds |\n| --- | --- | --- | --- | --- |")
        for target in chosen:
            started = time.monotonic()
            n_inputs = round(arguments.inputs * target.weight / sum(other.weight for other in chosen))
            counts, findings = feed(target, n_inputs, seed=arguments.seed)
            numbers = (n_inputs, counts["refused"], counts["wrong"], round(time.monotonic() - started))
            print(f"| {target.name} | {' | '.join(f'{n:,}' for n in numbers)} |", flush=True)
            print("".join(f"\n{finding}\n" for finding in findings.values()), end="", file=sys.stderr)
            passed = passed and not findings
    sys.exit(not passed)


if __name__ == "__main__":
    main()
