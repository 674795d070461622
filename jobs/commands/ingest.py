"""`crysift ingest`: bring structures into a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs import options
from jobs.console import Console

if TYPE_CHECKING:
    from engine.ingest import IngestSummary
    from engine.store import Store


def ingest(
    sources: options.Sources,
    store: options.StoreOption = options.DEFAULT_STORE,
    file_format: options.FileFormat = None,
    columns: options.Columns = None,
    entry_filter: options.Filter = None,
    include_nc: options.IncludeNc = False,
    include_deprecated: options.IncludeDeprecated = False,
    oasis: options.Oasis = None,
    full: options.Full = False,
    max_sites: options.MaxSites = options.MAX_SITES,
    min_distance: options.MinDistance = options.MIN_DISTANCE,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Read and validate structures into the table `structures`; others go to `rejects`, with the reason.

    crysift ingest structures/ --store my-store           [dim]files[/dim]

    crysift ingest mp: --store mp                         [dim]Materials Project[/dim]

    crysift ingest optimade:odbx --filter 'nelements=2'   [dim]OPTIMADE[/dim]

    crysift ingest nomad: --store nomad                   [dim]NOMAD[/dim]

    The same command goes on after an interruption, and later fetches what is new or changed.
    Exit status 75: a database stopped answering; run the same command again later.
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from dataclasses import asdict

        from connectors import open_sources
        from connectors.settings import SourceSettings
        from engine.store import Store
        from engine.validation import StructureLimits
        from jobs.pipeline import ingest_all, recorded_run
        from jobs.progress import ProgressBars

        limits = StructureLimits(max_sites=max_sites, min_distance=min_distance)
        settings = SourceSettings(file_format, columns, entry_filter, include_nc, include_deprecated, oasis)
        connectors = open_sources(sources, settings)
        opened = Store.open(store, create=True)
        record = {"sources": [connector.describe() for connector in connectors], "limits": asdict(limits)}
        with ProgressBars(console) as bars, recorded_run(opened, "ingest", record, bars) as (run, tell):
            summaries = ingest_all(connectors, opened, limits, tell, full=full)
            summary = _summary(opened, summaries)
            run.finish(summary)
        _report(console, summary)
        console.finish(summary)


def _summary(store: Store, summaries: list[IngestSummary]) -> dict[str, Any]:
    from jobs.pipeline import parts_of, rows_of
    from jobs.views import connect, twins

    parts = parts_of(summaries)
    return {
        "store": store.folder.url,
        "structures": rows_of(store.structures, parts),
        "rejects": rows_of(store.rejects, parts),
        "parts": len(parts),
        "twins": twins(connect(store)),
        "sources": [
            {
                "source": summary.source,
                "passages": summary.passages,
                "fetched_now": summary.brought.as_json(),
                "total": summary.total.as_json(),
                "shortfall": summary.shortfall,
                "remarks": list(summary.remarks),
            }
            for summary in summaries
        ],
    }


def _report(console: Console, summary: dict[str, Any]) -> None:
    for source in summary["sources"]:
        now = source["fetched_now"]
        fates = (
            f"{now['stored'] - now['replaced']:,} new, {now['replaced']:,} changed, {now['known']:,} known, "
            f"{now['rejected']:,} rejected"
        )
        fetched = f"{now['entries']:,} entries fetched ({fates})" if now["pages"] else "unchanged"
        console.say(f"{source['source']}: {fetched}")
        if not source["total"]["entries"]:
            console.warn(f"{source['source']}: there are no entries; if there is a --filter, check it")
        for remark in source["remarks"]:
            console.note(f"{source['source']}: {remark}")
        if source["shortfall"]:
            console.warn(f"{source['source']}: {source['shortfall']}")
    if summary["twins"]:
        console.say(
            f"{summary['twins']:,} structures share their content_hash with another: exact duplicates, kept"
        )
    console.say(
        f"{summary['structures']:,} structures and {summary['rejects']:,} rejects in {summary['store']}"
    )
