"""A stage on more workers than any machine has, simulated: where their time goes."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

WORK = "computing"
PLANNING = "planning"
START = "start of the workers"
DRIVER = "driver"
TRANSPORT = "way to and from the driver"
STORE = "request rate of the store"
LATENCY = "latency of the store"
SLOW = "slow workers"
DEATHS = "lost nodes"
IDLE = "too few parts"
PURPOSES = (WORK, PLANNING, START, DRIVER, TRANSPORT, STORE, LATENCY, SLOW, DEATHS, IDLE)
"""What the time of workers goes into."""


@dataclass(frozen=True)
class Costs:
    """Seconds; what a part costs besides the work on its structures, and what comes before the first part."""

    planning: float = 0.0
    """Of the whole stage, before anything starts."""
    hiring: float = 0.0
    """Of the driver per worker."""
    start: float = 0.0
    """Of a worker until it asks for its first part."""
    dispatch: float = 0.0
    """Of the driver per part: it serves one after the other."""
    transport: float = 0.0
    """Between driver and worker, there and back."""
    read: float = 0.0
    commit: float = 0.0


@dataclass(frozen=True)
class RequestLimits:
    """Seconds of a store that serves one request after the other: for a part's reads, and its writes."""

    reads: float = 0.0
    writes: float = 0.0


@dataclass(frozen=True)
class Disturbances:
    """Nodes that die, and workers that are slow."""

    deaths_per_second: float = 0.0
    """Of one node."""
    workers_per_node: int = 64
    recovery: float = 60.0
    """Seconds until a worker on another node asks for a part."""
    slow_share: float = 0.0
    slowness: float = 1.0
    """Times as long as others a slow worker computes."""


@dataclass(frozen=True)
class Outcome:
    """Seconds from the start to the last commit, and what became of the workers' time meanwhile.

    ``spent`` maps a purpose to its share of the time of all workers. ``driver``, ``reads`` and ``writes`` are
    the shares of the makespan in which these were busy.
    """

    makespan: float
    spent: dict[str, float]
    driver: float
    reads: float
    writes: float
    deaths: int

    @property
    def efficiency(self) -> float:
        """Share of the workers' time that is spent on structures."""
        return self.spent[WORK]

    @property
    def bottleneck(self) -> str:
        """What takes most of the workers' time besides their work."""
        return max(self.spent, key=lambda purpose: (purpose != WORK, self.spent[purpose]))


