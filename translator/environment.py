"""Temporary changes to the environment variables, and to the packages that are found."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, DistributionFinder, PackageNotFoundError


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Unset environment variables for the duration of a block, then restore them."""
    removed = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(removed)


@contextmanager
def preserve_environment() -> Iterator[None]:
    """At the end of a block, undo every change that the block made to the environment variables."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


class _NotInstalled:
    """A finder of modules that is asked before all others and says that packages are not installed."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def find_distributions(self, context: DistributionFinder.Context) -> list[Distribution]:
        if context.name in self.names:
            raise PackageNotFoundError(context.name)
        return []


@contextmanager
def hiding(*packages: str) -> Iterator[None]:
    """Let packages seem not to be installed for the duration of a block, unless they are imported already.

    A package for which they are optional then does without them, and takes less time to import.
    """
    finder = _NotInstalled(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
