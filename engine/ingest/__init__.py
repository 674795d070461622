"""From a source's pages to parts of the structures and rejects tables, resumable at any instant."""

from engine.ingest.batch import part_name
from engine.ingest.ingest import IngestSummary, ingest
from engine.ingest.tally import Tally

__all__ = ["IngestSummary", "Tally", "ingest", "part_name"]
