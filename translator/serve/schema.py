"""OpenAPI schemas of requests, responses and errors, published at `/openapi.json`."""

from collections.abc import Sequence
from typing import Any

from translator.serve.limits import Limits
from translator.serve.request_parsing import BODY_TYPES

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}

ERROR: Schema = {"type": "object", "properties": {"error": TEXT}, "required": ["error"]}

#: Descriptions of the error responses, each under its status.
REFUSALS = {
    400: "A field is missing, invalid, too long or inconsistent with another, or the API key is missing",
    403: "A wrong API key, or a page of another origin",
    408: "Timeout while receiving the request",
    413: "The body is too long",
    415: "The type or encoding of the body is not supported",
    421: "The Host header does not name this service",
    500: "Internal error",
    501: "The service offers no explanations",
    503: "Too many requests, a timeout, or a failure of the model",
}

_EVERY_ROUTE = (400, 403, 421, 500)
_EVERY_BODY = (408, 413, 415, 503)


def fields(optional: Sequence[str] = (), **properties: Schema) -> Schema:
    """Return the schema of an object with `properties`. A property is required unless it is in `optional`."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


#: The confidence in a translation; null if the model has none.
CONFIDENCE: Schema = {
    "anyOf": [fields(probability=NUMBER, is_guess=BOOLEAN, min_chrf=NUMBER), {"type": "null"}]
}


def list_of(items: Schema) -> Schema:
    """Return the schema of an array whose items have the schema `items`."""
    return {"type": "array", "items": items}


def texts(limits: Limits) -> tuple[Schema, Schema]:
    """Return two schemas: the first for exactly one text, the second for one text or a list of texts."""
    item = {"type": "string", "maxLength": limits.max_characters}
    text = item | {"minLength": 1}
    return text, {"anyOf": [text, list_of(item) | {"minItems": 1, "maxItems": limits.max_texts}]}


def request_body(in_json: Schema, in_form: Schema | None) -> dict[str, Any]:
    """Return the description of a request body.

    Args:
        in_json: the schema of a body in JSON.
        in_form: the schema of a body that is a form; None if the route accepts no form.
    """
    schemas = dict.fromkeys(BODY_TYPES, in_form) | {BODY_TYPES[0]: in_json}
    content = {kind: {"schema": schema} for kind, schema in schemas.items() if schema is not None}
    return {"requestBody": {"required": True, "content": content}}


def responses(
    body: Schema | None, *refusals: int, kind: str = "application/json", has_body: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the responses of an operation.

    Args:
        body: the schema of the successful response; None if the response is not JSON.
        refusals: error statuses of this operation, in addition to those that every route can return.
        kind: the Content-Type of the successful response.
        has_body: whether requests have a body. If they do, the error statuses that every route with a
            request body can return are added.
    """
    statuses = {*_EVERY_ROUTE, *(_EVERY_BODY if has_body else ()), *refusals}
    error = {"application/json": {"schema": ERROR}}
    refused = {status: {"description": REFUSALS[status], "content": error} for status in sorted(statuses)}
    return {200: {"description": "The response", "content": {kind: {"schema": body or TEXT}}}, **refused}


def translation(source: str, target: str, limits: Limits) -> tuple[Schema, Schema]:
    """Return two schemas for the body of a `/translate` request: the first for JSON, the second for a form.

    Args:
        source: code of the source language of the service.
        target: code of the target language of the service.
        limits: limits on texts and alternatives.
    """
    text, text_or_texts = texts(limits)
    pairs = [("auto", target), (source, target), (source, source), (target, target)]
    number = {"type": "integer", "minimum": 0, "maximum": limits.max_alternatives}
    in_json, in_form = (
        fields(
            ("format", "alternatives", "api_key"),
            q=q,
            source=TEXT,
            target=TEXT,
            format={"enum": ["text", "", *null]},
            alternatives={"anyOf": [number, *({"type": "null"} for _ in null)]},
            api_key={},
        )
        | {"anyOf": [{"properties": {"source": code(a), "target": code(b)}} for a, b in pairs]}
        for q, null in ((text_or_texts, [None]), (text, []))
    )
    return in_json, in_form


def code(language: str) -> Schema:
    """Return a schema that matches the code of one language, in upper or lower case.

    The code may be followed by a region, as in `fr-CA`, unless the language is `auto`.
    """
    letters = (f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in language)
    region = "" if language == "auto" else "([-_][A-Za-z0-9-]+)?"
    return {"type": "string", "pattern": f"^{''.join(letters)}{region}$"}
