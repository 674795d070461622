import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.known import HashSet

numbers = st.lists(st.integers(0, 60), max_size=20)


@given(st.lists(numbers, max_size=10))
def test_a_set_of_hashes_holds_exactly_what_was_added(batches: list[list[int]]) -> None:
    seen, expected = HashSet(), set[int]()
    for batch in batches:
        hashes = np.array(batch, dtype=np.uint64)
        assert seen.contains(hashes).tolist() == [number in expected for number in batch]
        seen.add(hashes)
        expected.update(batch)
    assert len(seen.runs) <= 1 + np.log2(1 + sum(map(len, batches)))
