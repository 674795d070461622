import time

import pytest

from jobs.bench.report import BenchmarkReport, Figure
from jobs.bench.timing import alternating_medians


def test_every_way_runs_once_per_round_in_alternation_after_one_untimed_run() -> None:
    calls: list[str] = []
    alternating_medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3)
    assert calls == ["a", "b"] + ["a", "b"] * 3


def test_one_disturbed_round_does_not_move_the_median() -> None:
    pauses = iter([0.0, 0.0, 0.2, 0.0])
    medians = alternating_medians({"way": lambda: time.sleep(next(pauses))}, repeats=3)
    assert medians["way"] < 0.2


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="repeats = 0"):
        alternating_medians({"way": lambda: None}, repeats=0)


def test_goals_are_judged_and_figures_without_goal_only_inform() -> None:
    met = Figure("time per structure", 1.2, "ms", at_most=1.5)
    missed = Figure("throughput", 0.7, "of torch.mm", at_least=0.8)
    free = Figure("pairs", 330.0, "per atom")
    assert [figure.holds for figure in (met, missed, free)] == [True, False, None]
    assert [figure.goal for figure in (met, missed, free)] == ["<= 1.5", ">= 0.8", None]
    assert BenchmarkReport("x", (met, free)).holds
    assert not BenchmarkReport("x", (met, missed)).holds


def test_a_report_has_the_keys_that_are_promised() -> None:
    report = BenchmarkReport("soap", (Figure("a", 1.0, "ms", at_most=2.0),)).as_json()
    assert {"benchmark", "machine", "versions", "figures"} <= set(report)
    assert report["figures"] == [{"name": "a", "value": 1.0, "unit": "ms", "goal": "<= 2", "holds": True}]
    assert report["machine"]["cores"] >= 1
    assert "numpy" in report["versions"]
