"""What a request says, whichever way it says it: JSON, a form, a form in parts, or the address itself."""

import codecs
import json
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.formparsers import MultiPartException, MultiPartParser

from translator.serve.limits import Limits, RefusedError

#: More fields than any request has.
_MAX_FIELDS = 100

#: What a body may be.
BODY_TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")


async def fields_of(request: Request) -> dict[str, Any]:
    """Return the fields of a request; in JSON a value may be anything, in a form it is a text.

    Raises:
        RefusedError: 400 where the body is not what its Content-Type says, or is not UTF-8; 415 where nothing
            of that type or Content-Encoding is read.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise RefusedError(415, f"Content-Encoding {encoding} is not read; send the body as it is")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return _json(await request.body())
    fields = _form(request.url.query.encode("ascii", "replace"))
    if kind == "multipart/form-data":
        return fields | await _parts(request, await request.body())
    body = await request.body()
    if body and kind not in ("", "application/x-www-form-urlencoded"):
        raise RefusedError(415, f"Content-Type {kind} is not read; send {', '.join(BODY_TYPES)}")
    return fields | _form(body)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body.decode("utf-8-sig"), parse_constant=_no_number)
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except (ValueError, RecursionError):
        raise RefusedError(400, "Invalid JSON format") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "Invalid JSON format")
    return found


def _no_number(name: str) -> Any:
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
    return dict(reversed(pairs))  # of a name given twice the first one counts


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
        parser.is_whole = False
    if not parser.is_whole:
        raise RefusedError(400, "Invalid request: the form cannot be read")
    return {name: value for name, value in reversed(form.multi_items()) if isinstance(value, str)}


class _Parser(MultiPartParser):
    """Starlette's, which takes a form without its end for whole and reads what is no UTF-8 as Latin-1."""

    is_whole = False

    def on_headers_finished(self) -> None:
        for name, value in self._current_part.item_headers:
            if name == b"content-type":
                _check_charset(value)
        super().on_headers_finished()

    def on_end(self) -> None:
        self.is_whole = True


def _check_charset(content_type: str | bytes) -> None:
    """Refuse a form, or a part of one, that says of itself that it is not UTF-8."""
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
    """Return the text of `q`, or its texts where it is a list, with line feeds alone between lines.

    Raises:
        RefusedError: 400 where there is none, something else, or more than the limits allow.
    """
    given = fields.get("q")
    if not given:
        raise RefusedError(400, "Invalid request: missing q parameter")
    texts = given if isinstance(given, list) else [given]
    if len(texts) > limits.max_texts:
        raise RefusedError(400, _too_long(len(texts), limits.max_texts))
    return [_text("q", text, limits) for text in texts]


def text_of(fields: dict[str, Any], name: str, limits: Limits) -> str:
    """Return one text of a request; see `texts_of`."""
    return _text(name, word_of(fields, name), limits)


def _text(name: str, given: Any, limits: Limits) -> str:
    if not isinstance(given, str):
        raise RefusedError(400, f"Invalid request: {name} parameter is no text")
    if len(given) > limits.max_characters:
        raise RefusedError(400, _too_long(len(given), limits.max_characters))
    return _whole(given).replace("\r\n", "\n")


def word_of(fields: dict[str, Any], name: str) -> str:
    """Return a field that must be there and be text, such as the code of a language.

    Raises:
        RefusedError: 400 where it is missing or something else.
    """
    given = fields.get(name)
    if not given:
        raise RefusedError(400, f"Invalid request: missing {name} parameter")
    if not isinstance(given, str):
        raise RefusedError(400, f"Invalid request: {name} parameter is no text")
    return _whole(given)


def n_alternatives_of(fields: dict[str, Any], limits: Limits) -> int:
    """Return how many alternatives are wanted, 0 where the request does not say.

    Raises:
        RefusedError: 400 where it is no whole number, below 0 or above the limit.
    """
    given = fields.get("alternatives")
    if given is None or given == "":
        return 0
    try:
        wanted = int(given)
    except (TypeError, ValueError, OverflowError):
        wanted = None
    if wanted is None or isinstance(given, bool) or (isinstance(given, float) and given != wanted):
        raise RefusedError(400, "Invalid request: alternatives parameter is not a number")
    most = limits.max_alternatives
    if not 0 <= wanted <= most:
        bound = f"<= {most}" if wanted > most else ">= 0"
        raise RefusedError(400, f"Invalid request: alternatives parameter must be {bound}")
    return wanted


def _too_long(given: int, most: int) -> str:
    return f"Invalid request: request ({given}) exceeds text limit ({most})"


def _whole(text: str) -> str:
    """A text with lone surrogates, which JSON can spell and UTF-8 cannot, as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