def drawn_parts(structures: int, rows: int, mean: float, spread: float, seed: int = 0) -> list[float]:
    """Seconds of work of parts of so many rows, the dearest first.

    ``mean`` is that of a structure and ``spread`` its standard deviation in units of the mean; the work of a
    part is log-normal with the mean and standard deviation of a sum of independent structures.
    """
    sizes = np.full(-(-structures // rows), rows)
    sizes[-1] = structures - rows * (len(sizes) - 1)
    variance = np.log1p(spread**2 / sizes)
    noise = np.random.default_rng(seed).standard_normal(len(sizes))
    work = mean * sizes * np.exp(np.sqrt(variance) * noise - variance / 2)
    return sorted(work.tolist(), reverse=True)


def simulate(
    parts: Sequence[float],
    workers: int,
    costs: Costs,
    limits: RequestLimits = RequestLimits(),
    disturbances: Disturbances = Disturbances(),
    seed: int = 0,
) -> Outcome:
    """Simulate parts of so many seconds of work, handed out in their order; equal seeds, equal outcomes."""
    return _Stage(parts, workers, costs, limits, disturbances, np.random.default_rng(seed)).run()


@dataclass
class _Server:
    """Serves one after the other, in the order of their coming."""

    free: float = 0.0
    busy: float = 0.0

    def serve(self, time: float, seconds: float) -> float:
        """Return when a request that comes now is done."""
        self.free = max(self.free, time) + seconds
        self.busy += seconds
        return self.free


@dataclass(eq=False)
class _Worker:
    """Its time is booked up to ``since``, and from there it is ``open``; ``life`` counts its deaths."""

    slowness: float
    since: float = 0.0
    life: int = 0
    part: int | None = None
    open: dict[str, float] = field(default_factory=dict)


_Step = Callable[[float, _Worker], None]


class _Stage:
    def __init__(
        self,
        parts: Sequence[float],
        workers: int,
        costs: Costs,
        limits: RequestLimits,
        disturbances: Disturbances,
        random: np.random.Generator,
    ) -> None:
        self._parts, self._costs, self._limits, self._disturbances = parts, costs, limits, disturbances
        self._random = random
        slow = random.random(workers) < disturbances.slow_share
        self._workers = [_Worker(disturbances.slowness if is_slow else 1.0) for is_slow in slow]
        self._driver, self._reads, self._writes = _Server(costs.planning), _Server(), _Server()
        self._backlog = deque(range(len(parts)))
        self._idle: list[_Worker] = []
        self._unfinished = len(parts)
        self._spent = dict.fromkeys(PURPOSES, 0.0)
        self._events: list[tuple[float, int, int, _Step, _Worker]] = []
        self._pushed = self._deaths = 0

    def run(self) -> Outcome:
        """Go from event to event until the last part is committed."""
        time = self._costs.planning
        self._spent[PLANNING] = len(self._workers) * time
        for number, worker in enumerate(self._workers):
            worker.since = time
            if number < len(self._parts):  # no more workers are started than there are parts
                ready = self._driver.serve(time, self._costs.hiring) + self._costs.start
                worker.open = {START: ready - time}
                self._push(ready, self._ask, worker)
        self._await_death(time)
        while self._unfinished:
            time, _, life, step, worker = heapq.heappop(self._events)
            if life == worker.life:
                step(time, worker)
        return self._outcome(time)

    def _push(self, time: float, step: _Step, worker: _Worker) -> None:
        self._pushed += 1
        heapq.heappush(self._events, (time, self._pushed, worker.life, step, worker))

    def _ask(self, time: float, worker: _Worker) -> None:
        """Hand in the part that is committed, and get the next one from the driver."""
        self._account(worker, time)
        if worker.part is not None:
            self._unfinished -= 1
            worker.part = None
        if not self._backlog:
            self._idle.append(worker)
            return
        worker.part = self._backlog.popleft()
        served = self._driver.serve(time, self._costs.dispatch)
        worker.open = {DRIVER: served - time, TRANSPORT: self._costs.transport}
        self._push(served + self._costs.transport, self._read, worker)

    def _read(self, time: float, worker: _Worker) -> None:
        assert worker.part is not None  # noqa: S101 -- for the type checker
        served = self._reads.serve(time, self._limits.reads)
        work = self._parts[worker.part]
        delay = (worker.slowness - 1) * work
        store = self._costs.read + self._costs.commit
        worker.open |= {STORE: served - time, LATENCY: store, WORK: work, SLOW: delay}
        self._push(served + self._costs.read + work + delay, self._commit, worker)

    def _commit(self, time: float, worker: _Worker) -> None:
        served = self._writes.serve(time, self._limits.writes)
        worker.open[STORE] += served - time
        self._push(served + self._costs.commit, self._ask, worker)

    def _account(self, worker: _Worker, time: float) -> None:
        """Book what the worker did since the last time; where that says nothing, it was idle."""
        for purpose, seconds in (worker.open or {IDLE: time - worker.since}).items():
            self._spent[purpose] += seconds
        worker.open, worker.since = {}, time

    def _await_death(self, time: float) -> None:
        rate = self._disturbances.deaths_per_second * len(self._workers) / self._disturbances.workers_per_node
        if rate:
            nobody = _Worker(1.0)
            self._push(time + float(self._random.exponential(1 / rate)), self._lose_node, nobody)

    def _lose_node(self, time: float, _: _Worker) -> None:
        """Put the parts of a node's workers behind all others; replace the workers after a while."""
        size = self._disturbances.workers_per_node
        first = int(self._random.integers(-(-len(self._workers) // size))) * size
        self._deaths += 1
        for worker in self._workers[first : first + size]:
            worker.life += 1
            if worker.part is not None:
                self._backlog.append(worker.part)
            if worker in self._idle:
                self._idle.remove(worker)
                self._account(worker, time)
            back = time + self._disturbances.recovery
            worker.part, worker.open = None, {DEATHS: back - worker.since}
            self._push(back, self._ask, worker)
        for worker in self._idle[: len(self._backlog)]:
            self._push(time, self._ask, worker)
        del self._idle[: len(self._backlog)]
        self._await_death(time)

    def _outcome(self, time: float) -> Outcome:
        """Cut at the last commit: workers that start or are replaced then did nothing else until then."""
        for worker in self._workers:
            worker.open = dict.fromkeys(worker.open, time - worker.since)
            self._account(worker, time)
        total = len(self._workers) * time or 1.0
        return Outcome(
            makespan=time,
            spent={purpose: seconds / total for purpose, seconds in self._spent.items()},
            driver=self._driver.busy / (time or 1.0),
            reads=self._reads.busy / (time or 1.0),
            writes=self._writes.busy / (time or 1.0),
            deaths=self._deaths,
        )
