"""One Ray for several tests: executors use a session that is already there and leave it running."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def local_ray() -> Iterator[None]:
    import ray

    import engine.execution.ray_session  # noqa: F401 -- sets the environment of Ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80 * 1024**2,
    )
    try:
        yield
    finally:
        ray.shutdown()
