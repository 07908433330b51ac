"""A pytest plugin that runs the tests with a learner's function instead of ours (see exercise.py).

The function is replaced in every module of the project that has imported it.
"""

import functools
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from operator import attrgetter
from types import ModuleType
from typing import Any

import pytest
from exercise import EXERCISES, FILE, NUMBER

Function = Callable[..., Any]


def pytest_configure() -> None:
    """Replace our function before any test is collected."""
    exercise, path = EXERCISES[int(os.environ[NUMBER])], os.environ[FILE]
    module = importlib.import_module(exercise.module)
    ours: Function = attrgetter(exercise.name)(module)
    try:
        answer = load(path)
        name = exercise.function if hasattr(answer, exercise.function) else exercise.formerly
        theirs = adapted(getattr(answer, name or exercise.function), ours)
    except Exception as error:  # the learner's code may raise anything
        line = f"{type(error).__name__}: {error}"
        raise pytest.UsageError(f"{path} cannot be used: {line}") from None
    owner_name = exercise.name.rpartition(".")[0]
    if not owner_name:
        replace(ours, theirs)
        return
    owner = getattr(module, owner_name)
    setattr(owner, exercise.function, theirs)


def load(path: str) -> ModuleType:
    """Import a learner's file."""
    spec = importlib.util.spec_from_file_location("learner_answer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def adapted(theirs: Function, ours: Function) -> Function:
    """Return a learner's function, adapted to be called like ours.

    An answer may have been started before a parameter was renamed or added. So arguments are passed by
    position if ours allows that, and keyword arguments that the answer lacks are dropped.
    """
    signature, known = inspect.signature(ours), inspect.signature(theirs).parameters

    @functools.wraps(theirs)
    def call(*args: Any, **options: Any) -> Any:
        bound = signature.bind(*args, **options)
        return theirs(*bound.args, **{name: bound.kwargs[name] for name in bound.kwargs if name in known})

    return call


def replace(ours: Function, theirs: Function) -> None:
    """Replace a function in all loaded modules of the project, so that later imports get it too."""
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] == "translator":
            for name, value in list(vars(module).items()):
                if value is ours:
                    setattr(module, name, theirs)
