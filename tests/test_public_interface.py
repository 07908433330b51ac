"""What may be imported is small, and whatever a reader opens first says that the rest is private."""

import subprocess
import sys
from pathlib import Path

import pytest

import translator

ROOT = Path(__file__).resolve().parent.parent


def test_two_names_are_public() -> None:
    assert translator.__all__ == ["Translation", "Translator"]
    names: dict[str, object] = {}
    exec("from translator import *", names)
    assert names.keys() - {"__builtins__"} == set(translator.__all__)
    assert [getattr(translator, name).__name__ for name in translator.__all__] == translator.__all__
    with pytest.raises(AttributeError, match="'translator' has no attribute 'train'"):
        _ = translator.train


@pytest.mark.parametrize("text", [str(translator.__doc__), (ROOT / "README.md").read_text(encoding="utf-8")])
def test_a_reader_is_told_that_the_rest_is_private(text: str) -> None:
    assert "verything else is private" in text
    assert "Translator" in text


def test_importing_the_package_imports_nothing_slow() -> None:
    code = "import sys, translator; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
