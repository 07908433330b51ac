"""The web page, and the routes that it asks beside those of LibreTranslate."""

from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from translator.serve import schema
from translator.serve.access import Access
from translator.serve.limits import RefusedError
from translator.serve.request_parsing import fields_of, text_of
from translator.serve.service import Service

#: Route → file in `page/`.
_FILES = {
    "/": "index.html",
    "/page.js": "page.js",
    "/page.css": "page.css",
    "/icon.svg": "icon.svg",
    "/favicon.ico": "icon.svg",  # asked for by pages that name none
}
_MEDIA_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

#: The explanation itself says what it may load (`explain.policy`: its own script and style). It has an origin
#: of its own and no part in ours, so that nothing in it could ask this service for anything.
_EXPLANATION_POLICY = "frame-ancestors 'none'; sandbox allow-scripts"


def add_page(app: FastAPI, service: Service, access: Access) -> None:
    """Add the page's files and the routes under /api/ to an application."""
    folder = resources.files("translator.serve") / "page"
    for path, name in _FILES.items():
        content = (folder / name).read_bytes()
        headers = {"Content-Type": f"{_MEDIA_TYPES[name.rpartition('.')[2]]}; charset=utf-8"}
        if path == "/":  # with `no-referrer` a browser says that its form is of no origin
            headers["Referrer-Policy"] = "same-origin"
        _add_file(app, path, content, headers)

    async def fields(request: Request) -> dict[str, Any]:
        found = await fields_of(request)
        access.check_key(found.get("api_key"), request.headers)
        return found

    a_text, _ = schema.texts(service.limits)
    only_text = schema.fields(text=a_text)
    both_texts = schema.fields(text=a_text, translation=a_text)
    # What no schema can say stands beside it.
    as_many_lines = a_text | {"description": "400 where it has not as many lines as the text"}
    number = {"type": "integer", "minimum": 0, "description": "400 where the translation has no such word"}
    of_word = schema.fields(text=a_text, translation=as_many_lines, word=number)
    prefix = {
        "type": "string",
        "maxLength": service.limits.max_characters,
        "description": "400 where it has several lines, or more pieces than the model takes",
    }
    one_line = a_text | {"description": "400 where it has several lines"}
    with_prefix = schema.fields(("prefix",), text=one_line, prefix=prefix)
    pieces = schema.list_of({"type": "array", "minItems": 2, "maxItems": 2})
    links = schema.list_of(schema.list_of(schema.WHOLE))
    linked = schema.fields(translation=schema.TEXT, source=pieces, target=pieces, links=links)

    @app.post(
        "/api/translate",
        response_model=None,
        responses=schema.answers(linked, has_body=True),
        openapi_extra=schema.takes(only_text, only_text),
    )
    async def translate(request: Request) -> dict[str, Any]:
        text = text_of(await fields(request), "text", service.limits)
        [answer] = await service.translate([text])
        return {"translation": answer.text, **await service.words(text, answer.text)}

    @app.post(
        "/api/align",
        response_model=None,
        responses=schema.answers(linked, has_body=True),
        openapi_extra=schema.takes(both_texts, both_texts),
    )
    async def align(request: Request) -> dict[str, Any]:
        given = await fields(request)
        text, translation = (text_of(given, name, service.limits) for name in ("text", "translation"))
        return {"translation": translation, **await service.words(text, translation)}

    other = schema.fields(
        word=schema.TEXT,
        line=schema.TEXT,
        row=schema.WHOLE,
        prefix=schema.TEXT,
        text=schema.TEXT,
        probability=schema.NUMBER,
    )

    @app.post(
        "/api/alternatives",
        response_model=None,
        responses=schema.answers(schema.fields(alternatives=schema.list_of(other)), has_body=True),
        openapi_extra=schema.takes(of_word, None),
    )
    async def alternatives(request: Request) -> dict[str, Any]:
        given = await fields(request)
        text, translation = (text_of(given, name, service.limits) for name in ("text", "translation"))
        word = given.get("word")
        if type(word) is not int:
            raise RefusedError(400, "Invalid request: word parameter is not a whole number")
        return {"alternatives": await service.other_words(text, translation, word)}

    @app.post(
        "/api/explain",
        response_class=Response,
        responses=schema.answers(None, 501, kind="text/html", has_body=True),
        openapi_extra=schema.takes(with_prefix, with_prefix),
    )
    async def explanation(request: Request) -> Response:
        given = await fields(request)
        text = text_of(given, "text", service.limits)
        prefix = "" if given.get("prefix", "") == "" else text_of(given, "prefix", service.limits)
        page = await service.explanation(text, prefix)
        headers = {"Content-Security-Policy": _EXPLANATION_POLICY}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def _add_file(app: FastAPI, path: str, content: bytes, headers: dict[str, str]) -> None:
    kind = headers["Content-Type"].partition(";")[0]

    @app.get(path, response_class=Response, responses=schema.answers(None, kind=kind))
    async def file() -> Response:
        return Response(content, headers=headers)
