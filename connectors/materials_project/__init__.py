"""The Materials Project: its open data as a whole, or what a query selects from its API.

``mp:`` is all of the newest database version, ``mp:@2025.09.25`` all of another; ``mp:mp-149,mp-13`` and a
filter come from the API.
"""

from connectors.http import Patience
from connectors.materials_project.delta import MaterialsProjectDelta
from connectors.materials_project.query import parse_filter, parse_identifiers
from connectors.materials_project.rest import MaterialsProjectRest
from connectors.materials_project.selection import Selection
from connectors.materials_project.versions import parse_version
from engine.errors import CrysiftError

__all__ = ["MaterialsProjectDelta", "MaterialsProjectRest", "open_materials_project"]


def open_materials_project(
    text: str,
    *,
    filter: str | None,  # noqa: A002 -- the option is --filter
    include_nc: bool,
    include_deprecated: bool,
    patience: Patience,
) -> MaterialsProjectDelta | MaterialsProjectRest:
    """Return the connector for what follows ``mp:``: identifiers, and ``@`` with a database version.

    Raises:
        CrysiftError: the text, the filter or the key for the API cannot be right.
    """
    identifiers, at, wanted = text.strip().partition("@")
    version = parse_version(wanted.strip()) if at else None
    selection = Selection(include_nc, include_deprecated)
    if identifiers and filter is not None:
        raise CrysiftError(
            f"mp:{identifiers} names materials and the filter {filter!r} selects others; give one of the two"
        )
    if not identifiers and filter is None:
        return MaterialsProjectDelta(version, selection, patience)
    names = parse_identifiers(identifiers) if identifiers else ()
    parameters = parse_filter(filter) if filter is not None else {}
    return MaterialsProjectRest(parameters, names, version, selection, patience)
