"""What `crysift submit` checks, packs and shows, as far as that needs no cluster."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from engine.errors import CrysiftError
from jobs.cluster.address import DEFAULT_ADDRESS, Address, find_address
from jobs.cluster.display import JobLog
from jobs.cluster.package import wheel_as_archive, write_archive
from jobs.console import Console
from tests.jobs.running import crysift

KEY = "0123456789abcdefghijklmnopqrstuv"
ELSEWHERE = "https://ray.example.org"


@pytest.fixture(autouse=True)
def no_cluster_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ADDRESS", "API_SERVER_ADDRESS", "AUTH_MODE", "AUTH_TOKEN", "AUTH_TOKEN_PATH"):
        monkeypatch.delenv(f"RAY_{name}", raising=False)
    monkeypatch.delenv("CRYSIFT_STORE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def found(address: str | None = None, *, unauthenticated: bool = False, unencrypted: bool = False) -> Address:
    return find_address(address, unauthenticated=unauthenticated, unencrypted=unencrypted)


def test_the_address_is_the_one_given_or_that_of_the_environment_or_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found() == Address(DEFAULT_ADDRESS, "disabled")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # the cluster's own port, not the dashboard's
    assert found().url == DEFAULT_ADDRESS
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1000")
    assert found().url == "http://127.0.0.1:1000"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:2000")
    assert found().url == "http://127.0.0.1:2000"
    assert found("localhost:3000/").url == "http://localhost:3000"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ray://10.0.0.1:10001", "is not the address of a Ray dashboard"),
        ("http://", "is not the address of a Ray dashboard"),
        ("http://me:secret@127.0.0.1:8265", "user name or a password"),
        ("http://10.0.0.1:8265", "there is no token"),
        (ELSEWHERE, "there is no token"),
        ("http://127.0.0.1.example.org", "there is no token"),
    ],
)
def test_an_address_that_is_wrong_or_open_to_everybody_is_refused(address: str, words: str) -> None:
    with pytest.raises(CrysiftError, match=words) as refused:
        found(address)
    assert "secret" not in str(refused.value)


def test_a_cluster_elsewhere_without_authentication_has_to_be_agreed_to() -> None:
    assert found(ELSEWHERE, unauthenticated=True) == Address(ELSEWHERE, "disabled")
    assert found("http://10.0.0.1:8265", unauthenticated=True).authentication == "disabled"


def test_a_token_goes_encrypted_or_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", KEY)
    assert found().authentication == "token"
    assert found("http://[::1]:8265").authentication == "token"
    assert found(ELSEWHERE) == Address(ELSEWHERE, "token")
    with pytest.raises(CrysiftError, match="not encrypted") as refused:
        found("http://10.0.0.1:8265")
    assert KEY not in str(refused.value)
    assert found("http://10.0.0.1:8265", unencrypted=True).authentication == "token"
    assert found(ELSEWHERE, unauthenticated=True).authentication == "disabled"


def test_a_token_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(CrysiftError, match="there is no token"):
        found(ELSEWHERE)
    (tmp_path / "token").write_text(KEY)
    assert found(ELSEWHERE).authentication == "token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert found().authentication == "disabled"


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ([], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
        (["screen"], 2, "Missing argument 'sources'"),
        (["screen", "examples:", "--store", "/s", "--passes", "0"], 2, "--passes"),
        (["screen", "examples:", "--store", "/s", "--nonsense"], 2, "No such option"),
        (["jobs"], 1, "run it here, without submit"),
        (["submit", "--", "status", "--store", "/s"], 1, "run it here, without submit"),
        (["screen", "examples:"], 1, "--store 'crysift-store' is relative"),
        (["screen", "mine.cif", "--store", "/s"], 1, "the source 'mine.cif' is relative"),
        (["screen", "files:mine.cif", "--store", "s3://b/s"], 1, "the source 'mine.cif' is relative"),
        (["query", "SELECT 1", "--store", "/s", "--csv", "a.csv"], 1, "--csv 'a.csv' is relative"),
        (["train", "arise"], 1, "--output 'arise-model' is relative"),
        (["train", "diffraction"], 1, "--output 'diffraction-model' is relative"),
        (["train", "arise", "-o", "/o", "--add", "a.cif", "--label", "x"], 1, "--add 'a.cif' is relative"),
        (["train", "arise", "-o", "/o", "--work", "w"], 1, "--work 'w' is relative"),
        (["train", "arise", "-o", "/o", "--weights", "mine"], 1, "--weights 'mine' is relative"),
        (["tune", "arise"], 1, "--search 'arise-tuning' is relative"),
        (["tune", "arise", "--search", "/s", "-o", "best"], 1, "--output 'best' is relative"),
        (["study", "bragg", "--out", "bragg"], 1, "--out 'bragg' is relative"),
        (["study", "four-grains", "--out", "/o", "--file", "f.xyz"], 1, "--file 'f.xyz' is relative"),
        (["bench", "accuracy"], 1, "--out 'accuracy' is relative"),
        (["bench", "accuracy", "--quick"], 1, "--out 'accuracy-quick' is relative"),
        (["bench", "soap", "--source", "mine.cif"], 1, "--source 'mine.cif' is relative"),
        (["map", "--store", "/s", "--pictures", "p"], 1, "--pictures 'p' is relative"),
        (["similar", "mine.cif", "--store", "/s"], 1, "the file 'mine.cif' is relative"),
        (["models", "nonsense"], 2, "No such command"),
        (["models", "import-keras", "w.h5", "-o", "/o"], 1, "the file 'w.h5' is relative"),
        (["models", "import-keras", "/w.h5", "-o", "o"], 1, "--output 'o' is relative"),
        (["models", "import-keras", "/w.h5", "-o", "/o", "--labels", "l"], 1, "--labels 'l' is relative"),
        (["models", "list"], 1, "no Ray dashboard answers"),
        (["bench", "soap", "--quick"], 1, "no Ray dashboard answers"),
        (["train", "arise", "-o", "/o", "--add", "mp:", "--label", "x"], 1, "no Ray dashboard answers"),
        (["screen", "nomad:", "--store", "/s", "--filter", KEY], 1, "holds the value of NOMAD_TOKEN"),
        (["screen", "optimade:https://me:secret@host", "--store", "/s"], 1, "a URL with a password"),
        (["status", "--store", "/s"], 1, "no Ray dashboard answers at http://127.0.0.1:1"),
    ],
)
def test_a_command_that_cannot_work_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], status: int, words: str
) -> None:
    monkeypatch.setenv("NOMAD_TOKEN", KEY)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "mine").mkdir()
    ended = crysift("submit", "--address", "http://127.0.0.1:1", "--", *command, cwd=tmp_path)
    assert ended.status == status, ended.err
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert "secret" not in ended.err
    assert KEY not in ended.err


def test_the_archive_is_always_the_same_and_runs_where_crysift_is_not_installed(tmp_path: Path) -> None:
    write_archive(tmp_path / "one.zip")
    write_archive(tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as packed:
        names = packed.namelist()
        packed.extractall(tmp_path / "unpacked")
    assert "models/weights/arise-robust/model.safetensors" in names
    assert not [name for name in names if "__pycache__" in name]
    (tmp_path / "models.py").write_text("raise SystemExit('a foreign module was run')")
    code = (
        "import crysift; crysift.check_packages(); from importlib.metadata import version; "
        "print(crysift.HOME, version('crysift'))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "unpacked"), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    release = crysift("--version").out.split()[1]
    assert told.stdout.split() == [str(tmp_path / "unpacked"), release]


def test_only_a_wheel_of_crysift_is_taken_as_one(tmp_path: Path) -> None:
    write_archive(tmp_path / "crysift-1-py3-none-any.whl")
    wheel_as_archive(tmp_path / "crysift-1-py3-none-any.whl", tmp_path / "sent.zip")
    assert zipfile.is_zipfile(tmp_path / "sent.zip")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as other:
        other.writestr("other.py", "")
    with pytest.raises(CrysiftError, match="is no wheel of crysift"):
        wheel_as_archive(tmp_path / "other.whl", tmp_path / "other.zip")
    with pytest.raises(CrysiftError, match="cannot be read as a wheel"):
        wheel_as_archive(tmp_path / "absent.whl", tmp_path / "absent.zip")


LOG = (
    "2026-01-01 00:00:00,000\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
    "▸ soap: 1 of 3 structures\n[bold] is no markup\n"
    "▸ soap: 2 of 3 structures\n▸ arise: 1 of 3 structures\nend"
)


def test_a_log_in_a_file_keeps_its_lines_and_results_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with JobLog(Console()) as log:
        for character in LOG:
            log.write(character)
    out, err = capsys.readouterr()
    assert out == "[bold] is no markup\nend\n"
    assert err.splitlines() == [
        line.expandtabs() for line in LOG.splitlines() if "▸" in line or "INFO" in line
    ]


def test_a_terminal_shows_the_latest_progress_of_each_stage_below_the_rest() -> None:
    console = Console()
    screen = io.StringIO()
    console.err = RichConsole(file=screen, force_terminal=True, width=80, color_system=None)
    with JobLog(console) as log:
        log.write(LOG)
    shown = screen.getvalue()
    last = shown[shown.rindex("▸ soap") :]
    assert last.splitlines()[:2] == ["▸ soap: 2 of 3 structures", "▸ arise: 1 of 3 structures"]
    assert "\x1b[" in shown
