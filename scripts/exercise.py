"""Nine exercises on this project's own code (docs/exercises.md), graded by its tests.

python scripts/exercise.py list
python scripts/exercise.py start 1    write exercises/1_causal_mask.py, a function without a body
python scripts/exercise.py check 1    run the project's tests with your function instead of ours
"""

import argparse
import ast
import importlib.util
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Environment variables with which `check` tells `scripts/learner.py`, a pytest plugin, what to grade.
NUMBER, FILE = "EXERCISE_NUMBER", "EXERCISE_FILE"


@dataclass(frozen=True)
class Exercise:
    """A function for the learner to write.

    Attributes:
        title: short description.
        module: the module with our implementation.
        name: name of the function, or `Class.method`.
        tests: pytest node ids of the tests that grade it.
        formerly: a previous name of the function; answers with that name are still graded.
    """

    title: str
    module: str
    name: str
    tests: tuple[str, ...]
    formerly: str = ""

    @property
    def function(self) -> str:
        """The name of the function in the learner's file."""
        return self.name.rpartition(".")[2]


EXERCISES = {
    1: Exercise(
        "a mask that hides the future",
        "translator.model.masks",
        "causal_mask",
        ("tests/model/test_masks.py", "tests/model/test_transformer.py"),
        formerly="causal_keep",
    ),
    2: Exercise(
        "the arithmetic of attention",
        "translator.model.attention",
        "attention_weights",
        ("tests/model/test_attention.py", "tests/model/test_masks.py", "tests/test_docs_attention.py"),
    ),
    3: Exercise(
        "where a token stands",
        "translator.model.positions",
        "sinusoids",
        ("tests/model/test_positions.py",),
    ),
    4: Exercise(
        "label smoothing",
        "translator.engine.cross_entropy",
        "cross_entropy",
        ("tests/engine/test_cross_entropy.py",),
        formerly="token_loss",
    ),
    5: Exercise(
        "the learning rate over a budget",
        "translator.training.schedule",
        "learning_rate",
        ("tests/training/test_schedule.py",),
    ),
    6: Exercise(
        "batches within a token budget",
        "translator.data.batching",
        "plan_epoch",
        ("tests/data/test_batching.py",),
    ),
    7: Exercise(
        "reordering the cache",
        "translator.engine.kv_cache",
        "DecoderState.reorder",
        ("tests/engine/test_kv_cache.py",),
    ),
    8: Exercise(
        "the beam's choice",
        "translator.search.top",
        "best_continuations",
        (
            "tests/search/test_top.py::test_sorting_everything_finds_the_same",
            "tests/search/test_top.py::test_what_is_missing_is_hopeless",
            "tests/search/test_beam_and_greedy.py",
        ),
    ),
    9: Exercise(
        "multi-head attention",
        "translator.model.attention",
        "Attention.forward",
        (
            "tests/model/test_attention.py",
            "tests/model/test_layer_parity.py",
            "tests/model/test_transformer.py",
            "tests/test_docs_attention.py",
        ),
    ),
}


def text_of(exercise: Exercise, *, solved: bool = False) -> str:
    """Return the content of a learner's file: our signature and docstring, and our body if `solved`.

    The file is generated from our source, so it is always up to date. It has the imports of our function, and
    also imports the classes and functions of the same module that the signature (if `solved`, the function)
    mentions.
    """
    source = (ROOT / exercise.module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    tree, owner = ast.parse(source), exercise.name.rpartition(".")[0]
    scope: list[ast.stmt] = tree.body
    if owner:
        scope = next(node.body for node in scope if isinstance(node, ast.ClassDef) and node.name == owner)
    function = next(
        node for node in scope if isinstance(node, ast.FunctionDef) and node.name == exercise.function
    )
    used, signature = names_in(function), names_in(function.args, function.returns)
    imported, own = [], set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in used]
            if node.names:
                imported.append(ast.unparse(node))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            own |= {node.name} & (used if solved else signature)
    if own:
        imported.append(f"from {exercise.module} import {', '.join(sorted(own))}")
    last = function.end_lineno if solved else function.body[0].end_lineno  # else the end of the docstring
    text = textwrap.dedent("\n".join(source.splitlines()[function.lineno - 1 : last]))
    if not solved:
        text += f'\n    raise NotImplementedError("{exercise.function} is yours to write")'
    head = f'"""{exercise.title[0].upper()}{exercise.title[1:]}: {exercise.module}.{exercise.name}."""'
    return "\n\n".join([head, "\n".join(imported), "\n" + text]) + "\n"


def names_in(*nodes: ast.AST | None) -> set[str]:
    """Return all names in some code, including those in quoted annotations."""
    found = set()
    for inner in (inner for node in nodes if node is not None for inner in ast.walk(node)):
        if isinstance(inner, ast.Name):
            found.add(inner.id)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value.isidentifier():
            found.add(inner.value)
    return found


def path_of(number: int, folder: Path) -> Path:
    """Return the path of a learner's file, which may still have the function's previous name."""
    exercise = EXERCISES[number]
    path, older = (folder / f"{number}_{name}.py" for name in (exercise.function, exercise.formerly))
    return older if older.exists() and not path.exists() else path


def start(number: int, folder: Path, *, again: bool = False) -> int:
    """Write the file to complete. Do not overwrite an existing one, unless `again`."""
    path = path_of(number, folder)
    if path.exists() and not again:
        print(f"error: {path} exists and may hold your work; --again overwrites it", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(EXERCISES[number]), encoding="utf-8", newline="\n")
    print(f"{path}: complete it, then run: python scripts/exercise.py check {number}")
    return 0


def check(number: int, folder: Path) -> int:
    """Run the tests with the learner's function instead of ours; return 0 if all pass."""
    exercise, path = EXERCISES[number], path_of(number, folder)
    if not path.is_file():
        print(
            f"error: {path} does not exist; start with: python scripts/exercise.py start {number}",
            file=sys.stderr,
        )
        return 1
    if importlib.util.find_spec("pytest") is None:
        print(f"error: {sys.executable} has no pytest; use .venv/bin/python", file=sys.stderr)
        return 1
    search_path = os.pathsep.join(filter(None, [str(ROOT / "scripts"), os.environ.get("PYTHONPATH")]))
    variables = {NUMBER: str(number), FILE: str(path.resolve())}
    options = ["-q", "-p", "learner", "-p", "no:cacheprovider", "-m", "not slow and not system and not gpu"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *options,
            "--tb=short",
            "--maxfail=3",
            "--timeout=60",
            *exercise.tests,
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": search_path, **variables},
        check=False,
    )
    if done.returncode == 0:
        print(
            f"exercise {number}, {exercise.title}: right. Compare it with {exercise.module}.{exercise.name}."
        )
        return 0
    print(f"exercise {number}, {exercise.title}: not yet.")
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("list", "start", "check"))
    parser.add_argument(
        "number", type=int, choices=EXERCISES, nargs="?", metavar="N", help=f"1 to {len(EXERCISES)}"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "exercises", help="of your answers")
    parser.add_argument("--again", action="store_true", help="overwrite a file that you may have changed")
    arguments = parser.parse_args()
    if arguments.verb == "list":
        for number, exercise in EXERCISES.items():
            print(f"{number}  {exercise.title}: {exercise.module}.{exercise.name}")
        return 0
    if arguments.number is None:
        parser.error(f"which one? {arguments.verb} N, from 1 to {len(EXERCISES)}")
    if arguments.verb == "start":
        return start(arguments.number, arguments.folder, again=arguments.again)
    return check(arguments.number, arguments.folder)


if __name__ == "__main__":
    sys.exit(main())
