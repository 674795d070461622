"""A store with damaged parts, in the hands of the commands: they say so, make the parts again, or say how."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ase.io import write

from engine.errors import CrysiftError
from engine.store import Store
from jobs import screen
from jobs.commands.status import status
from jobs.commands.verify import verify
from jobs.settings import ExecutionSettings, ScreenSettings
from jobs.views import connect
from models.stage import PredictArise
from tests.jobs.running import CRYSTALS

pytestmark = [pytest.mark.integration, pytest.mark.slow]

Damage = Callable[[bytes], bytes]

DAMAGES: dict[str, Damage] = {
    "truncated": lambda data: data[: len(data) // 2],
    "emptied": lambda data: data[:0],
    "garbage": lambda data: b"\xa5" * len(data),
    "a flipped bit in the metadata": lambda data: data[:-20] + bytes([data[-20] ^ 4]) + data[-19:],
}


def flip_in_a_page(data: bytes) -> bytes:
    place = len(data) // 3
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


@pytest.fixture(scope="module")
def crystals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crystals")
    for name, atoms in CRYSTALS.items():
        write(folder / f"{name}.extxyz", atoms)
    return folder


@pytest.fixture(scope="module")
def undisturbed(crystals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "store"
    screened(crystals, folder)
    return folder


@pytest.fixture
def store(undisturbed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(undisturbed, tmp_path / "store")


def screened(crystals: Path, store: Path) -> None:
    settings = ScreenSettings(
        models=(PredictArise(passes=20),), execution=ExecutionSettings(executor="inline")
    )
    assert screen(crystals, store, settings).summary["accounted"]


def parts(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.glob("*-*/*.parquet")}


def damage(store: Path, table: str, how: Damage) -> Path:
    path = min(store.glob(f"{table}*/*.parquet"))
    path.write_bytes(how(path.read_bytes()))
    return path


def verified(
    store: Path, capsys: pytest.CaptureFixture[str], *, repair: bool = False
) -> tuple[int, Any, str]:
    """Exit status, answer and messages of `crysift verify --json`."""
    capsys.readouterr()
    code: Any = 0
    try:
        verify(str(store), repair=repair, as_json=True)
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("table", ["features_soap", "predictions_arise"])
def test_damaged_derived_parts_are_made_again(crystals: Path, store: Path, table: str, how: Damage) -> None:
    before = parts(store)
    damage(store, table, how)
    opened = Store.open(store)
    status(str(store), as_json=True)
    assert connect(opened).execute("SELECT count(*) > 0 FROM structures").fetchone() == (True,)
    screened(crystals, store)
    assert parts(store) == before


@pytest.mark.parametrize("table", ["features_soap", "predictions_arise"])
def test_a_flipped_bit_in_a_page_is_found_and_repaired(
    crystals: Path, store: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = parts(store)
    path = damage(store, table, flip_in_a_page)
    code, answer, _ = verified(store, capsys)
    assert code == 1
    assert [(fault["path"], fault["removed"]) for fault in answer["damaged"]] == [(str(path), False)]
    code, answer, _ = verified(store, capsys, repair=True)
    assert code == 0
    assert [fault["removed"] for fault in answer["damaged"]] == [True]
    assert not path.exists()
    assert verified(store, capsys)[0] == 0
    screened(crystals, store)
    assert parts(store) == before


@pytest.mark.parametrize(
    "how", [*DAMAGES.values(), flip_in_a_page], ids=[*DAMAGES, "a flipped bit in a page"]
)
def test_damaged_structures_are_ingested_again_as_the_message_says(
    crystals: Path, store: Path, how: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    before = parts(store)
    path = damage(store, "structures", how)
    code, _, told = verified(store, capsys, repair=True)
    assert code == 1
    assert str(path) in told
    assert "come from their source only: delete both files of that name" in told
    assert path.exists()
    if how is not flip_in_a_page:
        with pytest.raises(CrysiftError, match="delete the file and run the same command again to ingest it"):
            screened(crystals, store)
    path.unlink()
    screened(crystals, store)
    assert verified(store, capsys)[0] == 0
    assert parts(store).keys() == before.keys()
