"""Access control: addresses, the Host header, origins and the API key."""

import hmac
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from translator.errors import ServeError, UsageError
from translator.serve.limits import RefusedError

KEY_VARIABLE = "PASSERELLE_API_KEY"

#: Minimum length of the API key. 16 characters of base64 are 96 bits; a much shorter key could be guessed.
MIN_KEY_LENGTH = 16

#: Names of this machine in a Host header.
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

_PORTS = {"http": 80, "https": 443}

#: A host name or address, without scheme, port and path, and in ASCII, as browsers send it.
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True)
class Access:
    """The rules for who may use the service.

    Attributes:
        api_key: the API key that clients must send; None if they need none.
        local_only: whether the service listens on a loopback address. If it does, the Host header of a
            request must name this machine or one of `hosts`. Any other name is a domain that somebody
            pointed at this machine (DNS rebinding).
        origins: origins of other websites that may use the service; `*` allows all.
        hosts: lower-case host names that are accepted in addition to `LOCAL_NAMES`. Clients use them to
            reach the service through a proxy on this machine.
    """

    api_key: str | None = None
    local_only: bool = True
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def check_host(self, host: str) -> None:
        """If the service is local only, refuse a Host header other than this machine or `hosts`.

        Raises:
            RefusedError: with status 421, if the Host header is refused.
        """
        name = _without_port(host)
        if self.local_only and not is_loopback(name) and name not in self.hosts:
            known = ", ".join(LOCAL_NAMES)
            raise RefusedError(421, f"This service only answers to {known} and names given by --public-host")

    def allows_origin(self, origin: str, host: str) -> bool:
        """Return whether a page may use the service.

        Our own page may use it, and so may pages of an allowed origin.

        Args:
            origin: the Origin header of a request from the page.
            host: the Host header of that request.
        """
        try:
            name = urlsplit(origin).netloc
        except ValueError:  # unclosed brackets, an invalid port
            return False
        # A proxy may listen on a different port than the one in the Host header that it sends. The ports of
        # public hosts are therefore not compared.
        is_ours = name != "" and (name == host or _without_port(name) in self.hosts)
        return is_ours or self.is_allowed_origin(origin)

    def is_allowed_origin(self, origin: str) -> bool:
        """Return whether `--allow-origin` allows an origin. Pages of such an origin may read responses."""
        return "*" in self.origins or _origin(origin) in self.origins

    def check_address(self, query: bytes) -> None:
        """Refuse an API key in the query string, because proxies and browsers log query strings.

        Raises:
            RefusedError: with status 400, if the query string has the field `api_key`.
        """
        fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        if any(name.lower() == "api_key" for name, _ in fields):
            raise RefusedError(
                400,
                "An API key is not accepted in the URL; send it in the body or as Authorization: Bearer",
            )

    def check_key(self, key: object, headers: Mapping[str, str]) -> None:
        """Check the API key of a request, if the service has a key.

        Args:
            key: the field `api_key` of the body, if any.
            headers: the request headers. If the body has no key, `Authorization: Bearer` is used.

        Raises:
            RefusedError: with status 400 if the request has no key, or 403 if its key is wrong.
        """
        if self.api_key is None:
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if not key and scheme.lower() == "bearer":
            key = bearer.strip()
        if not key:
            raise RefusedError(400, "Please contact the server operator to get an API key")
        if not hmac.compare_digest(str(key).encode("utf-8", "replace"), self.api_key.encode()):
            raise RefusedError(403, "Invalid API key")


def is_loopback(host: str) -> bool:
    """Return whether a host is `localhost` or an address that can be reached from this machine only."""
    address = _address(host)
    if address is None:
        return host.lower().removesuffix(".") == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def strip_brackets(host: str) -> str:
    """Return a host without the brackets that an IPv6 address has in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(strip_brackets(host))
    except ValueError:
        return None


def _without_port(host: str) -> str:
    """Return a host in lower case, without the port that it may have in a Host header or an origin."""
    return re.sub(":[0-9]*$", "", host).removesuffix(".").lower()


def read_key(path: Path | None) -> str | None:
    """Read the API key from a file or, if `path` is None, from the environment variable `KEY_VARIABLE`.

    Returns:
        The key, or None if there is neither a file nor the environment variable.

    Raises:
        ServeError: the file cannot be read, or the key is too short or not one line of printable ASCII.
    """
    if path is None:
        key, where = os.environ.get(KEY_VARIABLE), KEY_VARIABLE
    else:
        try:
            key, where = path.read_bytes().decode("utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ServeError(f"--api-key-file {path}: cannot be read: {reason}") from None
    if key is None:
        return None
    key = key.removeprefix("\ufeff").strip()
    if len(key) < MIN_KEY_LENGTH:
        raise ServeError(
            f"{where}: the API key has {len(key)} characters; give at least {MIN_KEY_LENGTH}, "
            "for example by `openssl rand -base64 24`"
        )
    if not (key.isascii() and key.isprintable()):
        raise ServeError(
            f"{where}: the API key is not one line of printable ASCII; give one like the output of "
            "`openssl rand -base64 24`"
        )
    return key


def access_for(
    host: str, *, key_file: Path | None, origins: tuple[str, ...], public_hosts: tuple[str, ...] = ()
) -> Access:
    """Return the access rules for a service that listens on an address.

    Raises:
        ServeError: other machines can reach the address but there is no API key, or `read_key` fails.
        UsageError: the address, an origin or a public host is malformed.
    """
    if _address(host) is None and not _HOST.fullmatch(host):
        raise UsageError(
            f"--host {host!r} is not a host name or address; give one like 127.0.0.1 or localhost"
        )
    for name in public_hosts:
        if not _HOST.fullmatch(name):
            raise UsageError(
                f"--public-host {name!r} is not a host name; give one like translate.example.org"
            )
    allowed = tuple(origin if origin == "*" else _origin(origin) for origin in origins)
    for given, origin in zip(origins, allowed, strict=True):
        if origin == "":
            raise UsageError(f"--allow-origin {given!r} is not an origin; give one like https://example.org")
    key = read_key(key_file)
    if key is None and not is_loopback(host):
        raise ServeError(
            f"--host {host} can be reached from other machines, and needs an API key; "
            f"give --api-key-file FILE or the environment variable {KEY_VARIABLE}"
        )
    hosts = tuple(_without_port(name) for name in public_hosts)
    return Access(api_key=key, local_only=is_loopback(host), origins=allowed, hosts=hosts)


def _origin(text: str) -> str:
    """Return an origin as browsers send it: in lower case and without its default port.

    For a malformed origin, return "".
    """
    try:
        parts = urlsplit(text.lower())
        port = parts.port
    except ValueError:  # unclosed brackets, an invalid port
        return ""
    name = _without_port(parts.netloc)
    if f"{parts.scheme}://{parts.netloc}" != text.lower() or not _HOST.fullmatch(name):
        return ""
    is_default = port is None or port == _PORTS.get(parts.scheme)
    return f"{parts.scheme}://{name}" if is_default else f"{parts.scheme}://{name}:{port}"
