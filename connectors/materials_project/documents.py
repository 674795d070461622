"""From summary documents of the Materials Project, in Arrow columns, to candidates."""

from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.materials_project.identifiers import all_numbered
from engine.columns import list_offsets
from engine.schema import DIMENSION_TYPES, LABELS, LATTICE, POSITIONS, SPECIES, TIMESTAMP, VECTOR
from engine.species import FULL_OCCUPANCY_TOLERANCE, Species

SOURCE = "mp"
PAGE_OF_MATERIAL = "https://next-gen.materialsproject.org/materials/"
SAFE_IDENTIFIER = r"^[A-Za-z0-9-]+$"
LICENSES = {"BY-C": "CC-BY-4.0", "BY-NC": "CC-BY-NC-4.0"}
"""SPDX identifiers of the licences (https://next-gen.materialsproject.org/about/terms)."""

_NUMBERS = pa.list_(pa.float64())
DOCUMENT = pa.struct(
    {
        "material_id": pa.string(),
        "nsites": pa.int64(),
        "deprecated": pa.bool_(),
        "last_updated": TIMESTAMP,
        "license": pa.string(),
        "energy_above_hull": pa.float64(),
        "theoretical": pa.bool_(),
        "matrix": pa.list_(_NUMBERS),
        "pbc": pa.list_(pa.bool_()),
        "sites": pa.list_(
            pa.struct(
                {
                    "species": pa.list_(pa.struct({"element": pa.string(), "occu": pa.float64()})),
                    "xyz": _NUMBERS,
                }
            )
        ),
    }
)
"""The fields of a document that are read; lengths in Å, energies in eV per atom."""
PLACES = {
    "license": "builder_meta.license",
    "matrix": "structure.lattice.matrix",
    "pbc": "structure.lattice.pbc",
    "sites": "structure.sites",
}
"""Where a document has the fields that are not at its top."""
LEAVES = {
    **{name: (PLACES.get(name, name),) for name in DOCUMENT.names},
    "sites": ("structure.sites.species.element", "structure.sites.species.occu", "structure.sites.xyz"),
}
"""The numbers and texts that make up a field."""


def candidates(documents: pa.Table, version: str) -> pa.Table:
    """Tabulate documents with the fields of ``DOCUMENT``; ``version`` is that of the database.

    Positions are the Cartesian ones of the documents. Sites that several elements share, or that are partly
    vacant, become ``species``.
    """
    identifiers = all_numbered(_array(documents["material_id"]).cast(pa.string()))
    sites = _array(documents["sites"])
    offsets, absent = list_offsets(sites), sites.is_null()
    site = sites.flatten()
    labels, shared = _labels(pc.struct_field(site, "species"))
    positions = _threes(pc.struct_field(site, "xyz"), VECTOR)
    nsites = pc.fill_null(pc.coalesce(documents["nsites"], pc.list_value_length(sites)), 0)
    return pa.table(
        {
            "source": pa.repeat(SOURCE, len(documents)),
            "source_id": identifiers,
            "nsites": np.clip(nsites.to_numpy(), 0, 2**31 - 1).astype(np.int32),
            "species_at_sites": _lists(offsets, labels, absent, LABELS),
            "cartesian_site_positions": _lists(offsets, positions, absent, POSITIONS),
            "dimension_types": _periodicity(_array(documents["pbc"])),
            "lattice_vectors": _lattices(_array(documents["matrix"])),
            "species": _species(offsets, labels, shared),
            "url": _urls(identifiers),
            "license": _licenses(_array(documents["license"])),
            "source_version": pa.repeat(version, len(documents)),
            "last_modified": documents["last_updated"].cast(TIMESTAMP, safe=False),
            "deprecated": documents["deprecated"],
            "extra_json": _extra(documents),
        }
    )


