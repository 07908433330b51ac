"""Parsing of request fields from a JSON body, a URL-encoded form, a multipart form or the query string."""

import codecs
import json
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.formparsers import MultiPartException, MultiPartParser

from translator.data.lines import replace_surrogates
from translator.serve.access import Access
from translator.serve.limits import Limits, RefusedError

#: Maximum number of fields in a form. A valid request has far fewer.
_MAX_FIELDS = 100

#: Content types that are accepted for a request body.
BODY_TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")


async def authorized_fields(request: Request, access: Access) -> dict[str, Any]:
    """Check the API key of a request, and return the fields of the request; see `fields_of`."""
    fields = await fields_of(request)
    access.check_key(fields.get("api_key"), request.headers)
    return fields


async def fields_of(request: Request) -> dict[str, Any]:
    """Return the fields of a request.

    If the body is JSON, all fields come from the body, and they may have any type. Otherwise, the fields come
    from the query string and from the form in the body, and all of them are strings. If the query string and
    the form have a field of the same name, the field of the form is used.

    Raises:
        RefusedError: with status 400, if the body does not match its Content-Type or is not UTF-8; with
            status 415, if its Content-Type or its Content-Encoding is not supported.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise RefusedError(
            415, f"Content-Encoding {encoding} is not supported; send the body without encoding"
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return _json(await request.body())
    fields = _form(request.url.query.encode("ascii", "replace"))
    if kind == "multipart/form-data":
        return fields | await _parts(request, await request.body())
    body = await request.body()
    if body and kind not in ("", "application/x-www-form-urlencoded"):
        raise RefusedError(415, f"Content-Type {kind} is not supported; send {', '.join(BODY_TYPES)}")
    return fields | _form(body)


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except (ValueError, RecursionError):
        raise RefusedError(400, "Invalid JSON format") from None
    if not isinstance(value, dict):
        raise RefusedError(400, "Invalid JSON format")
    return value


def _refuse_constant(name: str) -> Any:  # refuses NaN and Infinity, which are not JSON
    raise ValueError(name)


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except ValueError:
        raise RefusedError(400, f"Invalid request: more than {_MAX_FIELDS} fields") from None
    return dict(reversed(pairs))  # if several fields have the same name, the first is used


def _not_utf8() -> RefusedError:
    return RefusedError(400, "Invalid request: the body is not UTF-8")


async def _parts(request: Request, body: bytes) -> dict[str, Any]:
    _check_charset(request.headers["content-type"])
    try:
        body.decode()
    except UnicodeDecodeError:
        raise _not_utf8() from None
    parser = _Parser(
        request.headers, request.stream(), max_files=0, max_fields=_MAX_FIELDS, max_part_size=2**30
    )
    try:
        form = await parser.parse()
    except (MultiPartException, LookupError):
        parser.is_complete = False
    if not parser.is_complete:
        raise RefusedError(400, "Invalid request: the form cannot be read")
    return {name: value for name, value in reversed(form.multi_items()) if isinstance(value, str)}


class _Parser(MultiPartParser):
    """A multipart parser that notes whether the form is complete, and refuses charsets other than UTF-8.

    Starlette's own parser accepts truncated forms, and it decodes invalid UTF-8 as Latin-1.
    """

    is_complete = False

    def on_headers_finished(self) -> None:
        for name, value in self._current_part.item_headers:
            if name == b"content-type":
                _check_charset(value)
        super().on_headers_finished()

    def on_end(self) -> None:
        self.is_complete = True


def _check_charset(content_type: str | bytes) -> None:
    """Refuse the Content-Type of a form, or of a part of a form, if its charset is not UTF-8."""
    header = Message()
    header["Content-Type"] = (
        content_type.decode("latin-1") if isinstance(content_type, bytes) else content_type
    )
    charset = header.get_content_charset("utf-8")
    try:
        is_utf8 = codecs.lookup(charset).name == "utf-8"
    except (LookupError, ValueError):
        is_utf8 = False
    if not is_utf8:
        raise _not_utf8()


def texts_of(fields: dict[str, Any], limits: Limits) -> list[str]:
    """Return the text or texts of the field `q` as a list. In each text, `\\r\\n` is replaced with `\\n`.

    Raises:
        RefusedError: with status 400, if `q` is missing or empty, is neither a string nor a list of strings,
            or exceeds the limits.
    """
    value = fields.get("q")
    if not value:
        raise RefusedError(400, "Invalid request: missing q parameter")
    texts = value if isinstance(value, list) else [value]
    if len(texts) > limits.max_texts:
        raise RefusedError(400, _too_long(len(texts), limits.max_texts))
    return [_text("q", text, limits) for text in texts]


def text_of(fields: dict[str, Any], name: str, limits: Limits) -> str:
    """Return the text of a required field, validated and normalized as in `texts_of`."""
    return _text(name, string_of(fields, name), limits)


def _text(name: str, value: Any, limits: Limits) -> str:
    if not isinstance(value, str):
        raise RefusedError(400, f"Invalid request: {name} parameter is not a string")
    if len(value) > limits.max_characters:
        raise RefusedError(400, _too_long(len(value), limits.max_characters))
    return replace_surrogates(value).replace("\r\n", "\n")


def string_of(fields: dict[str, Any], name: str) -> str:
    """Return the value of a required string field, such as a language code.

    Raises:
        RefusedError: with status 400, if the field is missing or empty or is not a string.
    """
    value = fields.get(name)
    if not value:
        raise RefusedError(400, f"Invalid request: missing {name} parameter")
    if not isinstance(value, str):
        raise RefusedError(400, f"Invalid request: {name} parameter is not a string")
    return replace_surrogates(value)


def n_alternatives_of(fields: dict[str, Any], limits: Limits) -> int:
    """Return the number in the field `alternatives`, or 0 if the field is missing or empty.

    Raises:
        RefusedError: with status 400, if the number is not an integer, is below 0 or is above the limit.
    """
    value = fields.get("alternatives")
    if value is None or value == "":
        return 0
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, bool) or (isinstance(value, float) and value != number):
        raise RefusedError(400, "Invalid request: alternatives parameter is not a number")
    if not 0 <= number <= limits.max_alternatives:
        bound = ">= 0" if number < 0 else f"<= {limits.max_alternatives}"
        raise RefusedError(400, f"Invalid request: alternatives parameter must be {bound}")
    return number


def _too_long(length: int, limit: int) -> str:
    return f"Invalid request: request ({length}) exceeds text limit ({limit})"
