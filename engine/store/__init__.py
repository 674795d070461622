"""The store: a directory or bucket of Parquet tables that processes fill without database or lock."""

from engine.store.damage import DamagedPartError
from engine.store.fingerprint import Fingerprint
from engine.store.folder import Folder
from engine.store.footer import PartFooter, package_version
from engine.store.history import Superseded
from engine.store.record import PartRecord
from engine.store.runs import Run
from engine.store.store import Store
from engine.store.table import DerivedParts, Table, TableCounts

__all__ = [
    "DamagedPartError",
    "DerivedParts",
    "Fingerprint",
    "Folder",
    "PartFooter",
    "PartRecord",
    "Run",
    "Store",
    "Superseded",
    "Table",
    "TableCounts",
    "package_version",
]
