"""Passerelle: a small French-English Transformer, written to be read, trained and used.

The Python interface is what `__all__` names, `Translator` and the type of its results, `Translation`::

    from translator import Translator
    Translator.load("runs/phrasebook/model").translate("Bonjour.").text

Everything else is private: it may change with any version. docs/notebook.ipynb shows the interface and the
command at work.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translator.translation.inference import Translator
    from translator.translation.joining import Translation

__all__ = ["Translation", "Translator"]


def __getattr__(name: str) -> Any:
    """Import a name in `__all__` on first use only: it needs torch, which would slow `translator --help`."""
    if name in __all__:
        from translator.translation import inference, joining

        return getattr(inference if name == "Translator" else joining, name)
    raise AttributeError(f"module 'translator' has no attribute '{name}'")
