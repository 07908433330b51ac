"""Who may ask: addresses, the Host header, origins and the API key."""

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

#: Shorter keys are guessed: 16 characters of base64 are 96 bits.
MIN_KEY_LENGTH = 16

#: Names of this machine, as they stand in a Host header.
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

_PORTS = {"http": 80, "https": 443}

#: A name without scheme, port and path, as browsers send it: in ASCII.
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        api_key: what a caller must show; None: nothing.
        local_only: the service listens on loopback, so a Host header with another name is somebody's domain
            that was pointed at this machine (DNS rebinding).
        origins: web pages elsewhere that may use the service; `*` is every one.
        hosts: names, in small letters, that a proxy on this machine gives the service, beside `LOCAL_NAMES`.
    """

    api_key: str | None = None
    local_only: bool = True
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def check_host(self, host: str) -> None:
        """Refuse a request that was meant for another name than this machine's own."""
        name = _without_port(host)
        if self.local_only and not is_loopback(name) and name not in self.hosts:
            known = ", ".join(LOCAL_NAMES)
            raise RefusedError(421, f"This service answers to {known} and what --public-host names, only")

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may ask: our own page, or one that was named at the start."""
        try:
            name = urlsplit(origin).netloc
        except ValueError:  # brackets that do not close, a port that is none
            return False
        # A proxy may listen on another port than the host it names.
        is_ours = name != "" and (name == host or _without_port(name) in self.hosts)
        return is_ours or self.is_foreign_guest(origin)

    def is_foreign_guest(self, origin: str) -> bool:
        """Whether an origin was named at the start, so that its pages may read our answers."""
        return "*" in self.origins or _origin(origin) in self.origins

    def check_address(self, query: bytes) -> None:
        """Refuse an API key in the query string, which proxies and browsers keep."""
        fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        if any(name.lower() == "api_key" for name, _ in fields):
            raise RefusedError(
                400,
                "An API key is not taken from the address; send it in the body or as Authorization: Bearer",
            )

    def check_key(self, shown: object, headers: Mapping[str, str]) -> None:
        """Refuse a caller without the API key, in a field of the request or as `Authorization: Bearer`."""
        if self.api_key is None:
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if not shown and scheme.lower() == "bearer":
            shown = bearer.strip()
        if not shown:
            raise RefusedError(400, "Please contact the server operator to get an API key")
        if not hmac.compare_digest(str(shown).encode("utf-8", "replace"), self.api_key.encode()):
            raise RefusedError(403, "Invalid API key")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on an address, or is asked under it."""
    address = _address(host)
    if address is None:
        return host.lower().removesuffix(".") == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def bare(host: str) -> str:
    """Return an address without the brackets that it has in a URL, or a name."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(bare(host))
    except ValueError:
        return None


def _without_port(host: str) -> str:
    """The name in a Host header or an origin, in small letters."""
    return re.sub(":[0-9]*$", "", host).removesuffix(".").lower()


def read_key(path: Path | None) -> str | None:
    """Return the API key of a file, or else of the environment, or None.

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
            "such as those of `openssl rand -base64 24`"
        )
    if not (key.isascii() and key.isprintable()):
        raise ServeError(
            f"{where}: the API key is not one line of printable ASCII; give one like that of "
            "`openssl rand -base64 24`"
        )
    return key


def access_for(
    host: str, *, key_file: Path | None, origins: tuple[str, ...], public_hosts: tuple[str, ...] = ()
) -> Access:
    """Return who may ask a service on an address.

    Raises:
        ServeError: others can reach the address and there is no API key.
        UsageError: the address or an origin is none, or a public host is more or less than a name.
    """
    if _address(host) is None and not _HOST.fullmatch(host):
        raise UsageError(f"--host {host!r} is no host name or address; give one like 127.0.0.1 or localhost")
    for name in public_hosts:
        if not _HOST.fullmatch(name):
            raise UsageError(f"--public-host {name!r} is no host name; give one like translate.example.org")
    allowed = tuple(origin if origin == "*" else _origin(origin) for origin in origins)
    for given, origin in zip(origins, allowed, strict=True):
        if origin == "":
            raise UsageError(f"--allow-origin {given!r} is no origin; give one like https://example.org")
    key = read_key(key_file)
    if key is None and not is_loopback(host):
        raise ServeError(
            f"--host {host} can be reached from other machines, so an API key is needed; "
            f"give --api-key-file FILE or the environment variable {KEY_VARIABLE}"
        )
    hosts = tuple(_without_port(name) for name in public_hosts)
    return Access(api_key=key, local_only=is_loopback(host), origins=allowed, hosts=hosts)


def _origin(text: str) -> str:
    """An origin as browsers send it, in small letters and without its scheme's own port; "" if it is none."""
    try:
        parts = urlsplit(text.lower())
        port = parts.port
    except ValueError:  # brackets that do not close, a port that is none
        return ""
    name = _without_port(parts.netloc)
    if f"{parts.scheme}://{parts.netloc}" != text.lower() or not _HOST.fullmatch(name):
        return ""
    is_usual = port is None or port == _PORTS.get(parts.scheme)
    return f"{parts.scheme}://{name}" if is_usual else f"{parts.scheme}://{name}:{port}"
