"""What `/openapi.json` says of the routes: what they take, what they answer, how they refuse."""

from collections.abc import Sequence
from typing import Any

from translator.serve.limits import Limits
from translator.serve.request_parsing import BODY_TYPES

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}

ERROR: Schema = {"type": "object", "properties": {"error": TEXT}, "required": ["error"]}

#: Why a request is refused.
REFUSALS = {
    400: "Something is missing, wrong, too long or at odds with another field, or there is no API key",
    403: "A wrong API key, or a page of another origin",
    408: "The request did not come in in time",
    413: "The body is too long",
    415: "The body is of a type that is not read",
    421: "The Host header names another machine",
    500: "A fault of the service",
    501: "The service does not explain",
    503: "Too much is asked at once, an answer took too long, or the model is out of order",
}

_OF_EVERY_ROUTE = (400, 403, 421, 500)
_OF_EVERY_BODY = (408, 413, 415, 503)


def fields(optional: Sequence[str] = (), **properties: Schema) -> Schema:
    """Return the schema of an object whose fields are there, but for some that may be missing."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def list_of(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def texts(limits: Limits) -> tuple[Schema, Schema]:
    """Return the schemas of a text of a request, and of such a text or a list of texts."""
    text = {"type": "string", "minLength": 1, "maxLength": limits.max_characters}
    several = {
        "type": "array",
        "items": {"type": "string", "maxLength": limits.max_characters},
        "minItems": 1,
        "maxItems": limits.max_texts,
    }
    return text, {"anyOf": [text, several]}


def takes(body: Schema, form: Schema | None) -> dict[str, Any]:
    """Return what an operation says of its body in JSON, and in the other `BODY_TYPES`, if it may be one."""
    kinds = dict.fromkeys(BODY_TYPES, form) | {BODY_TYPES[0]: body}
    content = {kind: {"schema": found} for kind, found in kinds.items() if found is not None}
    return {"requestBody": {"required": True, "content": content}}


def answers(
    found: Schema | None, *refusals: int, kind: str = "application/json", has_body: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return what an operation says of its answers.

    Args:
        found: the answer; None: no JSON.
        refusals: statuses beside those of every route.
        kind: Content-Type of the answer.
        has_body: whether it takes a body, so that this may be refused.
    """
    every = {*_OF_EVERY_ROUTE, *(_OF_EVERY_BODY if has_body else ()), *refusals}
    error = {"application/json": {"schema": ERROR}}
    refused = {status: {"description": REFUSALS[status], "content": error} for status in sorted(every)}
    return {200: {"description": "The answer", "content": {kind: {"schema": found or TEXT}}}, **refused}


def translation(source: str, target: str, limits: Limits) -> tuple[Schema, Schema]:
    """Return the schemas of the fields of `/translate` for one pair of languages: in JSON, and in a form."""
    text, text_or_texts = texts(limits)
    pairs = [("auto", target), (source, target), (source, source), (target, target)]
    number = {"type": "integer", "minimum": 0, "maximum": limits.max_alternatives}
    in_json, in_form = (
        fields(
            ("format", "alternatives", "api_key"),
            q=q,
            source=TEXT,
            target=TEXT,
            format={"enum": ["text", "", *nothing]},
            alternatives={"anyOf": [number, *({"type": "null"} for _ in nothing)]},
            api_key={},
        )
        | {"anyOf": [{"properties": {"source": code(a), "target": code(b)}} for a, b in pairs]}
        for q, nothing in ((text_or_texts, [None]), (text, []))
    )
    return in_json, in_form


def code(language: str) -> Schema:
    """Return the schema of a language's code, in either case and with any region."""
    letters = (f"[{one.lower()}{one.upper()}]" if one.isalpha() else one for one in language)
    region = "" if language == "auto" else "([-_][A-Za-z0-9-]+)?"
    return {"type": "string", "pattern": f"^{''.join(letters)}{region}$"}
