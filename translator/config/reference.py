"""Descriptions of the configuration for people and editors, derived from its JSON schema."""

import json
from collections.abc import Iterator
from typing import Any

from translator.config.base import Section
from translator.config.sections import Config


def describe_schema(schema: dict[str, Any]) -> str:
    """Return a description of the values that the JSON schema of a field allows."""
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
    noun = names.get(schema.get("type", ""), "a value")
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    if schema.get("minLength"):
        limits.append("that is not empty")
    if "pattern" in schema:
        limits.append(f"of the form {schema['pattern']}")
    if schema.get("type") == "array":
        inner = [describe_schema(part) for part in schema.get("prefixItems", [])]
        limits += [f"of {len(inner)}: {inner[0]}"] if inner else []
        items = schema.get("items", {"$ref": ""})
        limits += [] if "$ref" in items else [f"of {describe_schema(items)}"]
    return " ".join([noun, " and ".join(limits)]).strip()


def field_reference() -> Iterator[tuple[str, str, str, str]]:
    """Yield (dotted key, allowed values, default as JSON, description) for every field, in order."""
    for name, field in Config.model_fields.items():
        assert isinstance(field.annotation, type)
        yield from _fields_of(field.annotation, name)


def _fields_of(section: type[Section], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    schema = Config.model_json_schema()["$defs"][section.__name__]["properties"]
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _fields_of(field.annotation, f"{prefix}.{name}")
            continue
        default = field.get_default(call_default_factory=True)
        description = " ".join((field.description or "").split())
        yield f"{prefix}.{name}", describe_schema(schema[name]), json.dumps(default), description


def json_schema() -> str:
    """Return the JSON schema with which editors complete and check configuration files."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
