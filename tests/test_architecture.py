"""The shape of the house: arrows point down, a package has one importer."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "translator").rglob("*.py"))

#: Layer of each file or folder of `translator/`. A module imports lower layers and its own package.
LAYERS = {
    "errors": 0,
    "symbols": 0,
    "console": 0,
    "files": 0,
    "signals": 0,
    "environment": 0,
    "config": 1,
    "alignment": 1,
    "data": 2,
    "model": 2,
    "search": 2,
    "evaluation": 2,
    "plotting": 2,
    "building": 3,
    "engine": 3,
    "model_folder": 4,
    "initial_model": 5,
    "translation": 5,
    "training": 6,
    "export": 6,
    "explain": 6,
    "serve": 6,
    "cli": 7,
    "__main__": 8,
}

#: The only modules, or packages, that import a distribution. `torch` is free, except to the CLI's start.
IMPORTERS = {
    "numpy": "translator.engine translator.model_folder",
    "datasets": "translator.data.tables",
    "sentencepiece": "translator.data.tokenizer",
    "sentencex": "translator.data.sentences",
    "pydantic": "translator.config",
    "ruamel": "translator.config.yaml",
    "rich": "translator.console",
    "safetensors": "translator.model_folder",
    "sacrebleu": "translator.evaluation.metrics",
    "typer": "translator.cli",
    "lightning": "translator.training",
    "matplotlib": "translator.plotting",
    "tensorboard": "translator.training",
    "lxml": "translator.data.xml_files",
    "polib": "translator.data.po_files",
    "openpyxl": "translator.data.workbooks",
    "pyarrow": "translator.data.opening",
    "ctranslate2": "translator.export.to_ctranslate2",
    "transformers": "translator.export.to_huggingface",
    "fastapi": "translator.serve",
    "starlette": "translator.serve",
    "uvicorn": "translator.serve",
    "prometheus_client": "translator.serve",
}

#: The package's front door names what is behind it, and imports it only when asked.
FRONT = "translator"


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path.read_text(encoding="utf-8") for path in FILES}


def imports(source: str) -> Iterator[str]:
    """Every module that a source imports, wherever in it; `from package import module` is the module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def package(module: str) -> str:
    """The folder that a module lies in, as a name; a package is its own."""
    is_package = any(other.startswith(f"{module}.") for other in MODULES)
    return module if is_package else module.rpartition(".")[0]


def layer(module: str) -> int:
    return LAYERS[module.split(".")[1]]


def is_within(module: str, owner: str) -> bool:
    return f"{module}.".startswith(f"{owner}.")


def problems(module: str, source: str) -> list[str]:
    """What is wrong with the imports of a module."""
    found = []
    for imported in imports(source):
        top = imported.split(".")[0]
        if top == "translator":
            below = imported != FRONT and layer(imported) < layer(module)
            beside = imported != FRONT and layer(imported) == layer(module)
            siblings = package(module) in (package(imported), imported.rpartition(".")[0])
            if not below and not (beside and siblings):
                found.append(f"{module} imports {imported}")
        elif top not in {*sys.stdlib_module_names, "torch"} and not any(
            is_within(module, owner) for owner in IMPORTERS.get(top, "").split()
        ):
            found.append(f"{module} imports {imported}")
        if is_within(module, "translator.model") and not (
            top in sys.stdlib_module_names
            or top == "torch"
            or imported == "translator.symbols"
            or is_within(imported, "translator.model")
        ):
            found.append(f"{module} imports {imported}: the model needs torch alone")
    return found


@pytest.mark.parametrize("module", [module for module in MODULES if module != FRONT])
def test_imports_point_down_and_packages_have_one_importer(module: str) -> None:
    assert problems(module, MODULES[module]) == []


def test_every_file_has_a_layer() -> None:
    assert {module.split(".")[1] for module in MODULES if module != FRONT} <= set(LAYERS)


