"""Jobs on a real Ray cluster that asks for a token, with a folder `models/` wherever a user may start."""

import ipaddress
import json
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.io import write
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine.store import Store
from tests.jobs.running import CRYSTALS, Answer
from tests.servers.ray_head import RayHead, ray_head

pytestmark = pytest.mark.integration

TOKEN = secrets.token_hex(32)
KEYS = {"MP_API_KEY": secrets.token_hex(16), "NOMAD_TOKEN": secrets.token_hex(16)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory, of the head and of the client, that hides packages of ours."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "models").mkdir()
    (folder / "models" / "__init__.py").write_text("raise SystemExit('a foreign package was run')\n")
    return folder


@pytest.fixture(scope="module")
def head(folder: Path) -> Iterator[RayHead]:
    with ray_head(folder, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}) as head:
        yield head


@pytest.fixture
def client(head: RayHead, folder: Path) -> "Client":
    return Client(head.url, folder)


class Client:
    """The command line as a user starts it, with a token and with keys in the environment."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def start(self, *arguments: str | Path, token: str = TOKEN) -> "subprocess.Popen[str]":
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("CRYSIFT_STORE", "RAY_AUTH_MODE")
        }
        mode = {"RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
        return subprocess.Popen(
            [Path(sys.executable).with_name("crysift"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**kept, **KEYS, **mode, "RAY_API_SERVER_ADDRESS": self.url},
        )

    def run(self, *arguments: str | Path, token: str = TOKEN) -> Answer:
        running = self.start(*arguments, token=token)
        out, err = running.communicate(timeout=300)
        return Answer(running.returncode, out, err)

    def submit(self, *command: str | Path) -> Answer:
        return self.run("submit", "--python", sys.executable, "--", *command)

    def script(self, path: Path, body: str) -> str:
        """Write a shell script to stand for Python on the cluster: what a job does is then up to the test."""
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return str(path)


@pytest.mark.slow
def test_a_command_runs_with_the_code_from_here_or_with_the_installed_one(
    client: Client, tmp_path: Path
) -> None:
    write(tmp_path / "copper.extxyz", CRYSTALS["copper"])
    assert client.run("ingest", tmp_path / "copper.extxyz", "--store", tmp_path / "store").status == 0
    script = client.script(tmp_path / "python", f'{sys.executable} -c "import jobs; print(jobs.__file__)"')
    command = ("status", "--store", tmp_path / "store", "--json")
    for package, sent in (("this", True), ("installed", False)):
        options = ("--package", package, "--python")
        where = client.run("submit", *options, script, "--", *command).out
        assert ("working_dir_files" in where) == sent
        ended = client.run("submit", *options, sys.executable, "--", *command)
        assert ended.status == 0, ended.out + ended.err
        assert ended.json()["store"] == str(tmp_path / "store")


@pytest.mark.slow
def test_the_exit_status_is_that_of_the_command(client: Client, tmp_path: Path) -> None:
    failed = client.submit("status", "--store", tmp_path / "nowhere")
    assert failed.status == 1
    assert "there is no store" in failed.out
    for body, status in (("exit 75", 75), ("kill -9 $$", 137)):
        script = client.script(tmp_path / "python", body)
        assert client.run("submit", "--python", script, "--", "status", "-s", tmp_path).status == status
    absent = client.run("submit", "--python", "/no/python", "--", "status", "-s", tmp_path)
    assert absent.status == 127
    assert "/no/python" in absent.out


def test_a_name_is_taken_once(client: Client, tmp_path: Path) -> None:
    options = ("--id", "twice", "--no-wait", "--python", sys.executable)
    first, second = (client.run("submit", *options, "--", "status", "-s", tmp_path) for _ in range(2))
    assert (first.status, first.out) == (0, "twice\n")
    assert second.status == 1
    assert "has a job twice already" in second.err


def test_a_cluster_with_a_token_takes_no_job_without_or_with_another(client: Client, tmp_path: Path) -> None:
    command = ("submit", "--python", sys.executable, "--", "status", "-s", tmp_path)
    nobody = client.run(*command, token="")
    assert (nobody.status, nobody.out) == (1, "")
    assert "asks for a token" in nobody.err
    stranger = client.run(*command, token=secrets.token_hex(32))
    assert (stranger.status, stranger.out) == (1, "")
    assert "does not accept the token" in stranger.err


def test_no_key_travels(client: Client, head: RayHead, tmp_path: Path) -> None:
    script = client.script(tmp_path / "python", "env | cut -d= -f1; env | grep -E '^(CRYSIFT|PYTHON)'")
    command = ("screen", "mp:", "--store", tmp_path / "store")
    ended = client.run("submit", "--id", "keys", "--python", script, "--", *command)
    assert ended.status == 0
    assert "MP_API_KEY stays here" in ended.err
    assert "CRYSIFT_RAY=auto" in ended.out.splitlines()
    assert "PYTHONSAFEPATH=1" in ended.out.splitlines()
    for key in KEYS.values():
        assert key not in ended.out + ended.err
    assert not set(KEYS) & set(ended.out.splitlines())
    request = urllib.request.Request(  # noqa: S310 -- our own http address
        f"{head.url}/api/jobs/keys", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        asked = answer.read().decode()
    assert json.loads(asked)["runtime_env"]["env_vars"]["CRYSIFT_RAY"] == "auto"
    logs = [path.read_bytes() for path in head.folder.glob("session_2*/logs/**/*") if path.is_file()]
    assert len(logs) > 10
    for secret in (TOKEN, *KEYS.values()):
        assert secret not in asked
        assert not any(secret.encode() in log for log in logs)


COUNT = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; sleep 0.1; done"


def lines_of(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"^line (\d+)$", text, re.MULTILINE)]


def rest_of(running: "subprocess.Popen[str]") -> tuple[str, str]:
    """Read what a client says after the lines that were read already, until it ends."""
    assert running.stdout is not None
    assert running.stderr is not None
    said = running.stdout.read(), running.stderr.read()
    running.wait()
    return said


def await_that(happened: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_job_outlives_its_client_and_can_be_followed_again(client: Client, tmp_path: Path) -> None:
    script = client.script(tmp_path / "python", COUNT)
    first = client.start("submit", "--id", "alone", "--python", script, "--", "status", "-s", tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline() == "line 1\n"
    first.kill()
    first.wait()
    followed = client.run("logs", "alone", "--follow")
    assert followed.status == 0, followed.err
    assert lines_of(followed.out) == list(range(1, 41))
    assert lines_of(client.run("logs", "alone").out) == list(range(1, 41))


def test_ctrl_c_leaves_the_job_and_says_how_to_go_on(client: Client, tmp_path: Path) -> None:
    script = client.script(tmp_path / "python", COUNT)
    running = client.start("submit", "--id", "left", "--python", script, "--", "status", "-s", tmp_path)
    assert running.stdout is not None
    assert running.stdout.readline() == "line 1\n"
    running.send_signal(signal.SIGINT)
    _, err = rest_of(running)
    assert running.returncode == 130
    assert f"crysift logs left --follow --address {client.url}" in err
    assert "Traceback" not in err
    await_that(lambda: state_of(client, "left") == "succeeded")


def state_of(client: Client, job: str) -> str:
    listed = {each["id"]: each for each in client.run("jobs", "--json").json()["jobs"]}
    return str(listed[job]["state"])


class Link:
    """A way to the dashboard that can be cut: open connections break, and new ones are closed for a while."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self._target = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._is_cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._is_cut:
                    near.close()
                    continue
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        with suppress(OSError):  # a client that does not accept the certificate
            if self._tls is not None:
                near = self._tls.wrap_socket(near, server_side=True)
            far = socket.create_connection(self._target)
            self._open += [near, far]
            threading.Thread(target=self._pass_on, args=(far, near), daemon=True).start()
            self._pass_on(near, far)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self, seconds: float) -> None:
        self._is_cut = True
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        time.sleep(seconds)
        self._is_cut = False


