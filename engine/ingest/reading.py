"""Reading pages ahead: the next page of each chain is fetched while the last one is validated."""

from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from engine.background import in_background
from engine.ingest.batch import Batch
from engine.source import Connector, Page, PageContent


@dataclass(eq=False)
class Chain:
    """Pages that follow one another: the first of all, the one to read, and those read but not committed."""

    start: Page
    page: Page
    batch: Batch = field(init=False)

    def __post_init__(self) -> None:
        """Begin a batch."""
        self.batch = Batch(self.page)


@dataclass(eq=False)
class PageReader:
    """Up to ``connector.concurrency`` pages in flight, never two of one chain.

    A run that ends early waits for no server.
    """

    connector: Connector
    _in_flight: dict[Future[PageContent], Chain] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many more pages may be asked for."""
        return self.connector.concurrency - len(self._in_flight)

    @property
    def is_busy(self) -> bool:
        """Whether there are pages in flight."""
        return bool(self._in_flight)

    def ask(self, chain: Chain) -> None:
        """Begin to read the chain's page."""
        self._in_flight[in_background(self.connector.read, chain.page)] = chain

    def forget(self, chain: Chain) -> None:
        """Expect no answer for a chain any more."""
        self._in_flight = {future: other for future, other in self._in_flight.items() if other is not chain}

    def next_answer(self) -> tuple[Chain, PageContent]:
        """Wait for a page; raises what its reading raised."""
        done, _ = wait(self._in_flight, return_when=FIRST_COMPLETED)
        future = next(iter(done))
        return self._in_flight.pop(future), future.result()
