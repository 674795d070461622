"""Workers, raylets and drivers are killed at random, again and again, and the tables come out the same."""

import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.clusters.figures import keep, most_lost_ahead_of_kills, recoveries
from tests.clusters.kills import Killer
from tests.clusters.network import Host
from tests.clusters.ray_nodes import ray_cluster
from tests.clusters.screening import (
    Screening,
    all_events,
    assert_same_tables,
    repetitions,
    screen_undisturbed,
)
from tests.clusters.structures import ROWS_PER_PART, write_structures

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KILLS = int(os.environ.get("CRYSIFT_KILLS", "12"))
STRUCTURES = 3000
NODES = 2


@pytest.mark.timeout(120 + 60 * KILLS)
def test_random_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    source = write_structures(tmp_path / "crystals.parquet", STRUCTURES)
    screen_undisturbed(source, tmp_path / "undisturbed")
    runs: list[dict[str, Any]] = []
    left = KILLS
    with ray_cluster((1 + NODES) * (Host(),)) as cluster:
        for seed in count():
            store = tmp_path / f"killed-{seed}"
            kills = Killer(Screening(source, store, cluster, workers=NODES), left, seed).run()
            assert_same_tables(store, tmp_path / "undisturbed", STRUCTURES)
            assert repetitions(store) == 0
            events = all_events(store)
            assert most_lost_ahead_of_kills(kills, events) <= 0
            runs.append({"seed": seed, "kills": recoveries(kills, events)})
            keep("kills", {"structures": STRUCTURES, "parts": STRUCTURES // ROWS_PER_PART, "runs": runs})
            left -= len(kills)
            if not left:
                break
        assert cluster.living_actors() == 0
