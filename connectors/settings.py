"""How sources are to be read: what users may ask for beside the sources' names."""

from dataclasses import dataclass, field

from connectors.http import Patience


@dataclass(frozen=True)
class SourceSettings:
    """Each setting belongs to some of the sources, and is refused where none of these is read."""

    format: str | None = None
    """Format of the files, where their names do not tell."""
    columns: str | None = None
    """Layout of Parquet files with other columns: a known name, or a TOML file."""
    filter: str | None = None
    """Which entries of a database: an OPTIMADE filter, REST parameters (mp:), or a JSON query (nomad:)."""
    include_nc: bool = False
    """Take entries of the Materials Project whose licence excludes commercial use."""
    include_deprecated: bool = False
    """Take entries that the Materials Project has deprecated."""
    oasis: str | None = None
    """Address of another NOMAD installation than the public one."""
    patience: Patience = field(default_factory=Patience)
    """How long a database that does not answer is tried."""