def test_a_log_over_a_link_that_breaks_has_every_line_once(
    client: Client, head: RayHead, tmp_path: Path
) -> None:
    link = Link(head.url)
    script = client.script(tmp_path / "python", COUNT)
    running = Client(link.url, client.folder).start(
        "submit", "--python", script, "--", "status", "-s", tmp_path
    )
    assert running.stdout is not None
    seen = [running.stdout.readline()]
    link.cut(1.5)
    out, err = rest_of(running)
    assert running.returncode == 0, err
    assert lines_of("".join([*seen, out])) == list(range(1, 41))
    assert "the connection to the cluster is lost" in err
    assert "connected again" in err


def write_certificate(folder: Path) -> Path:
    """Write a certificate for 127.0.0.1 that signs itself, and its ``key.pem`` beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    return folder / "certificate.pem"


@pytest.mark.slow
def test_an_encrypted_address_needs_a_certificate_that_is_trusted(
    client: Client, head: RayHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, tmp_path / "key.pem")
    encrypted = Client(Link(head.url, tls).url, client.folder)
    refused = encrypted.run("jobs")
    assert refused.status == 1
    assert "is not accepted: let SSL_CERT_FILE name" in refused.err
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    script = client.script(tmp_path / "python", COUNT)
    ended = encrypted.run("submit", "--python", script, "--", "status", "-s", tmp_path)
    assert ended.status == 0, ended.err
    assert lines_of(ended.out) == list(range(1, 41))


@pytest.mark.slow
def test_stop_waits_until_the_command_has_ended_in_order(client: Client, tmp_path: Path) -> None:
    body = "trap 'sleep 4; echo in order; exit 143' TERM; echo started; while :; do sleep 0.1; done"
    script = client.script(tmp_path / "python", body)
    running = client.start("submit", "--id", "ended", "--python", script, "--", "status", "-s", tmp_path)
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    stopped = client.run("stop", "ended")
    assert stopped.status == 0, stopped.err
    assert f"crysift submit -- status -s {tmp_path}" in stopped.out
    assert state_of(client, "ended") == "stopped"
    out, err = rest_of(running)
    assert running.returncode == 143, err
    assert "in order" in out
    assert "had ended already" in client.run("stop", "ended").out


def test_a_job_that_nobody_knows_is_named(client: Client) -> None:
    for command in (["logs", "nobody"], ["logs", "nobody", "--follow"], ["stop", "nobody"]):
        ended = client.run(*command)
        assert ended.status == 1
        assert "knows no job nobody" in ended.err


@pytest.mark.slow
def test_a_screening_on_the_cluster_shows_its_progress(client: Client, tmp_path: Path) -> None:
    for name, atoms in CRYSTALS.items():
        write(tmp_path / f"{name}.extxyz", atoms)
    store = tmp_path / "store"
    ended = client.submit("screen", tmp_path / "*.extxyz", "--store", store, "--passes", "20")
    assert ended.status == 0, ended.out + ended.err
    assert "▸ predictions_arise: 4 of 4 structures" in ended.err
    assert "Ray's dashboard is" in ended.out
    assert "4 in = 4 predictions + 0 rejects" in ended.out
    assert len(parts(store, "predictions_arise")) == 1


@pytest.mark.slow
def test_a_stopped_screening_goes_on_and_ends_with_the_same_tables(client: Client, tmp_path: Path) -> None:
    command = ["screen", "examples:", "--passes", "20", "--store"]
    assert client.submit(*command, tmp_path / "whole", "--quiet").status == 0
    store = tmp_path / "stopped"
    running = client.start("submit", "--id", "screening", "--python", sys.executable, "--", *command, store)
    await_that(lambda: bool(list(store.glob("features_soap-*/part-*"))), 300)
    assert client.run("stop", "screening").status == 0
    out, err = running.communicate(timeout=60)
    assert running.returncode == 143, err
    assert "Terminated. What is committed is kept" in out
    assert not list(store.glob("*/*.tmp"))
    assert client.submit(*command, store, "--quiet").status == 0
    assert identities(store) == identities(tmp_path / "whole")
    for name in ("features_soap", "predictions_arise"):
        assert parts(store, name) == parts(tmp_path / "whole", name)


def parts(store: Path, table: str) -> dict[str, pa.Table]:
    [folder] = store.glob(f"{table}-*")
    return {part.name: pq.read_table(part) for part in folder.glob("part-*")}


def identities(store: Path) -> list[tuple[str, bytes]]:
    table = Store.open(store).structures.scan(["structure_id", "content_hash"]).to_table()
    return sorted(zip(table["structure_id"].to_pylist(), table["content_hash"].to_pylist(), strict=True))
