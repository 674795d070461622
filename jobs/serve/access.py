"""Who may ask: the browser that opened the printed address, by the right name of this machine."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

TOKEN_BYTES = 32


@dataclass(frozen=True)
class Access:
    """A random token, and the names under which the server is reached; any other name is refused.

    A page of another site whose name is made to point at 127.0.0.1 (DNS rebinding) comes under its own name.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES), repr=False)

    @property
    def url(self) -> str:
        """The address to open."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token: cookies do not tell ports apart."""
        return f"crysift-{self.port}"

    def knows_host(self, request: Request) -> bool:
        """Whether the request names this server."""
        return request.headers.get("host", "") in {
            f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")
        }

    def is_token(self, given: str) -> bool:
        """Whether this is the token, in a time that does not tell how much of it is right."""
        return secrets.compare_digest(given.encode(), self.token.encode())

    def is_granted(self, request: Request) -> bool:
        """Whether the request bears the token, in the cookie or as a bearer token."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else request.cookies.get(self.cookie, "")
        return self.is_token(given)
