"""A reverse proxy on loopback that breaks answers by a plan, and notes what it was asked.

``FaultProxy(Upstream(url))`` stands before a server; ``proxy.follow(Rule(status(503), first=2, times=1))``
then breaks the third answer, and ``proxy.log`` holds every request.
"""

import email.utils
import gzip
import json
import os
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import httpx

ALWAYS = sys.maxsize
JSON = "application/json"
UNTOUCHED = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"})
"""Headers of an answer that the proxy writes itself."""


@dataclass(frozen=True)
class Request:
    """What was asked, at which ``moment`` (seconds), and the name of the fault in its answer.

    Names of headers are in lower case. ``ordinal`` counts the earlier requests to the same path.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    moment: float
    ordinal: int = 0
    fault: str = ""

    @property
    def path(self) -> str:
        """The path of the URL."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The parameters in the URL."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """What goes over the wire.

    Its first byte comes after ``delay``, the others in pieces of ``piece`` bytes with a ``pause`` after each
    (seconds). Only a ``share`` of its bytes, head included, is sent before the connection is closed, by a
    reset where ``reset`` is set.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    delay: float = 0.0
    piece: int = 2**16
    pause: float = 0.0
    share: float = 1.0
    reset: bool = False

    @classmethod
    def of_json(cls, document: object) -> Self:
        """A successful answer."""
        return cls(200, {"content-type": JSON}, json.dumps(document).encode())


@dataclass(frozen=True)
class Fault:
    """A way to break an answer."""

    name: str
    change: Callable[[Answer], Answer]


Plan = Callable[[Request], Fault | None]


@dataclass(frozen=True)
class Rule:
    """The fault for ``times`` requests, from the ``first`` on, to each path that contains ``path``."""

    fault: Fault
    first: int = 0
    times: int = ALWAYS
    path: str = ""

    def __call__(self, request: Request) -> Fault | None:
        hit = self.path in request.path and 0 <= request.ordinal - self.first < self.times
        return self.fault if hit else None


@dataclass(frozen=True)
class Chance:
    """One of the faults for a ``share`` of all requests to each path that contains ``path``."""

    faults: Sequence[Fault]
    share: float
    seed: int
    path: str = ""

    def __call__(self, request: Request) -> Fault | None:
        draw = random.Random(f"{self.seed} {request.path} {request.ordinal}")  # noqa: S311 -- repeatable
        hit = self.path in request.path and draw.random() < self.share
        return draw.choice(self.faults) if hit else None


def status(code: int, headers: Mapping[str, str] | None = None) -> Fault:
    """Another status, as of a server or a gateway in trouble."""
    words = ", ".join(f"{name} {value}" for name, value in (headers or {}).items())
    return Fault(
        f"{code} {HTTPStatus(code).phrase}" + (f", {words}" if words else ""),
        lambda _: Answer(code, headers or {}, b"not now"),
    )


def retry_after(code: int, seconds: float, *, date: bool = False) -> Fault:
    """A status with the time after which to ask again, as a number or as a date (whole seconds)."""

    def change(_: Answer) -> Answer:
        value = email.utils.formatdate(time.time() + seconds, usegmt=True) if date else f"{seconds:g}"
        return Answer(code, {"retry-after": value}, b"not now")

    kind = "a date" if date else f"{seconds:g} s"
    return Fault(f"{code} {HTTPStatus(code).phrase}, Retry-After {kind}", change)


def page(name: str, body: bytes, content_type: str) -> Fault:
    """Another body, with status 200."""
    return Fault(name, lambda _: Answer(200, {"content-type": content_type}, body))


def mutated(name: str, change: Callable[[Any], Any]) -> Fault:
    """Another JSON document, made from the right one."""

    def mutate(answer: Answer) -> Answer:
        return replace(answer, body=json.dumps(change(json.loads(answer.body))).encode())

    return Fault(name, mutate)


def reset(share: float = 0.0) -> Fault:
    """A connection that is reset, before the answer or within it."""
    where = "within the answer" if share else "before the answer"
    return Fault(f"connection reset {where}", lambda answer: replace(answer, share=share, reset=True))


def silence() -> Fault:
    """No answer, on a connection that stays open."""
    return Fault("no answer at all", lambda answer: replace(answer, delay=3600.0))


def trickle(pause: float, piece: int = 16) -> Fault:
    """An answer that comes in drops."""
    return Fault("slow body", lambda answer: replace(answer, piece=piece, pause=pause))


def _broken_gzip(answer: Answer) -> Answer:
    packed = bytearray(gzip.compress(answer.body))
    packed[10] = 0xFF  # the first block is of a kind that does not exist
    return replace(answer, headers={**answer.headers, "content-encoding": "gzip"}, body=bytes(packed))


HANG_UP = Fault("connection closed without an answer", lambda answer: replace(answer, share=0.0))
CUT_OFF = Fault("body shorter than its Content-Length", lambda answer: replace(answer, share=0.6))
TRUNCATED = Fault(
    "truncated JSON of the right Content-Length",
    lambda answer: replace(answer, body=answer.body[: len(answer.body) * 2 // 3]),
)
BROKEN_GZIP = Fault("broken gzip", _broken_gzip)
HTML = page("HTML page with status 200", b"<!doctype html><html><body>Back soon</body></html>", "text/html")
EMPTY = page("empty body", b"", JSON)
NOT_AN_OBJECT = page("JSON that is not an object", b'["data", 1]', JSON)


@dataclass
class Upstream:
    """The server behind the proxy; absolute URLs in its answers are turned to point to the proxy."""

    url: str
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=120.0), repr=False)

    def __call__(self, request: Request) -> Answer:
        own = {name: value for name, value in request.headers.items() if name != "host"}
        answer = self._http.request(
            request.method,
            self.url + request.target,
            headers={**own, "accept-encoding": "identity"},
            content=request.body,
        )
        here, there = f"http://{request.headers['host']}", self.url
        dropped = UNTOUCHED - {"content-length"} if request.method == "HEAD" else UNTOUCHED
        headers = {
            name: value.replace(there, here)
            for name, value in answer.headers.items()
            if name.lower() not in dropped
        }
        body = answer.content
        if "json" in answer.headers.get("content-type", ""):
            body = body.replace(there.encode(), here.encode())
        return Answer(answer.status_code, headers, body)


@dataclass
class Recording:
    """A server that does not change: what it answered once is answered again without asking it."""

    source: Callable[[Request], Answer]
    _answers: dict[tuple[str, str, str, bytes], Answer] = field(default_factory=dict, repr=False)

    def __call__(self, request: Request) -> Answer:
        key = (request.method, request.target, request.headers.get("range", ""), request.body)
        if key not in self._answers:
            self._answers[key] = self.source(request)
        return self._answers[key]


class FaultProxy:
    """Answers from ``source``, broken by the plan that it follows; a context manager."""

    def __init__(self, source: Callable[[Request], Answer]) -> None:
        self.source = source
        self.connections = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self.follow()
        self._server = _Server(("127.0.0.1", 0), _Exchange)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def follow(self, *plan: Plan) -> None:
        """Break answers by these rules, of which the first that applies counts; forget earlier requests."""
        with self._lock:
            self.plan = plan
            self.log: list[Request] = []
            self._asked: Counter[str] = Counter()

    def answer(self, request: Request) -> Answer:
        """Note the request, and answer it as the plan says."""
        with self._lock:
            request = replace(request, ordinal=self._asked[request.path])
            self._asked[request.path] += 1
            fault = next((fault for rule in self.plan if (fault := rule(request))), None)
            self.log.append(replace(request, fault=fault.name if fault else ""))
        answer = self.source(request)
        return fault.change(answer) if fault else answer


class _Server(ThreadingHTTPServer):
    proxy: FaultProxy
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what a test expects; anything else is a bug of the test."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self.server.proxy.connections += 1

    def respond(self) -> None:
        """Answer one request."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, self.path, headers, body, time.monotonic())
        answer = self.server.proxy.answer(request)
        self._send(self._raw(_packed(answer, request)), answer)

    do_GET = do_HEAD = do_POST = respond  # noqa: N815 -- the names that the base class looks for

    def _raw(self, answer: Answer) -> bytes:
        headers = {"date": email.utils.formatdate(usegmt=True), "content-length": str(len(answer.body))}
        headers |= answer.headers
        head = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + answer.body

    def _send(self, raw: bytes, answer: Answer) -> None:
        closing = self.server.proxy.closing
        sent = raw[: round(answer.share * len(raw))]
        if answer.delay and closing.wait(answer.delay):
            sent = b""
        for start in range(0, len(sent), answer.piece):
            self.wfile.write(sent[start : start + answer.piece])
            if answer.pause and closing.wait(answer.pause):
                break
        self.close_connection = len(sent) < len(raw)
        if answer.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            os.close(self.connection.detach())

    def log_message(self, *_: object) -> None:
        """The proxy keeps its own log."""


def _packed(answer: Answer, request: Request) -> Answer:
    """The answer in gzip, where the client takes it and the answer is JSON in no encoding yet."""
    plain = "content-encoding" not in answer.headers and "json" in answer.headers.get("content-type", "")
    if not (plain and answer.body and "gzip" in request.headers.get("accept-encoding", "")):
        return answer
    headers = {**answer.headers, "content-encoding": "gzip"}
    return replace(answer, headers=headers, body=gzip.compress(answer.body, 1))
