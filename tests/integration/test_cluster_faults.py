"""What breaks around a run on a real Ray cluster: links, disks, structures, parts, nodes and drivers."""

import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from engine.execution import Cluster, Event, PartIsolated, execute, plan_stage
from engine.stage import Stage
from engine.store import Store
from tests.clusters.figures import keep_fault
from tests.clusters.network import Host, network
from tests.clusters.poison import PoisonedPredictStage, PoisonedSoapStage
from tests.clusters.ray_nodes import RayCluster, ray_cluster, wait_until
from tests.clusters.screening import (
    DERIVED,
    PASSES,
    Screening,
    assert_same_tables,
    repetitions,
    screen_undisturbed,
)
from tests.clusters.structures import write_structures
from tests.engine.tiny_disk import tiny_disk

pytestmark = [pytest.mark.integration, pytest.mark.slow]

Damage = Literal["truncated", "altered"]
STRUCTURES = 1200
ACTORS = {"features_soap": "DaskWorkerActor", "predictions_arise": "StageActor"}
POISONED = {"features_soap": PoisonedSoapStage, "predictions_arise": PoisonedPredictStage}
SAME = "tables identical to the undisturbed run's, no part done twice"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_structures(tmp_path_factory.mktemp("crystals") / "crystals.parquet", STRUCTURES)


@pytest.fixture(scope="module")
def undisturbed(source: Path) -> Path:
    store = source.with_name("undisturbed")
    screen_undisturbed(source, store)
    return store


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture
def screening(source: Path, tmp_path: Path, cluster: RayCluster) -> Iterator[Screening]:
    screening = Screening(source, tmp_path / "store", cluster)
    screening.start()
    yield screening
    screening.end()


def assert_whole(screening: Screening, undisturbed: Path) -> None:
    assert_same_tables(screening.store, undisturbed, STRUCTURES)
    assert repetitions(screening.store) == 0


@pytest.mark.parametrize("table", DERIVED)
def test_a_cut_link_that_heals_loses_nothing(
    source: Path, undisturbed: Path, tmp_path: Path, table: str
) -> None:
    with network(3) as net, ray_cluster(net.hosts) as cluster:
        screening = Screening(source, tmp_path / "store", cluster, workers=1)
        screening.start()
        try:
            screening.wait_for_parts(table, 3)
            [host] = [node.host for node in cluster.workers if node.actors(ACTORS[table])]
            cut = datetime.now(UTC)
            net.cut(host)
            wait_until(lambda: screening.events("WorkerLost"), "the lost worker", screening.said.read_text)
            net.heal(host)
            screening.finish()
        finally:
            screening.end()
        cluster.wait(3)
        assert_whole(screening, undisturbed)
    [loss] = screening.events("WorkerLost")
    assert loss["stage"] == table
    noticed = (datetime.fromisoformat(loss["time"]) - cut).total_seconds()
    keep_fault(
        f"link-{table}",
        f"the link to the node of the only worker is cut during {table}, and heals",
        "a worker on another node does its part and goes on; the node joins again",
        f"as expected, noticed after {noticed:.0f} s; {SAME}",
    )


@pytest.mark.parametrize("table", DERIVED)
def test_a_terminated_driver_stops_cleanly_and_goes_on(
    screening: Screening, undisturbed: Path, cluster: RayCluster, table: str
) -> None:
    screening.wait_for_parts(table, 3)
    screening.driver.send_signal(signal.SIGTERM)
    assert screening.driver.wait() == 143
    assert "run the same command to go on" in screening.said.read_text()
    assert screening.processes() == []
    assert cluster.living_actors() == 0
    screening.start()
    screening.finish()
    assert_whole(screening, undisturbed)
    keep_fault(
        f"sigterm-{table}",
        f"SIGTERM for the driver during {table}",
        "exit status 143, no actor left on the cluster; the same command goes on",
        f"as expected; {SAME}",
    )


def test_the_actors_of_a_killed_driver_are_gone(
    screening: Screening, undisturbed: Path, cluster: RayCluster
) -> None:
    screening.wait_for_parts("predictions_arise", 3)
    screening.driver.kill()
    screening.driver.wait()
    wait_until(lambda: not any(node.actors("StageActor") for node in cluster.workers), "actors to end")
    assert cluster.living_actors() == 0
    screening.start()
    screening.finish()
    assert_whole(screening, undisturbed)
    keep_fault(
        "driver",
        "SIGKILL for the driver",
        "its actors end; the same command goes on",
        f"as expected; {SAME}",
    )


