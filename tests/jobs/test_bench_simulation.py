import numpy as np
import pytest

from jobs.bench.simulation import (
    DEATHS,
    DRIVER,
    IDLE,
    LATENCY,
    PLANNING,
    PURPOSES,
    SLOW,
    START,
    STORE,
    WORK,
    Costs,
    Disturbances,
    RequestLimits,
    drawn_parts,
    simulate,
)

UNRULY = Disturbances(deaths_per_second=0.1, workers_per_node=4, recovery=3.0, slow_share=0.3, slowness=1.5)
COSTS = Costs(planning=1.0, hiring=0.01, start=2.0, dispatch=0.01, transport=0.02, read=0.03, commit=0.04)


def test_one_worker_without_overhead_takes_the_sum_of_the_parts() -> None:
    outcome = simulate([3.0, 2.0, 1.0], 1, Costs())
    assert outcome.makespan == 6.0
    assert outcome.efficiency == 1.0


def test_parts_are_handed_out_in_their_order_to_whoever_is_free() -> None:
    outcome = simulate([4.0, 3.0, 2.0, 1.0, 1.0], 2, Costs())
    assert outcome.makespan == 6.0
    assert outcome.efficiency == pytest.approx(11 / 12)
    assert outcome.bottleneck == IDLE


def test_costs_of_a_part_add_up_on_one_worker() -> None:
    outcome = simulate([1.0] * 10, 1, COSTS)
    assert outcome.makespan == pytest.approx(1.0 + 0.01 + 2.0 + 10 * 1.1)
    shares = {PLANNING: 1.0, START: 2.01, DRIVER: 0.1, LATENCY: 0.7, WORK: 10.0}
    assert {p: outcome.spent[p] for p in shares} == pytest.approx(
        {purpose: seconds / outcome.makespan for purpose, seconds in shares.items()}
    )


def test_a_saturated_driver_decides_how_long_it_takes() -> None:
    outcome = simulate([0.0] * 1000, 100, Costs(dispatch=0.002))
    assert outcome.makespan == pytest.approx(1000 * 0.002)
    assert outcome.driver == pytest.approx(1.0)
    assert outcome.bottleneck == DRIVER


@pytest.mark.parametrize("limits", [RequestLimits(reads=0.004), RequestLimits(writes=0.004)])
def test_a_saturated_store_decides_how_long_it_takes(limits: RequestLimits) -> None:
    outcome = simulate([0.0] * 1000, 100, Costs(), limits)
    assert outcome.makespan == pytest.approx(1000 * 0.004)
    assert max(outcome.reads, outcome.writes) == pytest.approx(1.0)
    assert outcome.bottleneck == STORE


def test_a_slow_worker_is_told_from_work() -> None:
    outcome = simulate([1.0] * 4, 1, Costs(), disturbances=Disturbances(slow_share=1.0, slowness=3.0))
    assert outcome.makespan == 12.0
    assert outcome.spent[SLOW] == pytest.approx(2 / 3)


def test_more_workers_are_never_slower_and_larger_costs_never_faster() -> None:
    parts = drawn_parts(20_000, 100, 0.01, 1.0)
    by_workers = [simulate(parts, workers, COSTS).makespan for workers in (1, 2, 4, 16, 64)]
    assert by_workers == sorted(by_workers, reverse=True)
    by_dispatch = [simulate(parts, 16, Costs(dispatch=seconds)).makespan for seconds in (0.0, 0.01, 0.1, 1.0)]
    assert by_dispatch == sorted(by_dispatch)


@pytest.mark.parametrize("seed", range(5))
def test_all_time_of_all_workers_is_accounted_for_and_all_parts_are_done(seed: int) -> None:
    parts = drawn_parts(2_000, 10, 0.1, 1.0, seed)
    outcome = simulate(parts, 20, COSTS, RequestLimits(0.001, 0.002), UNRULY, seed)
    assert sum(outcome.spent.values()) == pytest.approx(1.0)
    assert set(outcome.spent) == set(PURPOSES)
    assert min(outcome.spent.values()) >= 0
    assert outcome.deaths > 0
    assert outcome.spent[DEATHS] > 0
    assert outcome.spent[WORK] * 20 * outcome.makespan == pytest.approx(sum(parts))


def test_the_same_seed_gives_the_same_run() -> None:
    parts = drawn_parts(2_000, 10, 0.1, 1.0)
    first, again, other = (simulate(parts, 20, COSTS, disturbances=UNRULY, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_parts_hold_all_structures_and_vary_less_the_larger_they_are() -> None:
    small, large = (np.array(drawn_parts(1_000_050, rows, 0.01, 2.0)) for rows in (100, 10_000))
    assert len(small) == 10_001
    assert small.sum() == pytest.approx(10_000.5, rel=0.01)
    assert small.std() / small.mean() == pytest.approx(0.2, rel=0.1)
    assert large[:-1].std() / large.mean() == pytest.approx(0.02, rel=0.3)
    assert (np.diff(small) <= 0).all()
