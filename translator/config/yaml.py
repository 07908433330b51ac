"""Reading and writing YAML 1.2, with limits on size and depth. Only this module imports `ruamel`."""

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

#: Maximum size of a configuration file in bytes. A larger file was probably given by mistake.
MAX_BYTES = 100_000
#: Maximum number of values after aliases are expanded. A few lines of nested aliases can expand to billions
#: of values.
MAX_VALUES = 10_000
#: Maximum depth of nested lists and maps.
MAX_DEPTH = 50

_KEY_PROBLEM = "a key is a list or a map; it must be text"


def read_text(path: str | Path) -> str:
    """Return the text of a configuration file.

    Raises:
        ConfigError: the file cannot be read, is too large, or is not valid UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; make the file readable") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: has more than {MAX_BYTES:,} bytes; give a configuration")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not valid UTF-8; save it as UTF-8") from None


class _TextKeys(RoundTripConstructor):
    """Constructor that refuses lists and maps as keys, because ruamel can take exponential time for them."""

    def construct_document(self, node: Node) -> Any:
        stack, seen = [node], set[Node]()
        while stack:
            inner = stack.pop()
            if inner in seen or not isinstance(inner, CollectionNode):
                continue
            seen.add(inner)  # a node can appear again, because aliases repeat nodes and can form cycles
            if not isinstance(inner, MappingNode):
                stack += inner.value
                continue
            for key, value in inner.value:
                if isinstance(key, CollectionNode):
                    raise ConstructorError(None, None, _KEY_PROBLEM, key.start_mark)
                stack.append(value)
        return super().construct_document(node)


def parse_yaml(text: str, *, where: str) -> Any:
    """Parse YAML 1.2 into ruamel's maps and lists, which record their line numbers.

    Raises:
        ConfigError: the text is not valid YAML or is nested too deep. The message starts with `where`. If
            `where` is a file and the line number of the problem is known, the line number follows.
    """
    if _depth(text) > MAX_DEPTH:  # ruamel would be very slow for thousands of brackets
        raise ConfigError(f"{where}: lists and maps are nested too deep")
    yaml = YAML()  # the default mode (round trip) records the line of each key
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
    except NotImplementedError as error:  # ruamel cannot keep some comments, such as two after one key
        comment = re.search(r"CommentToken\((['\"].*?['\"]), line: (\d+)", str(error))
        line = f":{int(comment[2]) + 1}" if comment and is_file else ""
        raise ConfigError(f"{where}{line}: this comment cannot be read here; remove or move it") from None
    # ruamel raises these exceptions for certain values, such as a number with too many digits, an invalid
    # date, or a value that does not match its tag.
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"{where}: a value cannot be read: {reason_of(error)}") from None


#: Matches an unquoted value with braces, such as `{lang}`, which YAML would parse as a map.
_BRACES = re.compile(r"""(?:^|[:,{\[]|-\s)\s*(?P<value>[^\s"'#{}\[\],:]*\{\w+\}[^\s{}\[\],"']*)""")


def _unquoted_braces(text: str, numbers: Sequence[int]) -> tuple[int, str] | None:
    """Find an unquoted value with braces on one of the given lines or on the line above one of them.

    Args:
        text: the YAML text.
        numbers: line numbers, from 0.

    Returns:
        The line number of the value, from 0, and a message; None if there is no such value.
    """
    lines = text.split("\n")
    for number in [near for at in numbers for near in (at, at - 1)]:
        if 0 <= number < len(lines) and (match := _BRACES.search(lines[number])):
            value, line = match["value"], lines[number]
            quoted = f'{line[: match.start("value")]}"{value}"{line[match.end("value") :]}'.strip()
            return number, f"{value} has braces, which mean a map in YAML; put it in quotes: {quoted}"
    return None


def reason_of(error: Exception) -> str:
    """Return the message of an exception, cut at the first semicolon.

    If an integer has too many digits, Python's message continues after the semicolon with advice to raise the
    limit. The cut drops that advice.
    """
    return str(error).partition(";")[0]


def to_json_types(data: Any, *, where: str) -> Any:
    """Convert parsed YAML to the types of JSON.

    Raises:
        ConfigError: the data, with aliases expanded, has too many values or is nested too deep; a key is a
            list or a map; or a value cannot be read.
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
    """Raise an error if the data, with its aliases expanded, is recursive, very large or deeply nested."""
    stack, n_values = [(data, 0)], 0
    while stack:
        value, depth = stack.pop()
        n_values += 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: lists and maps are nested too deep")
        if n_values > MAX_VALUES:
            raise ConfigError(
                f"{where}: has more than {MAX_VALUES:,} values, aliases (*) expanded; write out what it needs"
            )
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            stack += [(part, depth + 1) for part in inner]


def _depth(text: str) -> int:
    """Return the greatest depth of nested brackets and braces, including those in quoted strings."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth = max(0, depth + (1 if bracket in "[{" else -1))
        deepest = max(deepest, depth)
    return deepest


def write_yaml(data: Any) -> str:
    """Return JSON-like data as YAML that `parse_yaml` reads back unchanged."""
    buffer = io.StringIO()
    yaml = YAML()
    yaml.width = 2**31  # no line is folded, because ruamel may not read folded text back unchanged
    yaml.dump(_quoted(data), buffer)
    return buffer.getvalue()


def _quoted(value: Any) -> Any:
    """Double-quote each string with unprintable characters; without quotes, ruamel would lose U+0085."""
    if isinstance(value, dict):
        return {_quoted(key): _quoted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_quoted(inner) for inner in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not value.isprintable() else value
