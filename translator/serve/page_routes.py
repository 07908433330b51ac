"""The web page, and the routes under /api/ that it uses."""

from dataclasses import asdict
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from translator.serve import schema
from translator.serve.access import Access
from translator.serve.limits import RefusedError
from translator.serve.request_parsing import authorized_fields, text_of
from translator.serve.service import Service
from translator.translation.language import looks_like

#: Files in `page/`, each under the path of the route that returns it.
FILES = {
    "/": "index.html",
    "/favicon.ico": "icon.svg",  # browsers request this path for a page that names no icon
    **{f"/{name}": name for name in ("icon.svg", "page.css", "page.js")},
    **{f"/{name}": name for name in ("words.js", "choices.js", "source.js", "watch.js")},
}
_MEDIA_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

#: Headers of the explanation page. The policy for scripts and styles is not here but in the HTML of that page
#: (`policy` in `explain.page`). The sandbox gives the page an opaque origin, so that its script cannot send
#: requests to this service.
#: Only the page of this service may show it in a frame.
_EXPLANATION_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'self'; sandbox allow-scripts",
    "X-Frame-Options": "SAMEORIGIN",
}


def add_page(app: FastAPI, service: Service, access: Access) -> None:
    """Add routes to an application: one for each file of the page, and those under /api/."""
    folder = resources.files("translator.serve") / "page"
    for path, name in FILES.items():
        content = (folder / name).read_bytes()
        headers = {"Content-Type": f"{_MEDIA_TYPES[name.rpartition('.')[2]]}; charset=utf-8"}
        if path == "/":
            # With the policy `no-referrer`, browsers would send the page's form with `Origin: null`, and the
            # service would refuse the request.
            headers["Referrer-Policy"] = "same-origin"
        _add_file(app, path, content, headers)
    _add_linked(app, service, access)
    _add_alternatives(app, service, access)
    _add_explain(app, service, access)


def _add_file(app: FastAPI, path: str, content: bytes, headers: dict[str, str]) -> None:
    kind = headers["Content-Type"].partition(";")[0]

    @app.get(path, response_class=Response, responses=schema.responses(None, kind=kind))
    async def file() -> Response:
        return Response(content, headers=headers)


def _add_linked(app: FastAPI, service: Service, access: Access) -> None:
    """Add /api/translate and /api/align, which return a translation, its words and their links."""
    text, _ = schema.texts(service.limits)
    one_text, two_texts = schema.fields(text=text), schema.fields(text=text, translation=text)
    pieces = schema.list_of({"type": "array", "minItems": 2, "maxItems": 2})
    links = schema.list_of(schema.list_of(schema.INTEGER))
    chances = schema.list_of({"type": ["number", "null"]})
    aligned = schema.fields(
        translation=schema.TEXT, source=pieces, target=pieces, links=links, probabilities=chances
    )
    translated = schema.fields(
        **aligned["properties"], confidence=schema.CONFIDENCE, is_source_language=schema.BOOLEAN
    )

    @app.post(
        "/api/translate",
        response_model=None,
        responses=schema.responses(translated, has_body=True),
        openapi_extra=schema.request_body(one_text, one_text),
    )
    async def translate(request: Request) -> dict[str, Any]:
        text = text_of(await authorized_fields(request, access), "text", service.limits)
        [answer] = await service.translate([text])
        confidence = None if answer.confidence is None else asdict(answer.confidence)
        return {
            "translation": answer.text,
            "confidence": confidence,
            "is_source_language": looks_like(text, service.source_language),
            **await service.words(text, answer.text, answer.lines),
        }

    @app.post(
        "/api/align",
        response_model=None,
        responses=schema.responses(aligned, has_body=True),
        openapi_extra=schema.request_body(two_texts, two_texts),
    )
    async def align(request: Request) -> dict[str, Any]:
        fields = await authorized_fields(request, access)
        text, translation = (text_of(fields, name, service.limits) for name in ("text", "translation"))
        lines = service.given(text, translation)
        return {"translation": translation, **await service.words(text, translation, lines)}


def _add_alternatives(app: FastAPI, service: Service, access: Access) -> None:
    text, _ = schema.texts(service.limits)
    # The descriptions state conditions that JSON Schema cannot express.
    translation = text | {"description": "400 if it does not have as many lines as the text"}
    word = {"type": "integer", "minimum": 0, "description": "400 if the translation has no such word"}
    alternative = schema.fields(
        word=schema.TEXT,
        line=schema.TEXT,
        row=schema.INTEGER,
        prefix=schema.TEXT,
        text=schema.TEXT,
        probability=schema.NUMBER,
    )
    result = schema.fields(alternatives=schema.list_of(alternative))

    @app.post(
        "/api/alternatives",
        response_model=None,
        responses=schema.responses(result, has_body=True),
        openapi_extra=schema.request_body(schema.fields(text=text, translation=translation, word=word), None),
    )
    async def alternatives(request: Request) -> dict[str, Any]:
        fields = await authorized_fields(request, access)
        text, translation = (text_of(fields, name, service.limits) for name in ("text", "translation"))
        word = fields.get("word")
        if type(word) is not int:
            raise RefusedError(400, "Invalid request: word parameter is not an integer")
        return {"alternatives": await service.alternatives(text, translation, word)}


def _add_explain(app: FastAPI, service: Service, access: Access) -> None:
    text, _ = schema.texts(service.limits)
    prefix = {
        "type": "string",
        "maxLength": service.limits.max_characters,
        "description": "400 if it has several lines, or more pieces than the model accepts",
    }
    body = schema.fields(
        ("prefix",), text=text | {"description": "400 if it has several lines"}, prefix=prefix
    )

    @app.post(
        "/api/explain",
        response_class=Response,
        responses=schema.responses(None, 501, kind="text/html", has_body=True),
        openapi_extra=schema.request_body(body, body),
    )
    async def explanation(request: Request) -> Response:
        fields = await authorized_fields(request, access)
        text = text_of(fields, "text", service.limits)
        prefix = "" if fields.get("prefix", "") == "" else text_of(fields, "prefix", service.limits)
        page = await service.explanation(text, prefix)
        return Response(page, media_type="text/html; charset=utf-8", headers=_EXPLANATION_HEADERS)
