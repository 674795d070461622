"""A store in a bucket: the same tables as on a disk, whoever writes them and whatever is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pytest
from ase.io import write

from engine.errors import CrysiftError
from engine.store import Folder, Store
from jobs import screen
from jobs.commands.status import status
from jobs.commands.verify import verify
from jobs.settings import ExecutionSettings, ScreenSettings
from jobs.views import connect
from models.stage import PredictArise
from tests.engine.test_store import FINGERPRINT, commit
from tests.jobs.running import CRYSTALS
from tests.servers.s3 import S3Server, s3_server

pytestmark = pytest.mark.integration

BUCKET = "crystals"
URL = f"s3://{BUCKET}/store"
PASSES = 20
SECRET = "wJalr-never-to-be-written"  # noqa: S105 -- what the tests look for
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA-never-to-be-written", "AWS_SECRET_ACCESS_KEY": SECRET}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def service(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The service with an empty bucket, to which the environment leads."""
    running.reset()
    running.client.create_bucket(Bucket=BUCKET)
    use(running.environment(KEYS), monkeypatch)
    return running


def use(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="module")
def crystals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crystals")
    for name, atoms in CRYSTALS.items():
        write(folder / f"{name}.extxyz", atoms)
    return folder


def screened(source: Path | str, store: Path | str) -> dict[str, Any]:
    settings = ScreenSettings(
        models=(PredictArise(passes=PASSES),), execution=ExecutionSettings(executor="inline")
    )
    return screen(source, store, settings).summary


def contents(store: Path | str) -> dict[str, str]:
    """Hash of the columns of every derived part: the footers differ in when the structures were read."""
    return {
        f"{table.folder.name}/{part}": table.footer(part).content_hash
        for table in Store.open(store).tables()
        if table.fingerprint.source_table
        for part in table.part_names()
    }


def objects(service: S3Server, prefix: str = "") -> dict[str, bytes]:
    """All objects of the store by their names in it, read by another client than the product's."""
    client = service.client
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"store/{prefix}"):
        for entry in page.get("Contents", ()):
            content = client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
            found[entry["Key"].removeprefix("store/")] = content
    return found


def derived_in_bucket(service: S3Server) -> dict[str, bytes]:
    found = objects(service)
    return {name: data for name, data in found.items() if "-" in name.partition("/")[0]}


def put(service: S3Server, name: str, data: bytes) -> None:
    service.client.put_object(Bucket=BUCKET, Key=f"store/{name}", Body=data)


def verified(capsys: pytest.CaptureFixture[str], *, repair: bool = False) -> tuple[Any, list[dict[str, Any]]]:
    """Exit status and findings of `crysift verify --json`."""
    capsys.readouterr()
    code: Any = 0
    try:
        verify(URL, repair=repair, as_json=True)
    except SystemExit as ended:
        code = ended.code
    return code, json.loads(capsys.readouterr().out)["damaged"]


