import pytest

from engine.errors import CrysiftError
from jobs.bench.readme import fill, report_table

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
