"""Configuration files: YAML 1.2 and overrides in, a checked `Config` or one clear line out."""

import difflib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from translator.config import Config, InvalidConfigError, Section, validate
from translator.errors import ConfigError

Location = tuple[str | int, ...]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file and apply overrides `section.key=value` (values in YAML).

    Raises:
        ConfigError: a file or override that cannot be read, an unknown key (with the nearest known
            one), a value of another type or range; the message begins with `file:line` or with the
            override itself.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; see configs/") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is no valid UTF-8; save it as UTF-8") from None
    data = _parse_yaml(text, where=str(path))
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: holds no sections; begin with one, such as `train:`")
    from_override: dict[str, str] = {}
    plain = json.loads(json.dumps(data, default=str))
    for override in overrides:
        key, value = _parse_override(override)
        _put(plain, key.split("."), value, override)
        from_override[key] = override

    def place(location: Location) -> str:
        dotted = ".".join(map(str, location))
        for key, override in from_override.items():
            if dotted == key or dotted.startswith(key + "."):
                return f"override {override}"
        line = _line_of(data, location)
        return f"{path}:{line}" if line else str(path)

    return _checked(plain, place)


def config_from_json(text: str, *, where: str) -> Config:
    """Read what `Config.to_json` wrote.

    Raises:
        ConfigError: the text is no valid configuration; the message begins with `where`.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where}: no valid JSON: {error}") from None
    return _checked(data, lambda _: where)


def config_to_yaml(config: Config) -> str:
    """Return the whole configuration as YAML that `load_config` reads back."""
    buffer = io.StringIO()
    yaml = YAML()
    yaml.width = 100
    yaml.dump(json.loads(config.to_json()), buffer)
    return buffer.getvalue()


def _parse_yaml(text: str, *, where: str) -> Any:
    yaml = YAML()  # round-trip: keeps the line of each key; YAML 1.2
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = (error.problem or error.context or "no valid YAML").strip().splitlines()[0]
        raise ConfigError(f"{where}{line}: {problem}") from None
    except YAMLError as error:
        raise ConfigError(f"{where}: no valid YAML: {str(error).splitlines()[0]}") from None


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key or "." not in key:
        raise ConfigError(f"override {override!r}: write section.key=value, such as train.seed=2")
    value = _parse_yaml(text, where=f"override {override}")
    return key, json.loads(json.dumps(value, default=str))


def _put(data: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        inner = data.setdefault(key, {})
        if inner is None:
            inner = data[key] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"override {override!r}: {key!r} is a value, not a section")
        data = inner
    data[keys[-1]] = value


def _line_of(data: Any, location: Location) -> int | None:
    """Line, from 1, of the deepest part of `location` that the file has."""
    line = None
    for key in location:
        marks = getattr(data, "lc", None)
        if marks is None or marks.data is None or key not in marks.data:
            break
        line = marks.data[key][0] + 1
        data = data[key]
    return line


def _checked(data: Any, place: Callable[[Location], str]) -> Config:
    try:
        return validate(data)
    except InvalidConfigError as error:
        raise ConfigError(_explain(error.problems[0], place, len(error.problems))) from None


def _explain(error: Any, place: Callable[[Location], str], n_errors: int) -> str:
    location = tuple(error["loc"])
    where = place(location)
    more = f" (and {n_errors - 1} more)" if n_errors > 1 else ""
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}{more}"
    section, field, keys = _follow(location)
    dotted = ".".join(map(str, keys))
    if error["type"] == "extra_forbidden":
        known = list(section.model_fields)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"{where}: unknown key {dotted!r}; {hint}{more}"
    if error["type"] == "missing":
        return f"{where}: {dotted} is missing; it needs {_allowed(field)}{more}"
    value = json.dumps(error["input"], ensure_ascii=False)
    return f"{where}: {dotted}={value} does not fit; allowed: {_allowed(field)}{more}"


def _follow(location: Location) -> tuple[type[Section], str, list[str | int]]:
    """Section and field that an error is in, and its key without pydantic's union labels."""
    section: type[Section] = Config
    keys: list[str | int] = []
    for key in location:
        keys.append(key)
        field = section.model_fields.get(str(key))
        if field is None:
            return section, "", keys
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            section = field.annotation
            continue
        if str(field.annotation).startswith("dict") and len(location) > len(keys):
            keys.append(location[len(keys)])
        return section, f"{section.__name__}.{key}", keys
    return section, "", keys


def _allowed(field: str) -> str:
    if not field:
        return "a section with keys and values"
    section, _, name = field.partition(".")
    schema = Config.model_json_schema()["$defs"][section]["properties"][name]
    return describe_schema(schema)


def describe_schema(schema: dict[str, Any]) -> str:
    """Say in words what values a JSON schema of one field takes."""
    if "anyOf" in schema:
        return " or ".join(describe_schema(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    names = {
        "integer": "a whole number",
        "number": "a number",
        "string": "text",
        "boolean": "true or false",
        "null": "null",
        "array": "a list",
        "object": "a map",
    }
    words = names.get(schema.get("type", ""), "a value")
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    if "pattern" in schema:
        limits.append(f"of the form {schema['pattern']}")
    if schema.get("type") == "array":
        inner = [describe_schema(part) for part in schema.get("prefixItems", [])]
        limits += [f"of {len(inner)}: {inner[0]}"] if inner else []
    return " ".join([words, " and ".join(limits)]).strip()


def field_reference() -> Iterator[tuple[str, str, str, str]]:
    """Yield (dotted key, allowed values, default as YAML, description) for every field, in order."""
    definitions = Config.model_json_schema()["$defs"]
    for section_name, section_field in Config.model_fields.items():
        section = section_field.annotation
        assert isinstance(section, type)
        schema = definitions[section.__name__]["properties"]
        for name, field in section.model_fields.items():
            default = field.get_default(call_default_factory=True)
            yield (
                f"{section_name}.{name}",
                describe_schema(schema[name]),
                json.dumps(default),
                " ".join((field.description or "").split()),
            )


def json_schema() -> str:
    """Return the JSON schema that editors use to complete and check configuration files."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
