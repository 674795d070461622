"""The server of the page: one process, bound to 127.0.0.1."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import CrysiftError
from jobs.serve.access import Access
from jobs.serve.app import make_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from jobs.serve.page import ServedPage
    from jobs.serve.structures import StructureReader

HOST = "127.0.0.1"
SECONDS_TO_END = 2


@dataclass(frozen=True)
class Server:
    """An application and the socket that it listens on."""

    app: FastAPI
    listening: socket.socket
    url: str

    @classmethod
    @contextmanager
    def bound(cls, page: ServedPage, structures: StructureReader, port: int) -> Iterator[Server]:
        """Take a port, a free one for 0; raises CrysiftError where it is taken."""
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind((HOST, port))
                listening.listen()
            except OSError as error:
                raise CrysiftError(
                    f"port {port} of {HOST} cannot be taken ({error.strerror}): name another --port, "
                    "or 0 for a free one"
                ) from error
            access = Access(listening.getsockname()[1])
            yield cls(make_app(page, structures, access), listening, access.url)

    def run(self) -> None:
        """Answer until Ctrl-C."""
        import uvicorn

        settings = uvicorn.Config(
            self.app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[self.listening])
