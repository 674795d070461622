"""`crysift serve` as a process, asked as a browser and as others would."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from engine.errors import CrysiftError
from engine.store import Store
from jobs.serve.page import ServedPage
from jobs.serve.server import Server
from jobs.serve.structures import StructureReader
from tests.jobs.page.mapped_store import expected
from tests.jobs.page.reading import Page
from tests.jobs.page.serving import Running, start


@pytest.fixture(scope="module")
def server(mapped: Store, page_file: Path) -> Iterator[Running]:
    running = start("--store", mapped.folder.url, "--report", page_file)
    yield running
    if running.process.returncode is None:
        running.stop()


def test_the_printed_address_sets_a_cookie_and_leads_to_the_page_without_the_token(server: Running) -> None:
    with httpx.Client(base_url=server.origin, trust_env=False) as browser:
        assert browser.get("/").status_code == 401
        answer = browser.get(f"/?token={server.token}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        page = browser.get("/")
        assert page.status_code == 200
        assert server.token not in page.text
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert '"served":{"api":"/api"}' in page.text
        assert browser.get("/api/structure/0").status_code == 200


def test_every_row_of_the_page_is_answered_with_its_structure(server: Running, page_file: Path) -> None:
    inside = Page.read(page_file).structures()
    for row in (*range(10), 100, len(inside) - 1):
        answer = server.get(f"/api/structure/{row}")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == inside[row]
    later = Page.read(page_file).column("structure_id").index("db:crystal-000")
    np.testing.assert_allclose(server.get(f"/api/structure/{later}").json()["lattice"], np.eye(3) * 6.5)


@pytest.mark.parametrize("row", ["249", "-1", "4294967296", "99999999999999999999"])
def test_a_row_that_is_not_there_is_said_to_be_none(server: Running, row: str) -> None:
    answer = server.get(f"/api/structure/{row}")
    assert answer.status_code == 404
    assert "no structure" in answer.json()["error"]


@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_without_the_token_nothing_is_answered(server: Running, token: str) -> None:
    for path in ("/", "/api/structure/0", "/docs", "/openapi.json", "/nothing"):
        answer = httpx.get(
            server.origin + path,
            headers=[(b"Authorization", f"Bearer {token}".strip().encode())],
            params={"token": token},
            trust_env=False,
        )
        assert answer.status_code == 401
        assert "crysift serve" in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:{port}", "[::1]:{port}"]
)
def test_another_name_of_the_machine_is_refused(server: Running, host: str) -> None:
    port = server.origin.rpartition(":")[2]
    assert server.get("/api/structure/0", Host=host.format(port=port)).status_code == 421
    assert server.get("/api/structure/0", Host=f"localhost:{port}").status_code == 200


def test_there_is_nothing_but_reading(server: Running) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        url = f"{server.origin}/api/structure/0"
        assert httpx.request(method, url, headers=headers, trust_env=False).status_code == 405
    for path in ("/docs", "/redoc", "/openapi.json", "/api/structure/../../etc/passwd", "/api/structure/x"):
        assert server.get(path).status_code in {404, 422}


def test_no_other_machine_reaches_it(server: Running) -> None:
    port = int(server.origin.rpartition(":")[2])
    others = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        if str(address).startswith("127."):
            continue
        with socket.socket() as asking, pytest.raises(ConnectionRefusedError):
            asking.connect((address, port))


def test_a_taken_port_is_refused_by_name(mapped: Store, page_file: Path) -> None:
    page = ServedPage.read(page_file)
    reader = StructureReader.of(mapped, page.structure_ids)
    with Server.bound(page, reader, 0) as first:
        port = int(first.url.partition("/?")[0].rpartition(":")[2])
        with pytest.raises(CrysiftError, match=f"port {port} of 127.0.0.1"), Server.bound(page, reader, port):
            pass


def test_without_a_file_the_page_is_made_of_the_store(mapped: Store) -> None:
    page = ServedPage.of_store(mapped)
    assert page.structure_ids == [row.structure_id.replace("\n", " ") for row in expected(mapped)]
    assert b"connect-src &#x27;self&#x27;" in page.html


def test_a_file_that_is_no_page_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text("<html></html>")
    with pytest.raises(CrysiftError, match="is no page of `crysift report`"):
        ServedPage.read(tmp_path / "other.html")


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal")
def test_ctrl_c_ends_it_without_a_word(server: Running) -> None:  # the last test of this server
    assert server.get("/api/structure/1").status_code == 200
    server.process.send_signal(signal.SIGINT)
    _, said = server.process.communicate(timeout=20)
    assert server.process.returncode == 0
    assert not said
