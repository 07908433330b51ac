"""Reading configuration files and overrides into a validated `Config`, with one-line error messages."""

import difflib
import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard, get_args

from translator import console
from translator.config.base import Section
from translator.config.reference import describe_schema
from translator.config.sections import Config, InvalidConfigError, validate
from translator.config.yaml import parse_yaml, read_text, reason_of, to_json_types, write_yaml
from translator.errors import ConfigError

Location = tuple[str | int, ...]

#: Maps each former key to a pair: the key that replaced it, and a map from former values of the key to the
#: values that replaced them.
RENAMED: dict[str, tuple[str, dict[str, str]]] = {
    "hardware.kernels": ("hardware.backend", {"c": "native"}),
    "hardware.workers": ("hardware.replicas", {}),
}

#: Configurations that are known by name; a link to the repository's configs/, and a folder in a wheel.
CONFIGS = Path(__file__).resolve().parents[1] / "configs"

#: Messages show at most this many characters of a value.
_MAX_SHOWN = 200


def load_config(path: str | Path, overrides: Sequence[str] = (), *, saved: bool = False) -> Config:
    """Read a configuration file and apply overrides.

    Args:
        path: the file, with or without `.yaml`; or the name of a file in `CONFIGS`, if there is no such file.
        overrides: strings of the form `section.key=value`, where the value is YAML.
        saved: whether the file was written by a run. In such a file, a missing `data.input_map` is read as
            null and not as the default, and former names of keys are accepted without a note.

    Raises:
        ConfigError: the file or an override cannot be read, a key is unknown, or a value is of the wrong type
            or out of range; the message starts with `file:line` or with the override.
    """
    path = _find(Path(path))
    data = parse_yaml(read_text(path), where=str(path))
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: has no sections; start with one, such as `train:`")
    values = to_json_types(data, where=str(path))
    if saved:
        _default_to_no_input_map(values)
    former = _rename_keys(values)
    from_override = _override(values, overrides)
    _note_former_names([] if saved else former, overrides)

    def locate(location: Location, message: str) -> str:
        dotted = ".".join(map(str, location))
        # If several keys are incompatible, the error's location is only their section, but the message names
        # the keys.
        named = [dotted, *re.findall(r"\w+(?:\.\w+)+", message)]
        for name in named:
            for key, override in from_override.items():
                if f"{name}.".startswith(f"{key}."):
                    return f"override {_shortened(override)}"
        former_names = [old for old, (new, _) in RENAMED.items() if new == dotted]
        lines = [_line_of(data, name.split("."), exact=True) for name in [*named[1:], *former_names]]
        line = next(filter(None, [*lines, _line_of(data, location)]), None)
        if line is not None:
            return f"{path}:{line}"
        below = [override for key, override in from_override.items() if key.startswith(f"{dotted}.")]
        return f"override {_shortened(below[0])}" if below else str(path)

    return _validated(values, locate)


def _find(given: Path) -> Path:
    """Return the path of a configuration; see `load_config`. If it is not the given path, print a note.

    Raises:
        ConfigError: there is no such file.
    """
    for path in (given, Path(f"{given}.yaml"), CONFIGS / f"{given}.yaml"):
        if path.exists() and not path.is_dir():
            if path != given:
                console.note(f"configuration: {path}")
            return path
    what = "is a folder" if given.is_dir() else "there is no such file"
    names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    raise ConfigError(f"{given}: {what}; give a configuration file, or a name: {names}")


