"""`crysift ingest` in real processes that are killed without warning, at random."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.store import Store
from engine.structure import Structure, candidates_table
from tests.servers.fault_proxy import FaultProxy, Recording, Upstream
from tests.servers.nomad_replica import PATH, NomadReplica, nomad_entry, nomad_structure
from tests.servers.optimade_entries import entries_of, ids
from tests.servers.optimade_replica import OptimadeReplica

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "crysift", "ingest", "--quiet"]
OASIS = PATH.removesuffix("/api/v1")
Arguments = list[str]
"""What follows `crysift ingest`."""


@contextmanager
def parquet_files(folder: Path) -> Iterator[Arguments]:
    """Forty files of 75 crystals, a tenth with coincident atoms and a fiftieth with the id of another."""
    for file in range(40):
        structures = []
        for i in range(75 * file, 75 * (file + 1)):
            a = 4.0 + i * 1e-3
            second = 0.01 if i % 10 == 3 else a / 2
            name = str(i - 7) if i % 50 == 49 else str(i)
            positions = np.array([[0.0, 0, 0], [second] * 3])
            structures.append(Structure("db", name, ("Cs", "Cl"), positions, np.eye(3) * a, (1, 1, 1)))
        pq.write_table(candidates_table(structures), folder / f"{file:02}.parquet")
    yield [str(folder)]


@contextmanager
def optimade(_: Path) -> Iterator[Arguments]:
    """Thirty thousand entries of a database that is paged by ids."""
    with FaultProxy(OptimadeReplica.repeating(entries_of(ids(60)), 30_000)) as server:
        yield [f"optimade:{server.url}"]


@contextmanager
def nomad(_: Path) -> Iterator[Arguments]:
    """Twelve thousand entries in four ranges, an eleventh without an archive."""
    entries = []
    for i in range(12_000):
        a = 4.0 + i * 1e-4
        lattice = (np.eye(3) * a).tolist()
        structure = nomad_structure(["Cs", "Cl"], [[0.0] * 3, [a / 2] * 3], lattice)
        entries.append(nomad_entry(structure, i, has_archive=i % 11 > 0))
    with NomadReplica(entries) as replica:
        origin = replica.url.removesuffix(OASIS)
        with FaultProxy(Recording(Upstream(origin))) as server:
            yield ["nomad:", "--oasis", server.url + OASIS]


Serve = Callable[[Path], AbstractContextManager[Arguments]]


def start(arguments: Arguments, store: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([*COMMAND, *arguments, "--store", str(store)], cwd=ROOT)


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


def killed(process: "subprocess.Popen[bytes]", store: Path, rng: random.Random) -> bool:
    """Kill an ingest at any time, or soon after it has committed a part; False if it had come to its end."""
    known = part_count(store)
    if rng.random() < 0.7:
        while process.poll() is None and part_count(store) == known:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
    else:
        time.sleep(rng.uniform(0, 3))
    process.send_signal(signal.SIGKILL)
    assert process.wait() in (0, -signal.SIGKILL)
    return process.returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("serve", "entries", "kills"), [(optimade, 30_000, 20), (nomad, 12_000, 15), (parquet_files, 3_000, 15)]
)
def test_killed_ingests_go_on_to_the_same_rows_none_lost_none_twice(
    serve: Serve, entries: int, kills: int, tmp_path: Path
) -> None:
    rng = random.Random(kills)  # noqa: S311 -- repeatable
    folder = tmp_path / "source"
    folder.mkdir()
    with serve(folder) as arguments:
        assert start(arguments, tmp_path / "whole").wait(timeout=300) == 0
        whole = content(tmp_path / "whole")
        structures, rejects, parts = whole
        assert len(structures) + len(rejects) == entries
        assert len(set(structures["structure_id"].to_pylist())) == len(structures)
        assert len(parts) > 8

        stores = iter(tmp_path / f"killed-{number}" for number in range(kills))
        store = next(stores)
        while kills:
            if killed(start(arguments, store), store, rng):
                kills -= 1
            else:
                assert content(store) == whole
                store = next(stores)
        assert start(arguments, store).wait(timeout=300) == 0
        assert content(store) == whole
