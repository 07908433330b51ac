"""The averaged cross-attention map as a PNG image."""

import builtins
import os
import struct
import subprocess
import sys
from typing import Any

import pytest

from translator import plotting as picture
from translator.errors import PictureError
from translator.explain import Explanation, explain, to_png
from translator.translation.inference import Translator

pytest_plugins = ("trained",)


def size_of(content: bytes) -> tuple[int, int]:
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_the_picture_grows_with_the_sentence(translator: Translator, explanation: Explanation) -> None:
    width, height = size_of(to_png(explanation))
    assert width > 400
    assert height > 300
    shorter = size_of(to_png(explain(translator, "La reine.")))
    assert shorter[0] < width


@pytest.mark.filterwarnings("error")
def test_letters_that_no_font_has_and_formulas_are_drawn(translator: Translator) -> None:
    assert size_of(to_png(explain(translator, "Le $x^ \\frac{ القطة 🐈 $ 猫 dort.")))[0] > 400


def test_without_matplotlib_it_says_what_to_install(
    explanation: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PictureError, match=r"passerelle\[logs\]"):
        to_png(explanation)
    monkeypatch.undo()
    assert picture.png(picture.new_figure(1, 1)).startswith(b"\x89PNG")  # control: with matplotlib it draws


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "taken"), [("none-such", False), ("module://none.such", True), ("svg", True), ("", False)]
)
def test_a_backend_of_somebody_else_does_not_break_matplotlib(given: str, taken: bool) -> None:
    """Notebooks set MPLBACKEND; a valid value is respected."""
    script = (
        "from translator.plotting import new_figure, png; assert png(new_figure(1, 1));"
        "import matplotlib, os;"
        "backend = dict.__getitem__(matplotlib.rcParams, 'backend'); print(backend, os.environ['MPLBACKEND'])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "MPLBACKEND": given},
        capture_output=True,
        text=True,
        check=True,
    )
    backend, _, left = found.stdout.strip("\n").rpartition(" ")
    assert (backend == given) is taken
    assert left == given
