"""Passerelle: a small French-English translator to read, train and trust.

The Python interface is two names::

    from translator import Translator
    Translator.load("runs/phrasebook/model").translate(["Bonjour."])[0].text
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translator.translation.inference import Translation, Translator

__all__ = ["Translation", "Translator"]


def __getattr__(name: str) -> Any:
    """Import torch only when the model is asked for, so that `translator --help` stays quick."""
    if name in __all__:
        from translator.translation import inference

        return getattr(inference, name)
    raise AttributeError(f"module 'translator' has no attribute '{name}'")