def test_nodes_come_and_go_during_a_run(source: Path, undisturbed: Path, tmp_path: Path) -> None:
    with ray_cluster(2 * (Host(),)) as cluster:
        screening = Screening(source, tmp_path / "store", cluster)
        screening.start()
        try:
            for table, actor in ACTORS.items():
                screening.wait_for_parts(table, 1)
                first = cluster.workers[-1]
                [worker] = first.actors(actor)
                worker.suspend()  # the run cannot end before the other node has come
                joined = cluster.add(Host())
                wait_until(partial(joined.actors, actor), "a worker on the node that joined")
                first.kill()
            screening.finish()
        finally:
            screening.end()
        assert_whole(screening, undisturbed)
    keep_fault(
        "elastic",
        "a node joins and the only other one is switched off, in each stage",
        "workers start on the node that joined, the part of the lost one is done again",
        f"as expected; {SAME}",
    )


@pytest.mark.parametrize("table", DERIVED)
def test_a_structure_that_kills_every_process_is_one_failed_row(
    undisturbed: Path, tmp_path: Path, cluster: RayCluster, table: str
) -> None:
    store = Store.open(copy_without(undisturbed, tmp_path / "store", table))
    expected = {row["structure_id"]: row for row in rows_of(undisturbed, table)}
    poison = sorted(expected)[STRUCTURES // 2]
    stage: Stage = POISONED[table](poison=poison, **({"passes": PASSES} if table == DERIVED[1] else {}))
    events: list[Event] = []
    plan = plan_stage(store, stage, stage.engine, cluster=Cluster(ray=cluster.address))
    finished = execute(plan, events.append)
    found = {row["structure_id"]: row for row in rows_of(tmp_path / "store", table)}
    failed = found.pop(poison)
    del expected[poison]
    assert found == expected
    assert (failed["status"], failed["error_stage"], failed["error_class"]) == (
        "failed",
        table,
        "ProcessKilled",
    )
    assert finished.rows == STRUCTURES
    [isolated] = [event for event in events if isinstance(event, PartIsolated)]
    keep_fault(
        f"poison-{table}",
        f"a structure kills every process that computes it, in {table}",
        "one failed row of class ProcessKilled, all others as ever",
        f"as expected; it cost {isolated.losses} workers, then 3 processes on that structure alone",
    )


def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_space(
    source: Path, undisturbed: Path, tmp_path: Path, cluster: RayCluster
) -> None:
    with tiny_disk(tmp_path / "disk", "8m") as disk:
        screening = Screening(source, disk / "store", cluster)
        needed = sum(file.stat().st_size for file in (undisturbed / "structures").iterdir())
        (disk / "ballast").write_bytes(b"\0" * (shutil.disk_usage(disk).free - 2 * needed))
        assert screening.start().wait() == 1
        assert "is full" in (said := screening.said.read_text()), said
        assert "run the same command again" in said
        assert cluster.living_actors() == 0
        (disk / "ballast").unlink()
        screening.start()
        screening.finish()
        assert_whole(screening, undisturbed)
    keep_fault(
        "disk",
        "the disk of the store is full",
        "the run ends with the way out; with space again the same command goes on",
        f"as expected; {SAME}",
    )


@pytest.mark.parametrize(
    ("table", "damage", "missing"),
    [
        ("predictions_arise", "truncated", ""),
        ("features_soap", "truncated", "predictions_arise"),
        ("features_soap", "altered", "predictions_arise"),
    ],
)
def test_a_damaged_part_is_made_again(
    source: Path,
    undisturbed: Path,
    tmp_path: Path,
    cluster: RayCluster,
    table: str,
    damage: Damage,
    missing: str,
) -> None:
    store = copy_without(undisturbed, tmp_path / "store", missing)
    part = min(next(store.glob(f"{table}-*")).glob("part-*.parquet"))
    spoil(part, damage)
    screening = Screening(source, store, cluster)
    screening.start()
    screening.finish()
    found = [(event["table"], event["part"]) for event in screening.events("PartDamaged")]
    assert found == [(part.parent.name, part.stem)]
    assert_same_tables(store, undisturbed, STRUCTURES)
    keep_fault(
        f"damage-{table}-{damage}",
        f"a part of {table} is {damage}",
        "it is found, and made again",
        "as expected; tables identical to the undisturbed run's",
    )


def copy_without(store: Path, copy: Path, table: str) -> Path:
    shutil.copytree(store, copy)
    for folder in copy.glob(f"{table}-*") if table else ():
        shutil.rmtree(folder)
    return copy


def rows_of(store: Path, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Store.open(store).latest(table).scan().to_table().to_pylist()
    return rows


def spoil(part: Path, damage: Damage) -> None:
    data = bytearray(part.read_bytes())
    if damage == "truncated":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 3] ^= 1
    part.write_bytes(data)
