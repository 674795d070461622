import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution.packing import pack, predicted_pairs

costs = st.lists(st.floats(min_value=0, max_value=100), max_size=200)


@given(costs, st.floats(min_value=0.1, max_value=300), st.integers(1, 20))
def test_every_row_is_in_exactly_one_batch_in_order(costs: list[float], limit: float, max_rows: int) -> None:
    batches = pack(costs, limit, max_rows)
    assert [row for batch in batches for row in batch] == list(range(len(costs)))
    assert all(batches)


@given(costs, st.floats(min_value=0.1, max_value=300), st.integers(1, 20))
def test_no_batch_of_several_rows_exceeds_a_limit(costs: list[float], limit: float, max_rows: int) -> None:
    for batch in pack(costs, limit, max_rows):
        assert len(batch) <= max_rows
        assert len(batch) == 1 or sum(costs[row] for row in batch) <= limit


@given(costs, st.floats(min_value=0.1, max_value=300), st.integers(1, 20))
def test_a_batch_ends_only_where_the_next_row_does_not_fit(
    costs: list[float], limit: float, max_rows: int
) -> None:
    for batch in pack(costs, limit, max_rows)[:-1]:
        assert len(batch) == max_rows or sum(costs[row] for row in batch) + costs[batch.stop] > limit


def test_predicted_pairs_grow_with_sites_and_species() -> None:
    assert predicted_pairs([1, 10], [1, 3]).tolist() == pytest.approx([100, 3000])
