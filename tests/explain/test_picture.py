"""The averaged map as a picture."""

import builtins
import struct
from typing import Any

import pytest

from translator import picture
from translator.errors import PictureError
from translator.explain import Explanation, explain, to_png
from translator.inference import Translator

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
    assert picture.png(picture.blank(1, 1)).startswith(b"\x89PNG")  # control: with it, it draws