def test_the_front_door_imports_nothing_by_itself() -> None:
    at_import = ast.parse(MODULES[FRONT]).body
    assert [node for node in at_import if isinstance(node, ast.Import | ast.ImportFrom)] != []
    top = ast.Module([node for node in at_import if isinstance(node, ast.Import | ast.ImportFrom)], [])
    assert {name.split(".")[0] for name in imports(ast.unparse(top))} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("module", "source", "n_problems"),
    [
        ("translator.data.tables", "from translator.config import DataConfig\nimport datasets", 0),
        ("translator.data.corpus", "from translator.data import phrasebook, readers", 0),
        ("translator.config.file", "from translator.config import Config", 0),
        ("translator.training.run", "from lightning.pytorch import Trainer", 0),
        ("translator.search.beam", "import torch\nfrom translator.symbols import EOS", 0),
        ("translator.config", "from translator.data import readers", 1),
        ("translator.data.corpus", "from translator.model import Transformer", 1),
        ("translator.data.corpus", "from translator.evaluation.metrics import bleu", 1),
        ("translator.data.corpus", "def late():\n    from translator import search", 1),
        ("translator.search.beam", "from translator import Translator", 1),
        ("translator.data.readers", "import datasets", 1),
        ("translator.data.readers", "import numpy", 1),
        ("translator.cli", "import lightning.pytorch", 1),
        ("translator.data.corpus", "from pydantic import ValidationError", 1),
        ("translator.model.masks", "from translator.config import ModelConfig", 1),
        ("translator.model.masks", "from translator.symbols import PAD\nimport math, torch", 0),
        ("translator.model.layers", "from translator.engine.ops import Ops", 2),  # upwards, and not torch
        ("translator.engine.ops", "from translator.model.attention import attention_weights", 0),
        ("translator.engine.ops", "from translator.engine.packing import PackedLayout", 0),
        ("translator.engine.torch_search", "from translator.search.beam import search", 0),
        ("translator.engine.decoding", "from translator.translation import splitting", 1),
        ("translator.search.beam", "from translator.engine.decoding import DecodingEngine", 1),
        ("translator.search.beam", "from translator.model.masks import padding_mask", 1),
    ],
)
def test_a_wrong_import_is_seen(module: str, source: str, n_problems: int) -> None:
    """The control of the tests above."""
    assert len(problems(module, source)) == n_problems


def test_the_textbook_stays_short() -> None:
    """An afternoon's reading: at most 400 lines, of them 260 of code."""
    sources = [source for module, source in MODULES.items() if is_within(module, "translator.model")]
    assert sum(len(source.splitlines()) for source in sources) <= 400
    assert 150 < sum(map(lines_of_code, sources)) <= 260


def lines_of_code(source: str) -> int:
    """Lines that are neither blank, nor comments, nor docstrings."""
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.end_lineno:
            documentation |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(
        number not in documentation and bool(line.strip()) and not line.strip().startswith("#")
        for number, line in lines
    )


def test_control_lines_of_code_are_counted() -> None:
    assert lines_of_code('"""A.\n\nB."""\n\n# c\nx = 1\ndef f():\n    """D."""\n    return x\n') == 3


def loaded_by(module: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after an import."""
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (run.returncode, run.stderr) == (0, "")
    return set(run.stdout.split())


def test_the_command_line_starts_without_what_is_slow_to_import() -> None:
    slow = {
        "torch",
        "lightning",
        "datasets",
        "sentencepiece",
        "sentencex",
        "sacrebleu",
        "numpy",
        "transformers",
    }
    assert loaded_by("translator.cli").isdisjoint(slow)
    assert "sentencepiece" in loaded_by("translator.data.tokenizer")


def test_decoding_in_c_loads_no_torch() -> None:
    loaded = loaded_by("translator.engine.native_decoding, translator.translation.parallel")
    assert "numpy" in loaded
    assert "torch" not in loaded
