"""Ingest in real processes that are killed without warning."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.store import Store
from engine.structure import Structure, candidates_table

pytestmark = pytest.mark.integration

INGEST = """
import sys
import connectors.parquet
from connectors import open_source
from engine.ingest import ingest
from engine.store import Store
from engine.validation import StructureLimits

connectors.parquet.PAGE_ROWS = 20
store = Store.open(sys.argv[2], create=True)
store.sweep()
ingest(open_source(sys.argv[1]), store, StructureLimits())
"""
KILLS = 8


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two files of 1,500 crystals, a tenth with coincident atoms and a fiftieth with the id of another."""
    folder = tmp_path / "source"
    folder.mkdir()
    for file in range(2):
        structures = []
        for i in range(1500 * file, 1500 * (file + 1)):
            a = 4.0 + i * 1e-3
            second = 0.01 if i % 10 == 3 else a / 2
            name = str(i - 7) if i % 50 == 49 else str(i)
            positions = np.array([[0.0, 0, 0], [second] * 3])
            structures.append(Structure("db", name, ("Cs", "Cl"), positions, np.eye(3) * a, (1, 1, 1)))
        pq.write_table(candidates_table(structures), folder / f"{file}.parquet")
    return folder


def start(source: Path, store: Path) -> "subprocess.Popen[bytes]":
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", INGEST, str(source), str(store)], cwd=root)


def part_count(store: Path) -> int:
    return len(list((store / "structures").glob("part-*.parquet")))


def content(store: Path) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """Structures and rejects by id, without the time of their fetching, and the rows of each part."""
    opened = Store.open(store)
    structures = opened.structures.scan().to_table().sort_by("structure_id").drop_columns("fetched_at")
    order = [("structure_id", "ascending"), ("error_class", "ascending")]
    rejects = opened.rejects.scan().to_table().sort_by(order).drop_columns("fetched_at")
    parts = {part: opened.structures.footer(part).rows_out for part in opened.structures.part_names()}
    return structures, rejects, parts


def test_killed_ingests_go_on_to_the_same_rows_none_lost_none_twice(tmp_path: Path, source: Path) -> None:
    assert start(source, tmp_path / "whole").wait(timeout=300) == 0
    whole = content(tmp_path / "whole")

    kills = 0
    finished = False
    while not finished:
        goal = part_count(tmp_path / "killed") + 1 + kills * 3
        process = start(source, tmp_path / "killed")
        while process.poll() is None and (part_count(tmp_path / "killed") < goal or kills >= KILLS):
            time.sleep(0.001)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        finished = process.wait(timeout=300) == 0
    killed = content(tmp_path / "killed")

    assert kills >= 3
    assert killed == whole
    structures, rejects, parts = killed
    assert len(structures) + len(rejects) == 3000
    assert len(set(structures["structure_id"].to_pylist())) == len(structures)
    assert len(parts) == 150
