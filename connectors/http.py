"""Requests to database servers: bounded retries, rate limits, and answers that are whole or an error."""

import json
import logging
import math
import random
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, cached_property, partial
from typing import Any, TypeVar

import httpx
import orjson
from pyrate_limiter import Duration, Limiter, Rate
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from engine.errors import CrysiftError
from engine.source import SourceInterruptedError
from engine.store.footer import package_version

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524})
"""Statuses of a server that is busy, or broken for the moment."""
FIRST_ATTEMPTS = 3
"""Of a service that has not answered yet: a wrong address is likelier than an outage."""
LARGEST_ANSWER = 2**30
"""Bytes, unpacked; a larger answer is a fault of the server and would not fit into memory."""
QUOTED = 300
"""Characters of an answer that an error message quotes."""

_BEARER = "Bearer "
_TOKEN = re.compile(f"(?:{_BEARER})?[!-~]+")
_log = logging.getLogger(__name__)

Check = Callable[[dict[str, Any]], str | None]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Patience:
    """How often and how long a request is tried before the run stops, resumable; times in seconds.

    A server's ``Retry-After`` is obeyed; one that exceeds ``longest_wait`` stops the run. Without it, attempt
    n + 1 comes after a time drawn uniformly between 0 and ``first_wait``·2ⁿ⁻¹ (full jitter), at most
    ``longest_wait``. ``silence`` is the longest pause within an answer, ``answer`` its whole duration.
    """

    attempts: int = 8
    first_wait: float = 1.0
    longest_wait: float = 120.0
    connect: float = 20.0
    silence: float = 120.0
    answer: float = 600.0


@dataclass(frozen=True)
class Reply:
    """An answer: its status, its JSON object, the address it came from, and the server's clock."""

    status: int
    document: dict[str, Any]
    url: str
    answered_at: datetime