def config_from_json(text: str | bytes, *, where: str) -> Config:
    """Read a configuration that `Config.to_json` wrote. A missing `data.input_map` is read as null.

    Raises:
        ConfigError: the text is not a valid configuration; the message starts with `where`.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {reason_of(error)}") from None
    _default_to_no_input_map(data)
    _rename_keys(data)
    return _validated(data, lambda *_: where)


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """Return a copy of a configuration with overrides applied. `load_config` describes their form.

    Raises:
        ConfigError: an override cannot be read, its key is unknown, or its value is not allowed.
    """
    values = json.loads(config.to_json())
    _override(values, overrides)
    _note_former_names([], overrides)
    return _validated(values, lambda *_: f"override {_shortened(' '.join(overrides))}")


def config_to_yaml(config: Config) -> str:
    """Return the complete configuration as YAML that `load_config` reads back."""
    return write_yaml(json.loads(config.to_json()))


def _default_to_no_input_map(data: Any) -> None:
    """Set `data.input_map` to null if it is missing: the data was saved before input maps existed."""
    section = data.setdefault("data", {}) if isinstance(data, dict) else None
    if isinstance(section, dict):
        section.setdefault("input_map", None)


def _rename_keys(data: Any) -> list[str]:
    """Replace former keys and values with the current ones, and return the former keys that were found."""
    former = []
    for old, (new, values) in RENAMED.items():
        name, _, key = old.partition(".")
        section = data.get(name) if isinstance(data, dict) else None
        if isinstance(section, dict) and key in section:
            value = section.pop(key)
            section.setdefault(new.partition(".")[2], _new_value(value, values))
            former.append(old)
    return former


def _new_value(value: Any, values: dict[str, str]) -> Any:
    return values.get(value, value) if isinstance(value, str) else value


def _note_former_names(in_file: list[str], overrides: Sequence[str]) -> None:
    """Print a note for each former key that is in the list `in_file` or that an override uses."""
    used = [*in_file, *(override.partition("=")[0] for override in overrides)]
    for old, (new, _) in RENAMED.items():
        if old in used:
            console.note(f"{old} is now called {new}; the old name still works")


def _override(data: Any, overrides: Sequence[str]) -> dict[str, str]:
    """Apply overrides to the data in place, and return a map from each dotted key to its override."""
    from_override: dict[str, str] = {}
    for override in overrides:
        key, value = _parse_override(override)
        if key in RENAMED:
            key, values = RENAMED[key]
            value = _new_value(value, values)
        _set_value(data, key.split("."), value, override)
        from_override[key] = override
    return from_override


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key or "." not in key:
        raise ConfigError(f"override {_shortened(override)!r}: write section.key=value, such as train.seed=2")
    where = f"override {_shortened(override)}"
    return key, to_json_types(parse_yaml(text, where=where), where=where)


def _set_value(data: Any, keys: list[str], value: Any, override: str) -> None:
    """Set a value in nested maps and lists. The items of a list are numbered from 0."""
    for above, key in pairwise(["", *keys]):
        if isinstance(data, list):
            if not key.isdecimal() or int(key) >= len(data):
                what = f"{above!r} is a list of {len(data)}, numbered from 0"
                raise ConfigError(f"override {_shortened(override)!r}: {what}")
            at: str | int = int(key)
        elif isinstance(data, dict):
            at = key
            data.setdefault(at, None)
        else:
            raise ConfigError(f"override {_shortened(override)!r}: {above!r} is a value, not a section")
        parent, data = data, {} if data[at] is None else data[at]
        parent[at] = data
    parent[at] = value


def _line_of(data: Any, location: Sequence[str | int], *, exact: bool = False) -> int | None:
    """Return the line number of the key at `location`.

    If the file does not have the key and `exact` is true, return None. If `exact` is false, return the line
    number of the closest parent of the key that the file has, or None if the file has no parent of it.
    """
    line = None
    for key in location:
        marks = getattr(data, "lc", None)
        if isinstance(data, list) and str(key).isdecimal():
            key = int(key)
        if marks is None or marks.data is None or key not in marks.data:
            return None if exact else line
        line = marks.data[key][0] + 1
        data = data[key]
    return line


def _validated(data: Any, locate: Callable[[Location, str], str]) -> Config:
    """Validate the data and return the configuration.

    Args:
        data: the configuration as JSON-like data.
        locate: a function of the location and the message of a validation error. It returns the text with
            which the message of the `ConfigError` starts, such as `file:line`.

    Raises:
        ConfigError: the data is not a valid configuration.
    """
    try:
        return validate(data)
    except InvalidConfigError as error:
        raise ConfigError(_explain(error.problems, locate)) from None


def _explain(problems: list[Any], locate: Callable[[Location, str], str]) -> str:
    """Return a message about the first problem. It also tells how many other keys have problems."""
    error = problems[0]
    location = tuple(error["loc"])
    n_keys = len({tuple(_follow(problem["loc"])[2]) for problem in problems})
    more = f" (and {n_keys - 1} more)" if n_keys > 1 else ""
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"])
        return f"{locate(location, message)}: {message}{more}"
    section, field, keys = _follow(location)
    where = locate(tuple(keys), "")
    dotted = ".".join(map(str, keys))
    if error["type"] == "extra_forbidden":
        known = list(section.model_fields)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"{where}: unknown key {dotted!r}; {hint}{more}"
    if error["type"] == "missing":
        return f"{where}: {dotted} is missing; it needs {_allowed(field, keys)}{more}"
    value = _shortened(json.dumps(error["input"], ensure_ascii=False))
    subject = f"{dotted}={value}" if dotted else value
    allowed = _allowed(field, keys)
    return (
        f"{where}: {subject} does not fit; allowed: {allowed}{_advice(keys, error['input'], allowed)}{more}"
    )


def _advice(keys: list[str | int], value: Any, allowed: str) -> str:
    """Return advice if the error is one of two common ones, and otherwise an empty string.

    The two errors are a whole number that is written as `2.0` or `1e3`, and a string such as `{lang}` that is
    written without quotes.
    """
    if isinstance(value, float) and value.is_integer() and "a whole number" in allowed:
        return f"; write {value:.0f}"
    if isinstance(value, dict) and list(value.values()) == [None] and "text" in allowed:
        return f'; put braces in quotes: {keys[-1]}: "{{{next(iter(value))}}}"'
    return ""


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …"


def _follow(location: Location) -> tuple[type[Section], str, list[str | int]]:
    """Find the section and the field that the location of an error is in.

    Returns:
        The innermost section; the field as `SectionClass.name`, or an empty string if the location is not
        inside a field; and the location without the labels that pydantic adds for the types of a union.
    """
    section: type[Section] = Config
    keys: list[str | int] = []
    for key in location:
        keys.append(key)
        if isinstance(key, int):  # an item of a list of sections
            continue
        field = section.model_fields.get(key)
        if field is None:
            return section, "", keys
        parts = (field.annotation, *get_args(field.annotation))
        inner = next((part for part in parts if _is_section(part)), None)
        if inner is not None and (inner is field.annotation or len(location) > len(keys)):
            section = inner
            continue
        if str(field.annotation).startswith(("dict", "tuple")) and len(location) > len(keys):
            keys.append(location[len(keys)])
        return section, f"{section.__name__}.{key}", keys
    return section, "", keys


def _is_section(annotation: Any) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _allowed(field: str, keys: list[str | int]) -> str:
    if not field:
        return "a section with keys and values"
    section, _, name = field.partition(".")
    schema = Config.model_json_schema()["$defs"][section]["properties"][name]
    is_map_value = keys[-1] != name
    return describe_schema(schema.get("additionalProperties", schema) if is_map_value else schema)
