"""An OPTIMADE service: the addresses of its version 1, and what its refusals say."""

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from connectors.http import RETRIED, Check, Client, Patience, Reply
from engine.errors import CrysiftError

PER_SECOND = 4.0
"""Requests per second to one host; most providers are small."""
PER_SECOND_HERE = 10_000.0
"""The same for a server on this machine."""
CONNECTIONS = 4
TOO_MUCH = frozenset({413, 504})
"""Statuses of a service, or the gateway before it, that cannot give so many entries at a time."""
REFUSALS = frozenset(range(400, 500)) - RETRIED | {501, 553}
"""Statuses of a request that will be refused again."""
BREAKDOWNS = frozenset({500, 502, 504})
"""Statuses of a server that breaks down, for the moment or over each request of the kind."""
UNABLE = REFUSALS | BREAKDOWNS

_VERSION = re.compile(r"/v\d+(\.\d+)*$")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Service:
    """The service at ``base_url``, an address without version."""

    base_url: str
    client: Client

    @property
    def source(self) -> str:
        """Name of the database as a source: that of its address."""
        parts = urlsplit(self.base_url)
        return f"optimade.{parts.netloc.strip('[').replace(']', '').replace(':', '-')}{parts.path}"

    @property
    def structures(self) -> str:
        """Address of the list of structures."""
        return self.address("structures")

    def address(self, endpoint: str, params: Mapping[str, str | int] | None = None) -> str:
        """Address of an endpoint of version 1."""
        query = f"?{urlencode(params, quote_via=quote)}" if params else ""
        return f"{self.base_url}/v1/{endpoint}{query}"

    def ask(self, address: str, check: Check | None = None, expect: Collection[int] = ()) -> Reply:
        """Ask for a document; the status may be one of ``expect``.

        Raises:
            SourceInterruptedError: no whole answer came.
            CrysiftError: the service refuses the request; the message quotes it.
        """
        reply = self.client.get(address, expect=REFUSALS.union(expect), check=check)
        if reply.status in REFUSALS.difference(expect):
            raise refusal(address, reply)
        return reply

    def attempt(self, address: str) -> Reply:
        """Ask for what the service may refuse, or break down over; the status may be one of ``UNABLE``."""
        for _ in range(2):
            reply = self.client.get(address, expect=UNABLE)
            if reply.status not in BREAKDOWNS:
                return reply
        return self.client.get(address, expect=UNABLE)


def service_at(text: str, patience: Patience) -> Service:
    """Return the service at an address, which may end with the version or with an endpoint of it.

    Raises:
        CrysiftError: it is no address of a web service.
    """
    base_url = normalized(text)
    host = urlsplit(base_url).hostname or ""
    rate = PER_SECOND_HERE if _is_here(host) else PER_SECOND
    return Service(base_url, Client(rate, CONNECTIONS, patience=patience))


def normalized(text: str) -> str:
    """Bring the addresses of one service to one form: no version, no default port, no slash at the end."""
    try:
        parts = urlsplit(text.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise CrysiftError(f"{text[:200]!r} is no address of a web service: {error}") from error
    if parts.scheme not in _DEFAULT_PORTS or not host or not text.isprintable():
        raise CrysiftError(
            f"{text[:200]!r} is no address of a web service; it looks like https://optimade.example.org/v1"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise CrysiftError(
            f"the address of {host} holds a user name, a password or parameters, which are no part of an "
            "OPTIMADE base URL: leave them out"
        )
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        place += f":{port}"
    path = parts.path.rstrip("/").removesuffix("/structures").removesuffix("/info")
    return f"{parts.scheme}://{place}{_VERSION.sub('', path)}"


def refusal(address: str, reply: Reply) -> CrysiftError:
    """The error that tells what was asked, and why it was refused."""
    phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else ""
    said = "; ".join(_details(reply.document))[:1000]
    reason = f"{reply.status} {phrase}".rstrip() + (f": {said}" if said else "")
    return CrysiftError(f"GET {address[:2000]} is refused: {reason}")


def _details(document: dict[str, Any]) -> list[str]:
    """What the JSON:API errors of an answer say, printable."""
    errors = document.get("errors")
    errors = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    texts = [error.get("detail") or error.get("title") for error in errors]
    texts += [document.get(name) for name in ("detail", "message") if not texts]
    return [" ".join(filter(str.isprintable, text.split())) for text in texts if isinstance(text, str)]


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
