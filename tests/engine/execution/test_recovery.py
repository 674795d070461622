"""Promises of the backlog: every part comes back after a loss, and going on ends where it is no use."""

import pytest

from engine.errors import CrysiftError
from engine.execution import PartIsolated, WorkerLost
from engine.execution.recovery import (
    ISOLATED_AFTER,
    LOSSES_ALLOWED,
    STARTS_ALLOWED,
    Assignment,
    Backlog,
)


def lose(backlog: Backlog, part: str, times: int) -> None:
    for _ in range(times):
        list(backlog.lost(part, "a reason"))


def test_a_lost_part_is_handed_out_again_after_all_others() -> None:
    backlog = Backlog("stage", ["a", "b", "c"], workers=1)
    assert backlog.take() == Assignment("a", isolated=False)
    assert list(backlog.lost("a")) == [WorkerLost("stage", "a", 1)]
    assert [backlog.take().part for _ in range(3)] == ["b", "c", "a"]
    assert (len(backlog), backlog.unfinished) == (0, 3)


def test_a_part_that_cost_two_workers_is_isolated() -> None:
    backlog = Backlog("stage", ["a"], workers=1)
    lose(backlog, backlog.take().part, 1)
    assert backlog.take() == Assignment("a", isolated=False)
    assert list(backlog.lost("a")) == [WorkerLost("stage", "a", 2), PartIsolated("stage", "a", 2)]
    assert ISOLATED_AFTER == 2
    assert backlog.take() == Assignment("a", isolated=True)
    backlog.done("a")
    assert backlog.unfinished == 0


def test_a_part_that_kills_workers_from_isolation_ends_the_run() -> None:
    backlog = Backlog("stage", ["a"], workers=8)
    lose(backlog, "a", LOSSES_ALLOWED - 1)
    with pytest.raises(CrysiftError, match=r"10 workers of stage stage died on a, .*\(a reason\)"):
        lose(backlog, "a", 1)


def test_workers_that_die_at_start_end_the_run_unless_a_part_is_done_in_between() -> None:
    backlog = Backlog("stage", ["a", "b"], workers=2)
    lose(backlog, "", 2 * STARTS_ALLOWED - 1)
    backlog.done("a")
    lose(backlog, "", 2 * STARTS_ALLOWED - 1)
    with pytest.raises(CrysiftError, match="6 workers of stage stage died at start"):
        lose(backlog, "", 1)
