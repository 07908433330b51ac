"""Selection and loading of the library of C operations.

The C sources in `csrc/` are built when the package is installed, once for each level of CPU features
(pyproject.toml). A level is left out if the compiler does not know it, and all are if there is no C compiler.
"""

import ctypes
import os
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

#: Names of the levels, from the lowest. `cpu_supports` in csrc/library.c numbers them in the same way.
LEVELS = ("default", "avx2", "avx512", "avx512_bf16")
#: Environment variable that lowers the level, as `ATEN_CPU_CAPABILITY` does for PyTorch.
VARIABLE = "PASSERELLE_CPU_CAPABILITY"
#: Hash of the C sources and their options, as in csrc/version.h; scripts/write_reference.py writes both. An
#: editable installation keeps its libraries when the sources change, so they must be compared.
VERSION = 0x3B6E4468
FOLDER = Path(__file__).parent


def load_library() -> ctypes.CDLL | None:
    """Return the library of the highest level that the CPU supports, or None if none can be used."""
    loaded = _loaded()
    return None if isinstance(loaded, str) else loaded[0]


def level() -> str | None:
    """Return the level of the library, one of `LEVELS`, or None if none can be used."""
    loaded = _loaded()
    return None if isinstance(loaded, str) else loaded[1]


def problem() -> str | None:
    """Return why no library can be used, or None if one can. The reason says what to do."""
    loaded = _loaded()
    return loaded if isinstance(loaded, str) else None


def _loaded() -> tuple[ctypes.CDLL, str] | str:
    return _load(FOLDER, os.environ.get(VARIABLE, ""))


@cache
def _load(folder: Path, wanted: str) -> tuple[ctypes.CDLL, str] | str:
    """Return a library and its level, or the reason why none can be used.

    Args:
        folder: folder that contains the libraries.
        wanted: the level; if it is empty, the highest one that the CPU supports and that was built.
    """
    if wanted and wanted not in LEVELS:
        return f"{VARIABLE}={wanted} is unknown; set it to {' or '.join(LEVELS)}"
    try:
        default = _open(folder, "default")
        available = [
            name
            for number, name in enumerate(LEVELS)
            if default.cpu_supports(number) and _path(folder, name) is not None
        ]
        if wanted and wanted not in available:
            return f"{VARIABLE}={wanted} is not available here; set it to {' or '.join(available)}"
        name = wanted or available[-1]
        return (default if name == "default" else _open(folder, name)), name
    except _UnusableError as error:
        return str(error)


class _UnusableError(Exception):
    """A library cannot be used; the message says why."""


def _path(folder: Path, name: str) -> Path | None:
    """Return the path of a library, or None if it was not built. It is named as an extension module."""
    paths = (folder / f"_native_{name}{suffix}" for suffix in EXTENSION_SUFFIXES)
    return next((path for path in paths if path.exists()), None)


def _open(folder: Path, name: str) -> ctypes.CDLL:
    path = _path(folder, name)
    if path is None:
        raise _UnusableError(
            "the C operations were not built, because there was no working C compiler when the package was "
            "installed; install one (such as gcc with libc6-dev), then run `pip install` again"
        )
    try:
        library = ctypes.CDLL(str(path))
        version = library.version()
    except (OSError, AttributeError) as error:
        raise _UnusableError(f"the C operations cannot be loaded ({error})") from None
    if version != VERSION:
        raise _UnusableError(f"{path.name} was built from other sources; run `pip install` again")
    return library