class _PassingError(Exception):
    """A failure that may pass; ``after`` is how many seconds the server asks to wait."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


@cache
def _limiter(host: str, per_second: float) -> Limiter:  # noqa: ARG001 -- one for each host
    """One token bucket per host and rate, shared by all clients of this process."""
    if per_second >= 1:
        return Limiter(Rate(int(per_second), Duration.SECOND))
    return Limiter(Rate(1, round(int(Duration.SECOND) / per_second)))


@dataclass(eq=False)
class Client:
    """Connections to one service, at most ``per_second`` requests per host; may be used from many threads.

    ``secret_headers`` are sent to the service's own addresses only: with them, redirects are refused. Their
    values appear in no message.
    """

    per_second: float
    connections: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    patience: Patience = field(default_factory=Patience)
    _answered: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a secret that cannot be sent in a header."""
        for name, secret in self.secret_headers.items():
            if not _TOKEN.fullmatch(secret):
                raise CrysiftError(
                    f"the value for the header {name} is empty, or has spaces, line ends or signs beyond "
                    "ASCII in it; it is not shown here: copy it again"
                )

    @cached_property
    def _http(self) -> httpx.Client:
        times = httpx.Timeout(self.patience.silence, connect=self.patience.connect, pool=None)
        return httpx.Client(
            headers={
                "accept": "application/json",
                "accept-encoding": "gzip, deflate",
                "user-agent": f"crysift/{package_version()}",
                **self.headers,
                **self.secret_headers,
            },
            timeout=times,
            limits=httpx.Limits(max_connections=self.connections),
            follow_redirects=not self.secret_headers,
        )

    def close(self) -> None:
        """Close all connections; a later request opens them again."""
        if "_http" in vars(self):
            self._http.close()
            del self._http

    def get(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        expect: Collection[int] = (),
        check: Check | None = None,
    ) -> Reply:
        """Ask for a JSON object.

        ``expect`` are statuses besides success that the caller understands: they are returned, not retried.
        ``check`` tells, of a successful answer, why it is not the one that was asked for: it is asked again.

        Raises:
            SourceInterruptedError: no whole answer came after ``patience.attempts`` attempts.
            CrysiftError: the server refuses the request.
        """
        return self._ask(self._request("GET", url, params=params), partial(self._attempt, expect, check))

    def post(
        self, url: str, body: Mapping[str, Any], expect: Collection[int] = (), check: Check | None = None
    ) -> Reply:
        """Send a query as JSON and return the JSON object that answers it; as ``get`` otherwise."""
        headers = {"content-type": "application/json"}
        request = self._request("POST", url, content=orjson.dumps(body), headers=headers)
        return self._ask(request, partial(self._attempt, expect, check))

    def get_text(self, url: str, expect: Collection[int]) -> str | None:
        """Ask for a text, None where the answer has one of the statuses ``expect``; as ``get`` otherwise."""

        def attempt(request: httpx.Request) -> str | None:
            response, body = self._exchange(expect, request)
            return body.decode(errors="replace") if response.is_success else None

        return self._ask(self._request("GET", url), attempt)

    def _request(self, method: str, url: str, **parts: Any) -> httpx.Request:
        try:
            request = self._http.build_request(method, url, **parts)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise CrysiftError(f"{url[:QUOTED]!r} is no address of a web service: {error}") from error
        if request.url.userinfo:
            raise CrysiftError(
                f"the address of {request.url.host} holds a user name or a password, which would be stored "
                "and logged with every page: leave it out"
            )
        if request.url.scheme not in {"http", "https"} or not request.url.host:
            raise CrysiftError(f"{url[:QUOTED]!r} is no address of a web service: it begins with https://")
        return request

    def _ask(self, request: httpx.Request, attempt: Callable[[httpx.Request], _Answer]) -> _Answer:
        retrying = Retrying(
            stop=self._gives_up,
            wait=self._wait,
            retry=retry_if_exception_type(_PassingError),
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return retrying(attempt, request)
        except _PassingError as failure:
            attempts = retrying.statistics["attempt_number"]
            raise SourceInterruptedError(
                f"{_address(request)} gave no usable answer in {attempts} attempts; the last one: {failure}. "
                f"{self._advice}"
            ) from failure

    def _gives_up(self, state: RetryCallState) -> bool:
        """Whether to try no more: sooner where the service never answered, at once where it was closed."""
        return state.attempt_number >= self._attempts or "_http" not in vars(self)

    @property
    def _attempts(self) -> int:
        return self.patience.attempts if self._answered else min(FIRST_ATTEMPTS, self.patience.attempts)

    @property
    def _advice(self) -> str:
        if self._answered:
            return (
                "What arrived before is stored: run the same command again later, it goes on where it stopped"
            )
        return "Is the address right? If it is, run the same command again later"

    def _attempt(self, expect: Collection[int], check: Check | None, request: httpx.Request) -> Reply:
        response, body = self._exchange(expect, request)
        document = _parse(body)
        if document is None and response.is_success:
            raise _PassingError(f"the answer is not one JSON object{self._quoted(body)}")
        problem = check(document) if check and document is not None and response.is_success else None
        if problem:
            raise _PassingError(self._clean(problem))
        self._answered = True
        return Reply(response.status_code, document or {}, str(response.url), _clock(response))

    def _exchange(self, expect: Collection[int], request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """One answer, successful or with a status that is expected."""
        _limiter(request.url.host, self.per_second).try_acquire(request.url.host)
        try:
            response, body = self._receive(request)
        except httpx.RequestError as error:
            raise _PassingError(self._clean(f"{type(error).__name__}: {error}")) from None
        if response.status_code in RETRIED and response.status_code not in expect:
            raise self._busy(response, body)
        if not response.is_success and response.status_code not in expect:
            raise self._refused(response, body)
        return response, body

    def _receive(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """Read an answer whole, within its time and size."""
        deadline = time.monotonic() + self.patience.answer
        body = bytearray()
        response = self._http.send(request, stream=True)
        try:
            for piece in response.iter_bytes():
                body += piece
                if time.monotonic() > deadline:
                    raise _PassingError(f"the answer was not whole after {self.patience.answer:g} s")
                if len(body) > LARGEST_ANSWER:
                    raise CrysiftError(
                        f"{_address(request)} answers with more than {LARGEST_ANSWER:,} bytes; "
                        "ask for fewer entries at a time"
                    )
        finally:
            response.close()
        return response, bytes(body)

    def _busy(self, response: httpx.Response, body: bytes) -> Exception:
        after = _retry_after(response)
        reason = self._clean(f"{response.status_code} {response.reason_phrase}") + self._quoted(body)
        if after is not None and after > self.patience.longest_wait:
            return SourceInterruptedError(
                f"{_address(response.request)} asks to wait {after:,.0f} s ({reason}), longer "
                f"than the {self.patience.longest_wait:g} s that a run waits. What arrived before is stored: "
                "run the same command again then, it goes on where it stopped"
            )
        return _PassingError(reason, after)

    def _refused(self, response: httpx.Response, body: bytes) -> CrysiftError:
        address = _address(response.request)
        if response.has_redirect_location:
            target = self._clean(response.headers["location"])[:2000]
            return CrysiftError(f"{address} redirects to {target}, where no key is sent: name that address")
        reason = self._clean(f"{response.status_code} {response.reason_phrase}") + self._quoted(body)
        doubt = "; is the key right?" if self.secret_headers and response.status_code in {401, 403} else ""
        host = response.request.url.host
        return CrysiftError(f"{host} refuses the request: {reason}{doubt} ({address[:QUOTED]})")

    def _wait(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        after = failure.after if isinstance(failure, _PassingError) else None
        if after is not None:
            return after
        longest = min(self.patience.longest_wait, self.patience.first_wait * 2 ** (state.attempt_number - 1))
        return random.uniform(0, longest)  # noqa: S311 -- spreads requests, hides nothing

    def _tell(self, state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        request: httpx.Request = state.args[0]
        _log.warning(
            "%s: %s; attempt %d of %d in %.1f s",
            request.url.host,
            failure,
            state.attempt_number + 1,
            self._attempts,
            pause,
        )

    def _quoted(self, body: bytes) -> str:
        """The beginning of an answer, cut when it is cleaned: half a secret is one, too."""
        text = " ".join(body[: 2**16].decode(errors="replace").split())
        text = self._clean("".join(filter(str.isprintable, text)))[:QUOTED]
        return f": {text}" if text else ""

    def _clean(self, text: str) -> str:
        for secret in self.secret_headers.values():
            text = text.replace(secret.removeprefix(_BEARER), "***")
        return text


def _address(request: httpx.Request) -> str:
    return f"{request.method} {str(request.url)[:2000]}"


def _parse(body: bytes) -> dict[str, Any] | None:
    """Decode a JSON object, with NaN and Infinity where a server writes them; they become rejects later."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _parse_tolerantly(body)
    return document if isinstance(document, dict) else None


def _parse_tolerantly(body: bytes) -> Any:
    """Decode JSON as Python does, halves of surrogate pairs replaced by ``?``; None where it is no JSON."""
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return json.loads(text.encode(errors="replace"))


def _clock(response: httpx.Response) -> datetime:
    return _date(response.headers.get("date", "")) or datetime.now(UTC)


def _date(text: str) -> datetime | None:
    """The time that a header names; without a zone it is UTC."""
    try:
        date = parsedate_to_datetime(text)
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait, whether it gives them or a date."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        after = float(value)
    except ValueError:
        date = _date(value)
        after = (date - _clock(response)).total_seconds() if date else math.nan
    return None if math.isnan(after) else max(after, 0.0)
