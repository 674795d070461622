"""What every test may ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "crysift",
    deadline=None,  # the first example of a test compiles numba kernels
    derandomize=True,  # the same examples on every machine
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("crysift")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of published structures and vectors; the test is skipped where it is absent."""
    named = os.environ.get("CRYSIFT_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: set CRYSIFT_SHARED_DATA to the folder of reference data")
    return folder
