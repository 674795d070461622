"""Bringing a source into a store: go on where an earlier run stopped, or fetch what is new since."""

import gc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from engine.execution.events import Listener, SourceReconciled, ignore
from engine.ingest.intake import Intake
from engine.ingest.passage import Passage
from engine.ingest.tally import Tally
from engine.source import Connector, Harvest
from engine.store import Store
from engine.validation import StructureLimits

OBJECTS_BETWEEN_COLLECTIONS = 200_000
"""As many lists and dictionaries as the pages hold that are in memory at a time."""


@dataclass(frozen=True)
class IngestSummary:
    """What a call did for a source, and what the store has of it now.

    ``brought`` is what this call fetched, ``total`` the passage that it completed or found complete;
    ``shortfall`` says where the counts of that do not agree. ``parts`` make up the source: its own, and those
    that hold structures which the store knew before.
    """

    source: str
    passages: int
    brought: Tally
    total: Tally
    shortfall: str | None
    remarks: tuple[str, ...]
    parts: frozenset[str]


def ingest(
    connector: Connector,
    store: Store,
    limits: StructureLimits,
    listener: Listener = ignore,
    *,
    full: bool = False,
) -> IngestSummary:
    """Bring every page of a source into the store once.

    A passage that an earlier run left unfinished is finished; where all was done, what is new or changed
    since is fetched, or everything once more: with ``full``, and where entries were missing. A structure
    that the store holds unchanged is not stored again; a changed one is a new row, of which the earlier ones
    become history.

    Raises:
        CrysiftError: the source or the store cannot be used as they are, or the limits differ.
    """
    intake = Intake(store, limits)
    with closing(connector), _rare_collections():
        passages = [_pass_through(connector, intake, listener)]
        while (last := passages[-1]).was_done and last.started:
            since = None if full or last.total.missing else last.started
            passages.append(_pass_through(connector, intake, listener, Harvest(last.number, since)))
    final = next((passage for passage in reversed(passages) if passage.total.pages), passages[0])
    return IngestSummary(
        source=connector.source,
        passages=final.number + 1,
        brought=passages[-1].brought,
        total=final.total,
        shortfall=final.total.shortfall(),
        remarks=tuple(dict.fromkeys(remark for passage in passages for remark in passage.remarks)),
        parts=frozenset().union(*(passage.own | passage.known_in for passage in passages)),
    )


def _pass_through(
    connector: Connector, intake: Intake, listener: Listener, previous: Harvest | None = None
) -> Passage:
    number = 0 if previous is None else previous.number + 1
    passage = Passage(connector, intake, listener, number)
    passage.run(connector.pages(previous))
    if passage.brought.pages:
        listener(SourceReconciled(connector.source, number, **passage.total.as_json()))
    return passage


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for unreachable cycles less often.

    By default it looks through all objects in memory several times a page of JSON, which takes longer than
    decoding the page, and finds none.
    """
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
