"""Access control: checks of the listening address, and of a request's Host header, origin and API key."""

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

#: Minimum number of characters of the API key. 16 random characters of base64 contain 96 bits, too many to
#: guess.
MIN_KEY_LENGTH = 16

#: Names of this machine that the error message for a refused Host header suggests. `is_loopback` also accepts
#: other names.
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

_PORTS = {"http": 80, "https": 443}

#: Matches a host name or an address without a scheme, a port or a path. The name must be in ASCII, because
#: browsers convert other names to ASCII before they send them.
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True)
class Access:
    """The rules that decide which requests the service accepts.

    Attributes:
        api_key: the API key that clients must send; None if clients need no key.
        local_only: whether the service listens on a loopback address. If it does, the Host header of a
            request must name this machine or one of `hosts`. Any other name is refused, because it may be a
            domain that an attacker has pointed at this machine (DNS rebinding).
        origins: origins of other websites whose pages may use the service; `*` allows all origins.
        hosts: lower-case host names that the Host header may contain in addition to the names of this
            machine. Clients use these names to reach the service through a proxy on this machine.
    """

    api_key: str | None = None
    local_only: bool = True
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def check_host(self, host: str) -> None:
        """If `local_only` is true, refuse a Host header that names neither this machine nor one of `hosts`.

        Raises:
            RefusedError: with status 421, if the Host header is refused.
        """
        name = _without_port(host)
        if self.local_only and not is_loopback(name) and name not in self.hosts:
            known = ", ".join(LOCAL_NAMES)
            raise RefusedError(421, f"This service only answers to {known} and names given by --public-host")

    def allows_origin(self, origin: str, host: str) -> bool:
        """Return whether a page may use the service.

        The service's own page may use it, and so may any page whose origin `is_allowed_origin` accepts.

        Args:
            origin: the Origin header of a request from the page.
            host: the Host header of that request.
        """
        try:
            name = urlsplit(origin).netloc
        except ValueError:  # for example, because a bracket is not closed
            return False
        # The ports are ignored if the name is in `hosts`: the port that a proxy listens on may differ from
        # the port in the Host header that the proxy sends to the service.
        is_ours = name != "" and (name == host or _without_port(name) in self.hosts)
        return is_ours or self.is_allowed_origin(origin)

    def is_allowed_origin(self, origin: str) -> bool:
        """Return whether `--allow-origin` allows an origin. If so, its pages may read the responses."""
        return "*" in self.origins or _origin(origin) in self.origins

    def check_address(self, query: bytes) -> None:
        """Refuse a query string that contains an API key, because proxies and browsers log query strings.

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
        """Check the API key of a request. A service without a key accepts every request.

        Args:
            key: the field `api_key` of the request; None if the request has no such field.
            headers: the request headers. If `key` is empty or None, then the key is read from the header
                `Authorization: Bearer`.

        Raises:
            RefusedError: with status 400 if the request has no key, or with status 403 if its key is wrong.
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
    """Return whether a host is `localhost` or an address that only this machine can reach."""
    address = _address(host)
    if address is None:
        return host.lower().removesuffix(".") == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def strip_brackets(host: str) -> str:
    """Return a host without the square brackets that surround an IPv6 address in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(strip_brackets(host))
    except ValueError:
        return None


def _without_port(host: str) -> str:
    """Return the host from `host` or `host:port`, in lower case and without a final full stop."""
    return re.sub(":[0-9]*$", "", host).removesuffix(".").lower()


def read_key(path: Path | None) -> str | None:
    """Read the API key from a file or, if `path` is None, from the environment variable `KEY_VARIABLE`.

    Returns:
        The key, or None if `path` is None and the environment variable is not set.

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
    """Return the access rules for a service that listens on the address `host`.

    Raises:
        ServeError: there is no API key although other machines can reach the address, or `read_key` fails.
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
    """Return an origin as browsers send it: in lower case and without the default port of its scheme.

    If the origin is malformed, return "".
    """
    try:
        parts = urlsplit(text.lower())
        port = parts.port
    except ValueError:  # for example, because a bracket is not closed or the port is not a number
        return ""
    name = _without_port(parts.netloc)
    if f"{parts.scheme}://{parts.netloc}" != text.lower() or not _HOST.fullmatch(name):
        return ""
    is_default = port is None or port == _PORTS.get(parts.scheme)
    return f"{parts.scheme}://{name}" if is_default else f"{parts.scheme}://{name}:{port}"
