"""Promises of the isolated stage: a structure that kills its process is a failed row, and the only one."""

import importlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
from ase.build import bulk, molecule
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.descriptors.soap import SoapStage
from engine.errors import CrysiftError
from engine.execution import isolation
from engine.execution.isolation import isolated
from engine.execution.task import checked
from engine.stage import Stage
from engine.structure import Structure, structures_table
from engine.validation import StructureLimits, validate
from tests.connectors.reading import opened
from tests.engine.execution.clusters import local_ray
from tests.engine.execution.faulty import (
    CopyStage,
    CubeStage,
    Death,
    FaultyStage,
    ask,
    chat,
    die,
    die_of,
    divide_by_zero,
    fail_to_open,
    raise_unpicklable,
    report_threads,
    sign_and_die_of,
    structures,
)

KILLED = "all of 3 processes died on this structure alone; the last "
ENDS: dict[Death, str] = {
    "SIGKILL": "was killed by SIGKILL, most often for lack of memory",
    "SIGSEGV": "was killed by SIGSEGV",
    "SIGABRT": "was killed by SIGABRT",
    "exit status 3": "ended with exit status 3",
}


def asker(question: Path) -> int:
    """The process that asks."""
    return int(question.name.split(".")[0])


def first_question(folder: Path) -> Path:
    """Wait for a question."""
    while True:
        for question in folder.iterdir():
            return question
        time.sleep(0.001)


def answer(folder: Path, work: Future[Any], kill: Iterator[bool]) -> int:
    """Answer every question by going on or by death until the work is done; return the number of deaths."""
    deaths = 0
    while not work.done():
        for question in folder.iterdir():
            if next(kill):
                os.kill(asker(question), signal.SIGKILL)
                deaths += 1
            question.unlink()
        time.sleep(0.001)
    return deaths


def is_running(process: int) -> bool:
    """Whether a process works: one that is dead may be listed as a zombie for a while."""
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def in_child(stage: Stage, batch: pa.Table) -> pa.Table:
    with isolated(stage) as function:
        return checked(stage, batch, function(batch))


def assert_only_the_poisoned_rows_failed(
    result: pa.Table, batch: pa.Table, poison: dict[str, Death], undisturbed: pa.Table
) -> None:
    assert result["structure_id"] == batch["structure_id"]
    killed = pa.compute.is_in(batch["structure_id"], pa.array(list(poison), pa.string()))
    assert result.filter(pa.compute.invert(killed)).equals(undisturbed.filter(pa.compute.invert(killed)))
    for row in result.filter(killed).to_pylist():
        death = poison[row.pop("structure_id")]
        assert {name: value for name, value in row.items() if value is not None} == {
            "status": "failed",
            "error_stage": "features_faulty",
            "error_class": "ProcessKilled",
            "error_message": KILLED + ENDS[death],
        }


@settings(max_examples=2)
@example(rows=70, places=[(0, "SIGSEGV"), (69, "exit status 3")])
@given(
    rows=st.integers(3, 70),
    places=st.lists(st.tuples(st.integers(0, 69), st.sampled_from(list(ENDS))), min_size=1, max_size=2),
)
def test_rows_that_kill_fail_alone_wherever_they_are(rows: int, places: list[tuple[int, Death]]) -> None:
    batch = structures(rows)
    poison = {f"a:{place % rows}": death for place, death in places}
    result = in_child(FaultyStage(partial(die_of, poison)), batch)
    assert_only_the_poisoned_rows_failed(result, batch, poison, CubeStage().open()(batch))


@pytest.mark.parametrize("death", list(ENDS))
def test_the_failed_row_says_how_its_process_ended(death: Death) -> None:
    batch = structures(1)
    result = in_child(FaultyStage(partial(die_of, {"a:0": death})), batch)
    assert result["error_message"].to_pylist() == [KILLED + ENDS[death]]


def test_kills_from_outside_cost_no_row(tmp_path: Path) -> None:
    batch = structures(50)
    twice_on_one_row = [True, True, True, True, False]
    kill = chain(twice_on_one_row, cycle([False] * 10 + [True]))
    with ThreadPoolExecutor(1) as thread, isolated(FaultyStage(partial(ask, tmp_path))) as function:
        work = thread.submit(function, batch)
        assert answer(tmp_path, work, kill) >= 5
        assert work.result().equals(CubeStage().open()(batch))


def test_a_function_serves_batch_after_batch_also_after_a_death() -> None:
    poisoned, harmless = structures(2), structures(5).slice(2)
    with isolated(FaultyStage(partial(die_of, {"a:1": "SIGKILL"}))) as function:
        assert function(poisoned)["status"].to_pylist() == ["ok", "failed"]
        assert function(harmless).equals(CubeStage().open()(harmless))


def test_more_poisoned_rows_than_structures_explain_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "KILLERS_ALLOWED", 1)
    stage = FaultyStage(partial(die_of, {"a:0": "SIGKILL", "a:2": "SIGABRT"}))
    message = "2 structures of one part kill .* at most 1 are made failed rows; on a:2 the process was killed"
    with pytest.raises(CrysiftError, match=message):
        in_child(stage, structures(3))


def test_a_stage_whose_opening_kills_is_an_error_and_no_failed_row() -> None:
    message = "3 processes in a row died while they opened stage features_faulty; the last ended with"
    with pytest.raises(CrysiftError, match=message):
        in_child(FaultyStage(opening=partial(die, "exit status 3")), structures(2))


def test_what_the_stage_raises_comes_back_with_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        in_child(FaultyStage(divide_by_zero), structures(2))
    assert "in divide_by_zero" in "".join(caught.value.__notes__)
    with pytest.raises(RuntimeError, match="UnpicklableError: row 3 of nsites") as unpicklable:
        in_child(FaultyStage(raise_unpicklable), structures(2))
    assert "in raise_unpicklable" in "".join(unpicklable.value.__notes__)
    with pytest.raises(ValueError, match="at opening"):
        in_child(FaultyStage(opening=fail_to_open), structures(2))


