"""Promises of capacity: how many workers fit is counted node by node."""

import pytest

from engine.errors import CrysiftError
from engine.execution.capacity import Capacity, Node, capacity
from engine.execution.cluster import LOCAL, Cluster
from engine.stage import Resources

GIB = 1024**3


@pytest.mark.parametrize(
    ("node", "worker", "room"),
    [
        (Node(8, 64 * GIB), Resources(cpus=1, memory_bytes=GIB), 8),
        (Node(8, 3 * GIB), Resources(cpus=1, memory_bytes=GIB), 3),
        (Node(8, 64 * GIB), Resources(cpus=3, memory_bytes=GIB), 2),
        (Node(8, 64 * GIB, gpus=2), Resources(gpus=1), 2),
        (Node(8, 64 * GIB, gpus=1), Resources(gpus=0.25), 4),
        (Node(8, 64 * GIB, gpus=1), Resources(gpus=0.1), 8),
        (Node(8, 64 * GIB), Resources(gpus=0.5), 0),
        (Node(0, 64 * GIB), Resources(), 0),
    ],
)
def test_the_scarcest_resource_decides(node: Node, worker: Resources, room: int) -> None:
    assert node.room_for(worker) == room


def test_a_worker_fits_wholly_on_one_node() -> None:
    halves = Capacity("two halves", (Node(4, GIB), Node(4, GIB)))
    assert halves.room_for(Resources(memory_bytes=2 * GIB)) == 0
    assert halves.room_for(Resources(memory_bytes=GIB)) == 2


def test_this_machine_has_the_cores_of_this_process() -> None:
    here = capacity(LOCAL, "ray")
    assert here.nodes[0].cores >= 1
    assert str(here).startswith("this machine (")


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    with pytest.raises(
        CrysiftError, match=r"no Ray cluster answers at '127\.0\.0\.1:1' .* `ray start --head`"
    ):
        capacity(Cluster(ray="127.0.0.1:1"), "ray")
    with pytest.raises(CrysiftError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:1'"):
        capacity(Cluster(dask="tcp://127.0.0.1:1"), "dask")


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://head:10001"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(CrysiftError, match=r"name HOST:PORT .* use `crysift submit`"):
        Cluster(ray=address)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_that_ray_cannot_give_is_refused(share: float) -> None:
    with pytest.raises(CrysiftError, match="name a share below 1, or a whole number"):
        Cluster(gpu_share=share)
