"""YAML 1.2 in and out, within bounds. The only importer of `ruamel`."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, CollectionNode, MappingNode, Node
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from translator.errors import ConfigError

#: Of a file; whatever larger is given in the place of a configuration, no more of it is read.
MAX_BYTES = 100_000
#: Of a configuration, aliases followed: a few lines of nested aliases would stand for billions.
MAX_VALUES = 10_000
#: Of lists and maps in each other.
MAX_DEPTH = 50

_KEY_PROBLEM = "a key is a list or a map; it must be text"


def read_text(path: str | Path) -> str:
    """Return the text of a configuration file.

    Raises:
        ConfigError: it cannot be read, is too large, or is no UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; see configs/") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: has more than {MAX_BYTES:,} bytes; give a configuration, as in configs/")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not valid UTF-8; save it as UTF-8") from None


class _TextKeys(RoundTripConstructor):
    """Refuses a map with a key that is no text: of maps as keys of each other ruamel hashes each twice."""

    def construct_document(self, node: Node) -> Any:
        waiting, seen = [node], set[Node]()
        while waiting:
            inner = waiting.pop()
            if inner in seen or not isinstance(inner, CollectionNode):
                continue
            seen.add(inner)  # aliases come again, and may go round in circles
            if not isinstance(inner, MappingNode):
                waiting += inner.value
                continue
            for key, value in inner.value:
                if isinstance(key, CollectionNode):
                    raise ConstructorError(None, None, _KEY_PROBLEM, key.start_mark)
                waiting.append(value)
        return super().construct_document(node)


def parse_yaml(text: str, *, where: str) -> Any:
    """Read YAML 1.2 into maps and lists that know their lines.

    Raises:
        ConfigError: it is no YAML; the message begins with `where`, and names the line unless that is an
            override.
    """
    if _depth(text) > MAX_DEPTH:  # ruamel takes seconds for a few thousand brackets
        raise ConfigError(f"{where}: lists and maps are nested too deep")
    yaml = YAML()  # round-trip: keeps the line of each key; YAML 1.2
    yaml.Constructor = _TextKeys
    is_file = not where.startswith("override ")
    try:
        return yaml.load(text)
    except RecursionError:
        raise ConfigError(f"{where}: lists and maps are nested too deep") from None
    except MarkedYAMLError as error:
        marks = [mark for mark in (error.problem_mark, error.context_mark) if mark]
        numbers = [mark.line for mark in marks]
        problem = (error.problem or error.context or "not valid YAML").strip().splitlines()[0]
        if unquoted := _unquoted_braces(text, numbers):
            number, problem = unquoted
            numbers = [number]
        line = f":{numbers[0] + 1}" if numbers and is_file else ""
        raise ConfigError(f"{where}{line}: {problem}") from None
    except YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {str(error).splitlines()[0]}") from None
    # A number of too many digits, a date that is none, a tag on something else.
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"{where}: a value cannot be read: {reason_of(error)}") from None


#: A value with `{lang}`, which YAML takes for a map, up to where it ends: its first character is no quote.
_BRACES = re.compile(r"""(?:^|[:,{\[]|-\s)\s*(?P<value>[^\s"'#{}\[\],:]*\{\w+\}[^\s{}\[\],"']*)""")


def _unquoted_braces(text: str, numbers: Sequence[int]) -> tuple[int, str] | None:
    """Find an unquoted `{lang}` at or just before one of some lines; return its line, and what to do."""
    lines = text.split("\n")
    for number in [near for at in numbers for near in (at, at - 1)]:
        if 0 <= number < len(lines) and (match := _BRACES.search(lines[number])):
            value = match["value"]
            return number, f'{value} has braces, which mean a map in YAML; put it in quotes: "{value}"'
    return None


def reason_of(error: Exception) -> str:
    """Return what Python says of a value, without its advice to lift its limit on digits."""
    return str(error).partition(";")[0]


def to_plain(data: Any, *, where: str) -> Any:
    """Return what YAML gave as JSON has it.

    Raises:
        ConfigError: there is too much of it, aliases followed, or a key or value that JSON has not.
    """
    _check_size(data, where=where)
    try:
        return json.loads(json.dumps(data, default=str))
    except TypeError:
        raise ConfigError(f"{where}: {_KEY_PROBLEM}") from None
    except RecursionError:
        raise ConfigError(f"{where}: lists and maps are nested too deep") from None
    except ValueError as error:
        raise ConfigError(f"{where}: a value cannot be read: {reason_of(error)}") from None


def _check_size(data: Any, *, where: str) -> None:
    """Refuse what is endless, huge or deep once its aliases are followed."""
    waiting, n_values = [(data, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        n_values += 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: lists and maps are nested too deep")
        if n_values > MAX_VALUES:
            raise ConfigError(
                f"{where}: has more than {MAX_VALUES:,} values, aliases (*) followed; write out what it needs"
            )
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            waiting += [(part, depth + 1) for part in inner]


def _depth(text: str) -> int:
    """How deep brackets are nested, those in quotes counted too."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth = max(0, depth + (1 if bracket in "[{" else -1))
        deepest = max(deepest, depth)
    return deepest


def write_yaml(data: Any) -> str:
    """Return plain data as YAML that reads back as it was."""
    buffer = io.StringIO()
    yaml = YAML()
    yaml.width = 2**31  # ruamel folds long text at places that it does not read back
    yaml.dump(_quoted(data), buffer)
    return buffer.getvalue()


def _quoted(value: Any) -> Any:
    """Put text with unprintable characters into double quotes: ruamel's plain style loses U+0085."""
    if isinstance(value, dict):
        return {_quoted(key): _quoted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_quoted(inner) for inner in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not value.isprintable() else value
