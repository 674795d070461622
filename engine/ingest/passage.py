"""One passage through a source: each chain of pages from where earlier runs left it to its end."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from engine.execution.events import Listener, PageDone, PageRead, PassageStarted
from engine.ingest.batch import Batch, part_name
from engine.ingest.intake import Intake
from engine.ingest.reading import Chain, PageReader
from engine.ingest.tally import Tally
from engine.source import Connector, Page, PageContent
from engine.store.record import PartRecord


@dataclass
class Passage:
    """The chains of one passage; ``number`` counts the passages through a live source, from 0.

    ``found`` is what earlier runs had done of it, ``brought`` what this one does. Its ``own`` parts hold what
    was new, parts ``known_in`` the rest. ``started`` is the earliest answer of the source, by its own clock.
    """

    connector: Connector
    intake: Intake
    listener: Listener
    number: int
    found: Tally = field(default_factory=Tally)
    brought: Tally = field(default_factory=Tally)
    own: set[str] = field(default_factory=set)
    known_in: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    started: datetime | None = None
    _done: set[str] = field(default_factory=set)
    _reader: PageReader = field(init=False)
    _open: set[Chain] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Look at what is there."""
        self._done = self.intake.store.structures.part_names()
        self._reader = PageReader(self.connector)

    @property
    def total(self) -> Tally:
        """What is done of the passage."""
        return self.found + self.brought

    @property
    def was_done(self) -> bool:
        """Whether earlier runs had done the passage; a chain that had brought nothing was read again."""
        return bool(self.found.pages) and not (self.brought.stored or self.brought.rejected)

    def run(self, pages: Iterable[Page]) -> None:
        """Follow every chain to its end.

        Raises:
            CrysiftError: a page cannot be read; what was read before is committed.
        """
        self.listener(PassageStarted(self.connector.source, self.number))
        chains = (Chain(start, page) for start in pages if (page := self._first_missing(start)))
        while self._begin(islice(chains, self._reader.room)) or self._reader.is_busy:
            try:
                chain, content = self._reader.next_answer()
            except Exception:
                for unfinished in [chain for chain in self._open if chain.batch.pages]:
                    self._commit(unfinished)
                raise
            self._take(chain, content)

    def _begin(self, chains: Iterable[Chain]) -> int:
        """Ask for the pages of some chains; returns how many they are."""
        begun = set(chains)
        self._open |= begun
        for chain in begun:
            self._reader.ask(chain)
        return len(begun)

    def _first_missing(self, page: Page | None) -> Page | None:
        """The page at which the chain that goes on with ``page`` is not in the store, or None at its end."""
        while page is not None and (part := part_name(page)) in self._done:
            started = time.perf_counter()
            footer = self.intake.store.structures.footer(part)
            record = PartRecord.of(footer)
            self.intake.check_limits(record)
            self.found.add(record, footer.rows_out, footer.failed)
            self._note(part, record)
            self._tell(record, footer.rows_out, footer.failed, started, skipped=True)
            page = record.following
        return page

    def _take(self, chain: Chain, content: PageContent) -> None:
        """Add a page to its chain's batch, while the page after it is read already."""
        read, following = chain.page, self._first_missing(content.following)
        self.listener(PageRead(self.connector.source, read.label, content.entries, content.announced))
        if following is not None:
            chain.page = following
            self._reader.ask(chain)
        page = self.intake.vet(content)
        if self.connector.live and self.intake.revises(page, chain.batch):
            if not self._commit(chain):
                return
            chain.batch = Batch(read)
        final = () if self.connector.live else {*self.own, chain.batch.part}
        self.intake.take(page, chain.batch, final)
        if not chain.batch.is_full and following == content.following:
            return
        if self._commit(chain):
            if following is None:
                self._open.remove(chain)
            else:
                chain.batch = Batch(following)

    def _commit(self, chain: Chain) -> bool:
        """Commit the chain's batch; where another run came first, read all that is open anew: False."""
        started = time.perf_counter()
        batch = chain.batch
        record = self.intake.record_of(batch)
        whole = batch.first == chain.start and batch.following is None
        if self.number > 0 and whole and batch.brings_nothing:
            self.brought.add(record, 0, 0)  # asked again next time, instead of a part without rows
            return True
        if not self.intake.commit(batch, record):
            self._begin_again()
            return False
        self._done.add(batch.part)
        self.brought.add(record, batch.rows, batch.failed)
        self._note(batch.part, record)
        self._tell(record, batch.rows, batch.failed, started, skipped=False)
        return True

    def _begin_again(self) -> None:
        """Go on with every open chain behind what is in the store by now."""
        self._done = self.intake.store.structures.part_names()
        interrupted, self._open = self._open, set()
        for chain in interrupted:
            self._reader.forget(chain)
        missing = [(chain.start, self._first_missing(chain.batch.first)) for chain in interrupted]
        self._begin([Chain(start, page) for start, page in missing if page is not None])

    def _note(self, part: str, record: PartRecord) -> None:
        self.own.add(part)
        self.known_in |= set(record.known_in)
        self.remarks += [remark for remark in record.remarks if remark not in self.remarks]
        if record.answered_at is not None:
            moment = datetime.fromisoformat(record.answered_at)
            self.started = min(self.started or moment, moment)

    def _tell(self, record: PartRecord, rows: int, rejected: int, since: float, *, skipped: bool) -> None:
        seconds = time.perf_counter() - since
        source = self.connector.source
        self.listener(PageDone(source, record.label, rows, rejected, record.known, skipped, seconds))