@pytest.mark.slow
def test_a_screening_into_a_bucket_gives_the_tables_of_one_on_a_disk(
    service: S3Server, crystals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on_disk, in_bucket = screened(crystals, tmp_path / "store"), screened(crystals, URL)
    differing = {"store", "tables"}
    assert {k: v for k, v in in_bucket.items() if k not in differing} == {
        k: v for k, v in on_disk.items() if k not in differing
    }
    assert contents(URL) == contents(tmp_path / "store") != {}
    status(URL, as_json=True)
    assert [table["rows"] for table in json.loads(capsys.readouterr().out)["tables"]] == [4, 4, 0, 4, 4, 4]
    asked = connect(Store.open(URL)).execute("SELECT structure_id FROM predictions_arise ORDER BY 1")
    assert len(asked.fetchall()) == 4
    assert Store.open(URL).structures.scan(["nsites"]).to_table().num_rows == 4
    assert verified(capsys) == (0, [])
    for name, content in objects(service).items():
        assert SECRET.encode() not in content, name
        assert KEYS["AWS_ACCESS_KEY_ID"].encode() not in content, name


@pytest.mark.slow
def test_damaged_objects_are_found_and_made_again(
    service: S3Server, crystals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screened(crystals, URL)
    before = derived_in_bucket(service)
    features, novel, predictions, protostructures, selection = sorted(before)
    for emptied in (features, novel):
        put(service, emptied, b"")
    for cut in (predictions, protostructures, selection):
        put(service, cut, before[cut][:-9])
    screened(crystals, URL)
    assert derived_in_bucket(service) == before
    flipped = bytearray(before[predictions])
    flipped[len(flipped) // 3] ^= 1
    put(service, predictions, bytes(flipped))
    assert [fault["removed"] for fault in verified(capsys)[1]] == [False]
    assert [fault["removed"] for fault in verified(capsys, repair=True)[1]] == [True]
    screened(crystals, URL)
    assert derived_in_bucket(service) == before


@pytest.mark.slow
def test_a_screening_on_dask_and_ray_into_a_bucket_goes_on_after_a_kill(
    service: S3Server, tmp_path: Path
) -> None:
    screened("examples:", tmp_path / "store")
    command = ["screen", "examples:", "--store", URL, "--passes", str(PASSES), "--executor", "cluster"]
    killed = 0
    for kind in ("features_soap", "predictions_arise"):
        driver = subprocess.Popen(
            [sys.executable, "-m", "crysift", *command, "--quiet"], cwd=ROOT, start_new_session=True
        )
        try:
            while driver.poll() is None and not objects(service, kind):
                time.sleep(0.1)
            killed += driver.poll() is None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
    assert killed >= 1
    subprocess.run([sys.executable, "-m", "crysift", *command, "--quiet"], cwd=ROOT, check=True)
    assert contents(URL) == contents(tmp_path / "store") != {}


def test_what_is_there_is_not_replaced_where_that_is_excluded(service: S3Server) -> None:
    folder = Folder(f"{URL}/structures")
    folder.put("part-a.parquet", b"mine", exclusive=True)
    folder.put("part-a.parquet", b"mine", exclusive=True)  # as when the answer to the first was lost
    with pytest.raises(FileExistsError):
        folder.put("part-a.parquet", b"theirs", exclusive=True)
    assert objects(service) == {"structures/part-a.parquet": b"mine"}


def test_an_absent_and_an_empty_object_are_told_apart(service: S3Server) -> None:
    table = Store.open(URL, create=True).derived(FINGERPRINT)
    commit(table)
    put(service, f"{table.folder.name}/part-b.parquet", b"")
    with pytest.raises(CrysiftError, match=r"there is no part .*part-z\.parquet"):
        table.footer("part-z")
    assert (table.count().parts, table.count().damaged) == (1, 1)
    table.discard("part-b")
    table.discard("part-b")
    assert table.part_names() == {"part-a"}


def write_and_list() -> None:
    store = Store.open(URL, create=True)
    commit(store.derived(FINGERPRINT))
    assert [table.part_names() for table in store.tables()] == [{"part-a"}]


def test_missing_credentials_are_named(service: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use(service.environment({"AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}), monkeypatch)
    with pytest.raises(CrysiftError, match=f"no credentials for {URL}.*set AWS_ACCESS_KEY_ID"):
        write_and_list()


def test_a_missing_bucket_is_named(service: S3Server) -> None:
    with pytest.raises(CrysiftError, match="there is no store at s3://elsewhere/store"):
        Store.open("s3://elsewhere/store")
    with pytest.raises(
        CrysiftError, match=r"s3://elsewhere/store/.* cannot be written.*make the bucket first"
    ):
        commit(Store.open("s3://elsewhere/store", create=True).derived(FINGERPRINT))


@pytest.mark.parametrize(
    "actions",
    [["s3:ListBucket", "s3:GetObject"], ["s3:PutObject", "s3:GetObject"], []],
    ids=["read only", "no listing", "nothing"],
)
def test_lacking_permissions_are_named(
    service: S3Server, monkeypatch: pytest.MonkeyPatch, actions: list[str]
) -> None:
    keys = service.user("somebody", *(actions or ["ec2:RunInstances"]))
    use(service.environment(keys), monkeypatch)
    with (
        service.checking_permissions(),
        pytest.raises(CrysiftError, match=f"access to {URL}.* is denied .*may list the bucket") as error,
    ):
        write_and_list()
    assert keys["AWS_SECRET_ACCESS_KEY"] not in str(error.value)


def test_enough_permissions_are_enough(service: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    actions = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    use(service.environment(service.user("worker", *actions)), monkeypatch)
    with service.checking_permissions():
        write_and_list()
        Store(Folder(URL)).derived(FINGERPRINT).discard("part-a")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "nonsense"])
def test_a_wrong_endpoint_is_named(service: S3Server, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    use({**service.environment(), "AWS_ENDPOINT_URL": endpoint, "AWS_MAX_ATTEMPTS": "1"}, monkeypatch)
    with pytest.raises(CrysiftError, match=f"{URL}.*{endpoint}"):
        write_and_list()


def test_a_key_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(CrysiftError, match="must hold no key, as it is shown and recorded") as error:
        Store.open(f"s3://AKIA:{SECRET}@crystals/store")
    assert SECRET not in str(error.value)


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    program = f"import sys; sys.modules['s3fs'] = None\nfrom engine.store import Store\nStore.open('{URL}')"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "pip install 'crysift[cluster]'" in ended.stderr.splitlines()[-1]
