"""The HTTP client against a server that fails in every way, on loopback."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connectors import http
from connectors.http import Client, Patience
from engine.errors import CrysiftError
from engine.source import SourceInterruptedError
from tests.servers.fault_proxy import (
    BROKEN_GZIP,
    CUT_OFF,
    EMPTY,
    HANG_UP,
    HTML,
    NOT_AN_OBJECT,
    TRUNCATED,
    Answer,
    Chance,
    Fault,
    FaultProxy,
    Request,
    Rule,
    mutated,
    reset,
    retry_after,
    silence,
    status,
    trickle,
)

BRIEF = Patience(attempts=3, first_wait=0.001, longest_wait=3.0, connect=2.0, silence=0.6, answer=1.2)
SECRET = "4711-very-secret-0815"  # noqa: S105 -- of no service
PASSING = [
    *[status(code) for code in sorted(http.RETRIED - {520, 522, 524})],
    retry_after(429, 0),
    status(429, {"retry-after": "soon"}),
    status(503, {"retry-after": "nan"}),
    status(503, {"retry-after": "-7"}),
    status(503, {"retry-after": "Sat, 01 Jan 2000 00:00:00 -0000"}),
    reset(),
    reset(share=0.6),
    silence(),
    trickle(pause=0.1),
    HANG_UP,
    CUT_OFF,
    TRUNCATED,
    BROKEN_GZIP,
    HTML,
    EMPTY,
    NOT_AN_OBJECT,
]


def echo(request: Request) -> Answer:
    body = request.body.decode()
    return Answer.of_json({"path": request.path, "query": request.query, "body": body, "data": [1] * 300})


@pytest.fixture(scope="module")
def server() -> Iterator[FaultProxy]:
    with FaultProxy(echo) as proxy:
        yield proxy


@pytest.fixture
def proxy(server: FaultProxy) -> FaultProxy:
    server.follow()
    return server


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client(per_second=1000, connections=4, patience=BRIEF)
    yield client
    client.close()


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
def test_a_passing_fault_costs_an_attempt_and_nothing_else(
    proxy: FaultProxy, client: Client, fault: Fault
) -> None:
    proxy.follow(Rule(fault, times=2))
    reply = client.get(f"{proxy.url}/page", {"n": 1})
    assert reply.document["query"] == {"n": "1"}
    assert [request.fault for request in proxy.log] == [fault.name, fault.name, ""]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
def test_a_lasting_fault_stops_after_the_last_attempt_and_may_be_resumed(
    proxy: FaultProxy, client: Client, fault: Fault
) -> None:
    proxy.follow(Rule(fault))
    with pytest.raises(SourceInterruptedError, match="3 attempts") as caught:
        client.get(f"{proxy.url}/page")
    assert f"GET {proxy.url}/page" in str(caught.value)
    assert "run the same command again" in str(caught.value)
    assert len(proxy.log) == 3

    proxy.follow()
    assert client.get(f"{proxy.url}/page").status == 200


def test_an_unreachable_server_is_named(client: Client) -> None:
    with FaultProxy(echo) as gone:
        pass
    with pytest.raises(SourceInterruptedError, match=f"GET {gone.url}/page .* ConnectError"):
        client.get(f"{gone.url}/page")


def test_posts_are_repeated_with_their_body(proxy: FaultProxy, client: Client) -> None:
    proxy.follow(Rule(status(502), times=1), Rule(reset(), first=1, times=1))
    reply = client.post(f"{proxy.url}/query", {"page_after": "x"})
    assert reply.document["body"] == '{"page_after":"x"}'
    assert {request.body for request in proxy.log} == {b'{"page_after":"x"}'}
    assert len(proxy.log) == 3


def test_half_of_all_answers_broken_at_random_loses_no_page(proxy: FaultProxy) -> None:
    faults = [fault for fault in PASSING if not fault.name.startswith(("no answer", "slow"))]
    proxy.follow(Chance(faults, share=0.5, seed=7))
    patience = Patience(attempts=20, first_wait=0.001, longest_wait=0.01)
    client = Client(per_second=1000, connections=4, patience=patience)
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda n: client.get(f"{proxy.url}/{n}").document["path"], range(60)))
    assert replies == [f"/{n}" for n in range(60)]
    assert len({request.fault for request in proxy.log}) > 10


@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
def test_retry_after_is_obeyed(proxy: FaultProxy, client: Client, date: bool) -> None:
    proxy.follow(Rule(retry_after(429, 2, date=date), times=1))
    client.get(f"{proxy.url}/page")
    first, second = proxy.log
    assert second.moment - first.moment >= (1 if date else 2)  # a date is in whole seconds


@pytest.mark.parametrize("wait", ["3600", "inf"])
@pytest.mark.parametrize("code", [429, 503])
def test_a_retry_after_beyond_patience_stops_at_once_and_may_be_resumed(
    proxy: FaultProxy, client: Client, code: int, wait: str
) -> None:
    proxy.follow(Rule(status(code, {"retry-after": wait})))
    with pytest.raises(SourceInterruptedError, match=r"asks to wait (3,600|inf) s .*longer than the 3 s"):
        client.get(f"{proxy.url}/page")
    assert len(proxy.log) == 1
    proxy.follow()
    assert client.get(f"{proxy.url}/page").status == 200


def test_waits_are_drawn_between_nothing_and_a_bound_that_doubles(
    proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    patience = Patience(attempts=7, first_wait=0.01, longest_wait=0.1)
    client = Client(per_second=1000, patience=patience)
    client.get(f"{proxy.url}/page")
    proxy.follow(Rule(status(500)))
    shares: list[float] = []
    for _ in range(4):
        caplog.clear()
        with caplog.at_level(logging.WARNING), pytest.raises(SourceInterruptedError):
            client.get(f"{proxy.url}/page")
        waits = [float(str(record.args[-1])) for record in caplog.records if isinstance(record.args, tuple)]
        bounds = [0.01, 0.02, 0.04, 0.08, 0.1, 0.1]
        shares += [wait / bound for wait, bound in zip(waits, bounds, strict=True)]
    assert 0 <= min(shares) < 0.3
    assert 0.7 < max(shares) <= 1


def test_a_service_that_never_answered_is_given_up_sooner_and_its_address_doubted(proxy: FaultProxy) -> None:
    client = Client(per_second=1000, patience=Patience(attempts=7, first_wait=0.001))
    proxy.follow(Rule(status(500)))
    with pytest.raises(SourceInterruptedError, match=r"in 3 attempts.*Is the address right"):
        client.get(f"{proxy.url}/page")
    proxy.follow()
    client.get(f"{proxy.url}/page")
    proxy.follow(Rule(status(500)))
    with pytest.raises(SourceInterruptedError, match=r"in 7 attempts.*What arrived before is stored"):
        client.get(f"{proxy.url}/page")


def test_all_clients_of_a_host_keep_its_rate_together(proxy: FaultProxy) -> None:
    clients = [Client(per_second=10, connections=4) for _ in range(2)]
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: clients[n % 2].get(f"{proxy.url}/page"), range(25)))
    assert time.monotonic() - started >= 1.99  # 10 at once, 10 after a second, 5 after two


def test_rates_below_one_per_second_are_kept(proxy: FaultProxy) -> None:
    client = Client(per_second=0.8)
    started = time.monotonic()
    for _ in range(2):
        client.get(f"{proxy.url}/page")
    assert time.monotonic() - started >= 1.24


def test_an_answer_in_drops_is_cut_off_when_its_time_is_over(proxy: FaultProxy) -> None:
    client = Client(per_second=1000, patience=Patience(attempts=1, silence=0.5, answer=0.6))
    proxy.follow(Rule(trickle(pause=0.05, piece=8)))
    started = time.monotonic()
    with pytest.raises(SourceInterruptedError, match=r"not whole after 0\.6 s"):
        client.get(f"{proxy.url}/page")
    assert time.monotonic() - started < 3


def test_an_answer_beyond_memory_is_refused_while_it_arrives(
    proxy: FaultProxy, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LARGEST_ANSWER", 10_000)
    proxy.follow(Rule(mutated("long", lambda document: {**document, "long": "x" * 1_000_000})))
    with pytest.raises(CrysiftError, match="more than 10,000 bytes; ask for fewer entries"):
        client.get(f"{proxy.url}/page")
    assert len(proxy.log) == 1


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 422])
def test_a_refusal_is_told_in_the_words_of_the_server_and_not_repeated(
    proxy: FaultProxy, client: Client, code: int
) -> None:
    words = Fault("refused", lambda _: Answer(code, {}, b'{"detail": "no\nsuch\x00 field"}'))
    proxy.follow(Rule(words))
    with pytest.raises(CrysiftError, match=f'refuses the request: {code} .*"no such field"') as caught:
        client.get(f"{proxy.url}/page")
    assert not isinstance(caught.value, SourceInterruptedError)
    assert len(proxy.log) == 1


def test_expected_statuses_are_returned(proxy: FaultProxy, client: Client) -> None:
    proxy.follow(
        Rule(Fault("", lambda answer: Answer(403, {}, answer.body)), path="smaller"),
        Rule(status(503), path="busy"),
    )
    smaller = client.get(f"{proxy.url}/smaller", expect={403})
    assert (smaller.status, smaller.document["path"]) == (403, "/smaller")
    busy = client.get(f"{proxy.url}/busy", expect={503})
    assert (busy.status, busy.document) == (503, {})


def test_texts_are_asked_for_with_the_same_patience(proxy: FaultProxy, client: Client) -> None:
    versions = Fault("", lambda _: Answer(200, {"content-type": "text/csv"}, b"version\n1\n"))
    proxy.follow(Rule(status(502), times=2), Rule(versions, path="versions"), Rule(status(404)))
    assert client.get_text(f"{proxy.url}/versions", expect={404}) == "version\n1\n"
    assert len(proxy.log) == 3
    proxy.follow(Rule(status(404)))
    assert client.get_text(f"{proxy.url}/versions", expect={404}) is None


def test_an_answer_that_is_not_the_one_asked_for_is_asked_again(proxy: FaultProxy, client: Client) -> None:
    def check(document: dict[str, Any]) -> str | None:
        return None if "data" in document else "the answer has no data"

    proxy.follow(Rule(mutated("no data", lambda _: {"meta": {}}), times=2))
    assert client.get(f"{proxy.url}/page", check=check).document["data"]
    assert len(proxy.log) == 3
    proxy.follow(Rule(mutated("no data", lambda _: {"meta": {}})))
    with pytest.raises(SourceInterruptedError, match="the answer has no data"):
        client.get(f"{proxy.url}/page", check=check)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"x": [NaN, Infinity, -Infinity]}', "[nan, inf, -inf]"),
        (b'\xef\xbb\xbf{"x": "with a mark"}', "'with a mark'"),
        (rb'{"x": "half \ud83d of a pair"}', "'half ? of a pair'"),
        (rb'{"x": "\ud83d\ude00"}', "'\N{GRINNING FACE}'"),
        (b'{"x": 123456789012345678901234567890}', "1.2345678901234568e+29"),
    ],
    ids=["NaN", "byte order mark", "lone surrogate", "surrogate pair", "huge integer"],
)
def test_json_as_servers_write_it_is_read(proxy: FaultProxy, client: Client, body: bytes, value: str) -> None:
    proxy.follow(Rule(Fault("", lambda answer: Answer(200, answer.headers, body))))
    document = client.get(f"{proxy.url}/page").document
    assert repr(document["x"]) == value
    repr(document).encode()  # no half characters


@pytest.mark.parametrize("body", [b'{"a":' * 100_000, b'{"name": "\xe9"}'], ids=["deep", "latin-1"])
def test_json_that_cannot_be_decoded_stops_the_run_resumably(
    proxy: FaultProxy, client: Client, body: bytes
) -> None:
    proxy.follow(Rule(Fault("", lambda answer: Answer(200, answer.headers, body))))
    with pytest.raises(SourceInterruptedError, match="not one JSON object"):
        client.get(f"{proxy.url}/page")


def test_gzip_is_asked_for_and_one_connection_serves_all_requests(proxy: FaultProxy, client: Client) -> None:
    before = proxy.connections
    for _ in range(5):
        client.get(f"{proxy.url}/page")
    assert proxy.connections == before + 1
    assert all("gzip" in request.headers["accept-encoding"] for request in proxy.log)
    assert all(request.headers["user-agent"].startswith("crysift/") for request in proxy.log)


def test_more_threads_than_connections_wait_for_their_turn(proxy: FaultProxy) -> None:
    slow = Fault("late", lambda answer: Answer(200, answer.headers, answer.body, delay=0.2))
    proxy.follow(Rule(slow))
    patience = Patience(attempts=1, silence=0.5)
    client = Client(per_second=1000, connections=1, patience=patience)
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda n: client.get(f"{proxy.url}/{n}").status == 200, range(6)))


def redirect(url: str) -> Fault:
    return Fault("redirect", lambda _: Answer(302, {"location": url}, b""))


def test_redirects_are_followed_without_secrets_only(proxy: FaultProxy, client: Client) -> None:
    proxy.follow(Rule(redirect("/new"), path="old"))
    assert client.get(f"{proxy.url}/old").document["path"] == "/new"

    keyed = Client(per_second=1000, secret_headers={"x-api-key": SECRET}, patience=BRIEF)
    proxy.follow(Rule(redirect(f"{proxy.url}/new?key={SECRET}"), path="old"))
    with pytest.raises(CrysiftError, match=r"redirects to http.*/new\?key=\*\*\*") as caught:
        keyed.get(f"{proxy.url}/old")
    assert SECRET not in str(caught.value)
    assert [request.path for request in proxy.log] == ["/old"]


def test_a_redirect_to_itself_ends(proxy: FaultProxy, client: Client) -> None:
    proxy.follow(Rule(redirect("/page")))
    with pytest.raises(SourceInterruptedError, match="redirects"):
        client.get(f"{proxy.url}/page")


@pytest.mark.parametrize(
    "url", ["http://[::1", "ftp://127.0.0.1/x", "127.0.0.1/x", "http://x\x00", "http://127.0.0.1/\ud800", ""]
)
def test_what_is_no_address_is_refused_at_once(client: Client, url: str) -> None:
    with pytest.raises(CrysiftError, match="is no address of a web service") as caught:
        client.get(url)
    assert not isinstance(caught.value, SourceInterruptedError)


@pytest.mark.parametrize("code", [401, 500])
@pytest.mark.parametrize("prefix", ["", "Bearer "])
def test_secrets_stay_in_their_header(code: int, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(per_second=1000, secret_headers={"x-api-key": prefix + SECRET}, patience=BRIEF)

    def answer(request: Request) -> Answer:
        return Answer(code, {}, f"the key {request.headers['x-api-key'].split()[-1]} is wrong".encode())

    with FaultProxy(answer) as proxy:
        with caplog.at_level(logging.DEBUG), pytest.raises(CrysiftError, match=r"key \*\*\* is") as caught:
            client.get(f"{proxy.url}/page")
        assert all(request.headers["x-api-key"] == prefix + SECRET for request in proxy.log)
        assert not any(SECRET in request.target for request in proxy.log)
    texts = [str(caught.value), repr(caught.value), repr(client), *map(str, chain_of(caught.value))]
    texts += [record.getMessage() for record in caplog.records]
    assert caplog.records
    assert not any(SECRET in text for text in texts)


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("value", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\x00", f"{SECRET}é", ""])
def test_a_secret_that_fits_in_no_header_is_refused_unquoted(value: str) -> None:
    with pytest.raises(CrysiftError, match="x-api-key") as caught:
        Client(per_second=1000, secret_headers={"x-api-key": value})
    assert all(SECRET not in str(error) for error in chain_of(caught.value))


def test_an_address_with_a_password_is_refused_unquoted(proxy: FaultProxy, client: Client) -> None:
    with pytest.raises(CrysiftError, match=r"127\.0\.0\.1 holds a user name or a password") as caught:
        client.get(f"{proxy.url}/page".replace("http://", f"http://me:{SECRET}@"))
    assert SECRET not in str(caught.value)
    assert not proxy.log


def test_the_clock_is_that_of_the_server(proxy: FaultProxy, client: Client) -> None:
    at = {"date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    proxy.follow(Rule(Fault("", lambda answer: Answer(200, {**answer.headers, **at}, answer.body))))
    assert client.get(f"{proxy.url}/page").answered_at.isoformat() == "1994-11-06T08:49:37+00:00"
