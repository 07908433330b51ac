"""The web application, and those of its routes that are compatible with LibreTranslate.

LibreTranslate defines its routes in `libretranslate/app.py` of
https://github.com/LibreTranslate/LibreTranslate. docs/serve.md lists the
differences between its routes and these.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from translator.errors import PasserelleError
from translator.serve import schema
from translator.serve.access import Access
from translator.serve.language import language_of, name_of
from translator.serve.limits import RefusedError
from translator.serve.metrics import CONTENT_TYPE_LATEST
from translator.serve.middleware import ServiceMiddleware
from translator.serve.page_routes import add_page
from translator.serve.request_parsing import authorized_fields, n_alternatives_of, string_of, texts_of
from translator.serve.service import Answer, Service
from translator.translation.language import detect

_DETECTED = schema.fields(confidence=schema.NUMBER, language=schema.TEXT)


def make_app(service: Service, access: Access) -> ASGIApp:
    """Return the application: all routes, wrapped in `ServiceMiddleware`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.batcher.stop()

    # FastAPI's documentation pages are disabled, because they load scripts from a CDN. Its redirects between
    # paths with and without a final slash are disabled, because they lead to the wrong URL behind a TLS
    # proxy.
    app = FastAPI(
        title="Passerelle", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    _add_errors(app)
    _add_translate(app, service, access)
    _add_detect(app, service, access)
    _add_status(app, service, access)
    add_page(app, service, access)
    if access.api_key is not None:  # all POST routes and /metrics require the key
        document = app.openapi()
        document["components"] = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}
        for path, operations in document["paths"].items():
            if "post" in operations or path == "/metrics":
                next(iter(operations.values()))["security"] = [{"key": []}]
    return ServiceMiddleware(app, access=access, limits=service.limits, metrics=service.metrics)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(request: Request, refusal: RefusedError) -> Response:
        return JSONResponse({"error": refusal.message}, status_code=refusal.status, headers=refusal.headers)

    @app.exception_handler(PasserelleError)
    async def invalid(request: Request, error: PasserelleError) -> Response:
        return JSONResponse({"error": str(error)}, status_code=400)

    @app.exception_handler(Exception)  # Starlette raises the error again, and the middleware logs it
    async def internal_error(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": "Internal error"}, status_code=500)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if headers.get("Allow") == "GET":
            headers["Allow"] = "GET, HEAD"
        return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=headers)


def _add_translate(app: FastAPI, service: Service, access: Access) -> None:
    source, target = service.source_language, service.target_language
    several = schema.list_of(schema.TEXT)
    result = schema.fields(
        ("detectedLanguage", "alternatives", "confidence"),
        translatedText={"anyOf": [schema.TEXT, several]},
        detectedLanguage={"anyOf": [_DETECTED, schema.list_of(_DETECTED)]},
        alternatives={"anyOf": [several, schema.list_of(several)]},
        confidence={"anyOf": [schema.CONFIDENCE, schema.list_of(schema.CONFIDENCE)]},
    )

    @app.post(
        "/translate",
        response_model=None,
        responses=schema.responses(result, has_body=True),
        openapi_extra=schema.request_body(*schema.translation(source, target, service.limits)),
    )
    async def translate(request: Request) -> dict[str, Any]:
        fields = await authorized_fields(request, access)
        texts = texts_of(fields, service.limits)
        is_list = isinstance(fields["q"], list)
        source_code, target_code = (string_of(fields, name).strip() for name in ("source", "target"))
        n_alternatives = n_alternatives_of(fields, service.limits)
        is_auto = source_code.lower() == "auto"
        detected = [detect(text, (source, target))[0] for text in texts] if is_auto else []
        languages = [str(best["language"]) for best in detected]
        languages = languages or [_supported(source_code, service)] * len(texts)
        wanted = _supported(target_code, service)
        text_format = fields.get("format")
        if text_format not in (None, "", "text"):
            raise RefusedError(400, f"{text_format} format is not supported")
        foreign = [text for text, language in zip(texts, languages, strict=True) if language != wanted]
        if foreign and wanted != target:
            names = f"{name_of(source)} ({source})", f"{name_of(target)} ({target})"
            raise RefusedError(400, f"{names[0]} is not available as a target language from {names[1]}")
        translated = iter(await service.translate(foreign, n_alternatives=n_alternatives))
        answers = [  # as in LibreTranslate, a text in the target language is returned unchanged
            Answer(text, []) if language == wanted else next(translated)
            for text, language in zip(texts, languages, strict=True)
        ]
        best, others = [answer.text for answer in answers], [answer.alternatives for answer in answers]
        result: dict[str, Any] = {"translatedText": best if is_list else best[0]}
        if is_auto:
            result["detectedLanguage"] = detected if is_list else detected[0]
        if any(answer.confidence for answer in answers):
            confidences = [answer.confidence and asdict(answer.confidence) for answer in answers]
            result["confidence"] = confidences if is_list else confidences[0]
        if n_alternatives:
            result["alternatives"] = others if is_list else others[0]
        return result


def _supported(code: str, service: Service) -> str:
    """Return the language that a code matches: the service's source language or its target language.

    Raises:
        RefusedError: with status 400, if the code matches neither language.
    """
    language = language_of(code, (service.source_language, service.target_language))
    if language is None:
        raise RefusedError(400, f"{code} is not supported")
    return language


def _add_detect(app: FastAPI, service: Service, access: Access) -> None:
    source, target = service.source_language, service.target_language
    text, text_or_texts = schema.texts(service.limits)

    @app.post(
        "/detect",
        response_model=None,
        responses=schema.responses(schema.list_of(_DETECTED), has_body=True),
        openapi_extra=schema.request_body(
            *(schema.fields(("api_key",), q=q, api_key={}) for q in (text_or_texts, text))
        ),
    )
    async def detect_language(request: Request) -> list[dict[str, Any]]:
        fields = await authorized_fields(request, access)
        return detect("\n".join(texts_of(fields, service.limits)), (source, target))


def _add_status(app: FastAPI, service: Service, access: Access) -> None:
    source, target = service.source_language, service.target_language
    language = schema.fields(code=schema.TEXT, name=schema.TEXT, targets=schema.list_of(schema.TEXT))

    @app.get(
        "/languages",
        response_model=None,
        responses=schema.responses(schema.list_of(language)),
    )
    async def languages() -> list[dict[str, Any]]:
        all_targets = {source: [target, source], target: [target]}
        return [{"code": c, "name": name_of(c), "targets": targets} for c, targets in all_targets.items()]

    @app.get(
        "/health", response_model=None, responses=schema.responses(schema.fields(status=schema.TEXT), 503)
    )
    async def health() -> dict[str, str]:
        problem = await service.health_problem()
        if problem is not None:
            raise RefusedError(503, problem)
        return {"status": "ok"}

    @app.get("/frontend/settings", response_model=None, responses=schema.responses({"type": "object"}))
    async def settings() -> dict[str, Any]:
        sides = {"source": source, "target": target}
        return {
            "charLimit": service.limits.max_characters,
            "frontendTimeout": 500,
            "apiKeys": access.api_key is not None,
            "keyRequired": access.api_key is not None,
            "suggestions": False,
            "filesTranslation": False,
            "supportedFilesFormat": [],
            "language": {side: {"code": code, "name": name_of(code)} for side, code in sides.items()},
            "model": service.model,
        }

    @app.get("/metrics", response_class=Response, responses=schema.responses(None, kind="text/plain"))
    async def metrics(request: Request) -> Response:
        access.check_key(None, request.headers)
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
