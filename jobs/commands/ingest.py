"""`crysift ingest`: bring structures into a store."""

from jobs import options
from jobs.console import Console


def ingest(
    sources: options.Sources,
    store: options.StoreOption = options.DEFAULT_STORE,
    file_format: options.FileFormat = None,
    max_sites: options.MaxSites = options.MAX_SITES,
    min_distance: options.MinDistance = options.MIN_DISTANCE,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Read and validate structures into the table `structures`; others go to `rejects`, with the reason.

    crysift ingest structures/ --store my-store
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from dataclasses import asdict

        from connectors import open_sources
        from engine.store import Store
        from engine.validation import StructureLimits
        from jobs.pipeline import ingest_all, recorded_run, rows_of
        from jobs.progress import ProgressBars

        limits = StructureLimits(max_sites=max_sites, min_distance=min_distance)
        connectors = open_sources(sources, file_format)
        opened = Store.open(store, create=True)
        record = {"sources": [connector.describe() for connector in connectors], "limits": asdict(limits)}
        with ProgressBars(console) as bars, recorded_run(opened, "ingest", record, bars) as (run, tell):
            parts = ingest_all(connectors, opened, limits, tell)
            accepted, rejected = rows_of(opened.structures, parts), rows_of(opened.rejects, parts)
            summary = {
                "store": opened.folder.url,
                "structures": accepted,
                "rejects": rejected,
                "parts": len(parts),
            }
            run.finish(summary)
        console.say(f"{accepted:,} structures and {rejected:,} rejects in {opened.folder.url}")
        console.finish(summary)
