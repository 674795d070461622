import pytest

from engine.errors import CrysiftError
from jobs.bench.readme import fill, goals_table, report_table, robustness_tables

REPORT = {
    "benchmark": "soap",
    "machine": {"processor": "a processor", "cores": 2},
    "figures": [
        {"name": "time", "value": 1.2345, "unit": "ms", "goal": "<= 1.5", "holds": True},
        {"name": "ratio", "value": 11.64, "unit": "times", "goal": None, "holds": None},
    ],
    "remarks": ["one thread"],
}


def test_a_block_is_replaced_and_nothing_else() -> None:
    text = "before\n<!-- figures:soap -->\nold\n<!-- /figures:soap -->\nafter\n"
    once = fill(text, {"soap": report_table(REPORT)})
    assert once.startswith(
        "before\n<!-- figures:soap -->\n| figure | measured | goal |\n| --- | --- | --- |\n"
    )
    assert "| time | 1.23 ms | <= 1.5 |\n| ratio | 11.6 times |  |\n" in once
    assert once.endswith("a processor, 2 cores; one thread.\n<!-- /figures:soap -->\nafter\n")
    assert fill(once, {"soap": report_table(REPORT)}) == once


def test_a_missing_block_is_named() -> None:
    with pytest.raises(CrysiftError, match="figures:soap"):
        fill("no block here", {"soap": "table"})


def test_figures_with_a_goal_are_told_to_two_decimals_and_whether_they_hold() -> None:
    below = {"name": "ours: η 1 %", "value": 99.9849, "unit": "%", "goal": ">= 100", "holds": False}
    table = goals_table({**REPORT, "figures": [*REPORT["figures"], below]})
    assert table.splitlines()[2:] == [
        "| time | 1.23 ms | <= 1.5 | yes |",
        "| ours: η 1 % | 99.98 % | >= 100 | no |",
    ]


def test_accuracies_stand_beside_spglib_and_tell_what_rounding_would_hide() -> None:
    detection = {"auroc": 0.95, "false_alarms": 0.4333}
    scores = ("ood_score", "mutual_information", "predictive_entropy", "variation_ratio")
    table = robustness_tables(
        {
            "judged": {
                "pristine, held out": {"structures": 1568, "right": 1568},
                "50 % vacancies": {"structures": 100_000, "right": 99_999},
            },
            "published": ["50 % vacancies"],
            "spglib": {"pristine": {"loose": 1.0, "tight": 0.5}},
            "detection": {score: {"mild": detection, "strong": detection} for score in scores},
        }
    )
    assert "| pristine, held out | 1,568 | 0 | 100.00 | 100.00 | 50.00 |" in table
    assert "| 50 % vacancies | 100,000 | 1 | 100.00 |  |  |" in table
    assert "| **all published kinds** | 100,000 | 1 | 99.999 |  |  |" in table
    assert "| `ood_score` | 0.950, 43.3 % | 0.950, 43.3 % |" in table