def _array(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array; unlike ``engine.columns.contiguous``, a slice of lists is not copied."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _lists(offsets: NDArray[np.int64], values: pa.Array, absent: pa.Array, kind: pa.DataType) -> pa.Array:
    fitting = kind if values.type == kind.value_type else None
    places = pa.array(offsets, pa.int32())
    return pa.ListArray.from_arrays(places, values, type=fitting, mask=absent if absent.true_count else None)


def _threes(lists: pa.Array, kind: pa.DataType) -> pa.Array:
    """Lists of three as ``kind``; where one is not of three, all as they are, for validation to name it."""
    if lists.null_count or not pc.all(pc.equal(pc.list_value_length(lists), 3)).as_py():
        return lists
    return pa.FixedSizeListArray.from_arrays(lists.flatten().cast(kind.value_type), type=kind)


def _lattices(matrices: pa.Array) -> pa.Array:
    vectors = _threes(matrices.flatten(), VECTOR)
    whole = vectors.type == VECTOR and not matrices.null_count
    if whole and pc.all(pc.equal(pc.list_value_length(matrices), 3)).as_py():
        return pa.FixedSizeListArray.from_arrays(vectors, type=LATTICE)
    return matrices


def _periodicity(pbc: pa.Array) -> pa.Array:
    """1 along periodic lattice vectors; a document that does not tell is periodic along all three."""
    kinds = pbc.cast(pa.list_(pa.int8()))
    return _threes(pc.coalesce(kinds, pa.scalar([1, 1, 1], kinds.type)), DIMENSION_TYPES)


def _labels(species: pa.Array) -> tuple[pa.Array, dict[int, Species]]:
    """Labels of sites (N,), and what occupies those of them that are shared or partly vacant.

    A site whose occupants are not all known has no label.
    """
    offsets = list_offsets(species)
    occupants = species.flatten()
    elements = pc.struct_field(occupants, "element").cast(pa.string())
    shares = pc.fill_null(pc.struct_field(occupants, "occu"), np.nan).to_numpy(zero_copy_only=False)
    full = np.abs(shares - 1.0) < FULL_OCCUPANCY_TOLERANCE
    if len(full) == len(species) and full.all() and (np.diff(offsets) == 1).all():
        return elements, {}
    alone = np.diff(offsets) == 1
    alone[alone] = full[offsets[:-1][alone]]
    names: list[str | None] = elements.take(pa.array(offsets[:-1], mask=~alone)).to_pylist()
    shared: dict[int, Species] = {}
    for site in np.flatnonzero(~alone).tolist():
        occupied = _of_site(species[site].as_py() or [])
        if occupied is not None:
            names[site] = occupied.name
            shared[site] = occupied
    return pa.array(names, pa.string()), shared


def _of_site(occupants: list[dict[str, float | str | None] | None]) -> Species | None:
    """What occupies a site, or None where that is not told; an element's shares are summed."""
    shares: dict[str, float] = {}
    for occupant in occupants:
        element, share = (occupant or {}).get("element"), (occupant or {}).get("occu")
        if not isinstance(element, str) or not isinstance(share, float):
            return None
        shares[element] = shares.get(element, 0.0) + share
    return Species.of_shares(shares) if shares else None


def _species(offsets: NDArray[np.int64], labels: pa.Array, shared: dict[int, Species]) -> pa.Array:
    """Definitions of all labels of the rows that have shared sites, null for others (B,)."""
    if not shared:
        return pa.nulls(len(offsets) - 1, SPECIES)
    definitions: list[list[dict[str, object]] | None] = [None] * (len(offsets) - 1)
    rows = np.searchsorted(offsets, list(shared), side="right") - 1
    for row in np.unique(rows).tolist():
        sites = range(offsets[row], offsets[row + 1])
        names = {site: labels[site].as_py() for site in sites}
        found = {name: shared.get(site) or Species.of_label(name) for site, name in names.items() if name}
        definitions[row] = [vars(found[name]) for name in sorted(found)]
    return pa.array(definitions, SPECIES)


def _urls(identifiers: pa.Array) -> pa.Array:
    """Addresses of the materials' pages; in an identifier of another form, all signs are escaped."""
    if not pc.all(pc.match_substring_regex(identifiers, SAFE_IDENTIFIER)).as_py():
        texts = identifiers.to_pylist()
        identifiers = pa.array([text and quote(text, safe="") for text in texts], pa.string())
    return pc.binary_join_element_wise(PAGE_OF_MATERIAL, identifiers, "")


def _licenses(words: pa.Array) -> pa.Array:
    """SPDX identifiers; a word of unknown meaning stays as it is."""
    known = pc.index_in(words, pa.array(LICENSES))
    return pc.coalesce(pa.array(LICENSES.values()).take(known), words.cast(pa.string()))


def _extra(documents: pa.Table) -> pa.Array:
    """JSON objects of what screening is often joined with; what a document does not tell is left out."""
    energies = _array(documents["energy_above_hull"])
    energies = pc.if_else(pc.is_finite(energies), energies, None)
    told = (("energy_above_hull", energies), ("theoretical", _array(documents["theoretical"])))
    fields = (
        pc.fill_null(pc.binary_join_element_wise(f', "{name}": ', values.cast(pa.string()), ""), "")
        for name, values in told
    )
    contents = pc.utf8_slice_codeunits(pc.binary_join_element_wise(*fields, ""), 2)
    objects = pc.binary_join_element_wise("{", contents, "}", "")
    return pc.if_else(pc.equal(contents, ""), None, objects)