def test_the_child_has_the_environment_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(CrysiftError, match="OMP_NUM_THREADS=7"):
        in_child(FaultyStage(report_threads), structures(1))


def test_what_the_stage_prints_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    batch = structures(3)
    assert in_child(FaultyStage(chat), batch).equals(CubeStage().open()(batch))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("chatter") == 2


def test_the_working_directory_shadows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("engine", "tests", "pyarrow", "json", "pickle"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a foreign package')")
    monkeypatch.chdir(tmp_path)
    batch = structures(3)
    assert in_child(CubeStage(), batch).equals(CubeStage().open()(batch))


def test_the_stage_is_found_where_its_parent_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_a_user.py").write_text("def fail(batch):\n    raise LookupError('of a user')\n")
    monkeypatch.syspath_prepend(tmp_path)
    fault = importlib.import_module("of_a_user").fail
    with pytest.raises(LookupError, match="of a user"):
        in_child(FaultyStage(fault), structures(1))


def test_ctrl_c_is_left_to_the_parent_and_memory_is_taken_from_the_child(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as thread, isolated(FaultyStage(partial(ask, tmp_path))) as function:
        work = thread.submit(function, structures(3))
        question = first_question(tmp_path)
        child = asker(question)
        os.kill(child, signal.SIGINT)
        assert Path(f"/proc/{child}/oom_score_adj").read_text() == "1000\n"
        question.unlink()
        answer(tmp_path, work, cycle([False]))
        assert is_running(child)
    assert not is_running(child)


def test_a_large_batch_passes_both_ways() -> None:
    content = np.random.default_rng(1).bytes(300_000)
    contents = pa.array([content] * 1000, pa.large_binary())
    batch = pa.table([structures(1000)["structure_id"], contents], ["structure_id", "content"])
    assert in_child(CopyStage(), batch)["content"].equals(batch["content"])


PARENT = """
import sys
sys.path[:] = {path!r}
from functools import partial
from pathlib import Path
from engine.execution.isolation import isolated
from tests.engine.execution.faulty import FaultyStage, ask, structures
with isolated(FaultyStage(partial(ask, Path({folder!r})))) as function:
    function(structures(1))
"""


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(path=sys.path, folder=str(tmp_path))])
    child = asker(first_question(tmp_path))
    assert psutil.Process(child).ppid() == parent.pid
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


POISON: dict[str, Death] = {"a:1": "SIGKILL"}


def isolate_poisoned(batch: pa.Table) -> tuple[pa.Table, bool]:
    """Isolate a structure that kills, wherever this is called; say whether that is a daemonic process."""
    result = in_child(FaultyStage(partial(die_of, POISON)), batch)
    return result, multiprocessing.current_process().daemon


@pytest.mark.integration
def test_a_ray_actor_isolates() -> None:
    import ray

    class Actor:
        def isolate(self, path: list[str], batch: pa.Table) -> pa.Table:
            sys.path[:] = path
            from tests.engine.execution.test_isolation import isolate_poisoned

            return isolate_poisoned(batch)[0]

    batch = structures(4)
    with local_ray():
        actor: Any = ray.remote(Actor)
        result = ray.get(actor.remote().isolate.remote(sys.path, batch))
    assert_only_the_poisoned_rows_failed(result, batch, POISON, CubeStage().open()(batch))


@pytest.mark.integration
def test_a_daemonic_dask_worker_isolates() -> None:
    from distributed import Client, LocalCluster

    batch = structures(4)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        result, daemonic = client.submit(isolate_poisoned, batch).result()
    assert daemonic
    assert_only_the_poisoned_rows_failed(result, batch, POISON, CubeStage().open()(batch))


def test_soap_in_a_child_is_what_it_is_here() -> None:
    crystals = [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.64), bulk("Ti"), bulk("Si"), molecule("C6H6")]
    table = structures_table([Structure.from_ase(a, "test", str(i)) for i, a in enumerate(crystals)])
    batch = table.select(SoapStage().reads.names)
    assert in_child(SoapStage(), batch).equals(SoapStage().open()(batch))


def example_crystals() -> pa.Table:
    """What SOAP reads of the first 512 example crystals."""
    connector = opened("examples:")
    candidates = connector.read(next(iter(connector.pages(None)))).candidates
    return validate(candidates, StructureLimits())[0].select(SoapStage().reads.names)


@pytest.mark.slow
def test_poisoned_and_killed_at_random_soap_loses_no_other_row(tmp_path: Path) -> None:
    """Every second process that gets to work is killed from outside: never three on one structure."""
    batch = example_crystals()
    ids = batch["structure_id"].to_pylist()
    poison: dict[str, Death] = {ids[row]: "SIGKILL" for row in (0, len(ids) // 2, -1)}
    stage = FaultyStage(partial(sign_and_die_of, tmp_path, poison), inner=SoapStage())
    draw = random.Random(9)  # noqa: S311 -- no secret
    seen: list[Path] = []
    with ThreadPoolExecutor(1) as thread, isolated(stage) as function:
        work = thread.submit(function, batch)
        while not work.done():
            for sign in set(tmp_path.iterdir()).difference(seen):
                seen.append(sign)
                time.sleep(draw.uniform(0.0, 1.0))
                for child in psutil.Process().children():
                    if len(seen) % 2 and child.pid == int(sign.name):
                        child.kill()
            time.sleep(0.01)
        result = work.result()
    assert_only_the_poisoned_rows_failed(result, batch, poison, SoapStage().open()(batch))
