"""What occupies each site of a batch of structures: by the definitions of its row, or else by its label."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous, list_offsets, rows_with_any
from engine.species import HYDROGEN_ISOTOPES, Species


@dataclass(frozen=True, eq=False)
class Occupation:
    """What occupies the N sites of B rows: ``kinds[sites[i]]``, whose name means nothing.

    ``undefined`` (N,) are the sites whose label is not among the definitions of its row, which has some;
    ``telling`` (B,) the rows with a definition that says more than its name.
    """

    kinds: tuple[Species, ...]
    sites: NDArray[np.int64]
    undefined: NDArray[np.bool_]
    telling: NDArray[np.bool_]

    @classmethod
    def of_table(cls, table: pa.Table) -> "Occupation":
        """Look up ``species_at_sites`` in ``species``, if there are any; each different kind is read once."""
        labels = contiguous(table["species_at_sites"])
        encoded = labels.flatten().dictionary_encode(null_encoding="encode")
        codes = encoded.indices.to_numpy().astype(np.int64)
        plain = tuple(Species.of_label(label or "") for label in encoded.dictionary.to_pylist())
        if "species" not in table.column_names or table["species"].null_count == len(table):
            return cls(plain, codes, np.zeros(len(codes), dtype=bool), np.zeros(len(table), dtype=bool))
        species = contiguous(table["species"])
        definitions = species.flatten()
        names = definitions.field("name")
        defined, kind_of = _kinds(definitions)
        keys = _keys(species, pc.index_in(names, encoded.dictionary), len(plain))
        found, places = _last_places(keys, _keys(labels, encoded.indices, len(plain)))
        codes[found] = len(plain) + kind_of[places[found]]
        kinds, sites = _used(plain + defined, codes)
        plain_names = pa.array([kind.plain_label for kind in defined], pa.string()).take(pa.array(kind_of))
        telling = pc.fill_null(pc.not_equal(names, plain_names), True).to_numpy(zero_copy_only=False)
        explained = species.is_valid().to_numpy(zero_copy_only=False)
        undefined = ~found & np.repeat(explained, np.diff(list_offsets(labels)))
        return cls(kinds, sites, undefined, rows_with_any(species, telling))


def _kinds(definitions: pa.StructArray) -> tuple[tuple[Species, ...], NDArray[np.int64]]:
    """What the definitions define, each kind once, and which kind each of them defines.

    Of the name it matters only whether it is that of an isotope.
    """
    names = definitions.field("name")
    isotopes = pc.is_in(names, pa.array(HYDROGEN_ISOTOPES))
    texts = [_text(definitions.field(name)) for name in definitions.type.names if name != "name"]
    texts.append(pc.if_else(isotopes, names, "").cast(pa.binary()))
    whole = pc.binary_join_element_wise(*texts, b"\xff", null_handling="replace", null_replacement=b"")
    codes = whole.dictionary_encode().indices.to_numpy().astype(np.int64)
    first = np.unique(codes, return_index=True)[1]
    return tuple(Species.from_row(row) for row in definitions.take(pa.array(first)).to_pylist()), codes


def _used(
    kinds: tuple[Species, ...], sites: NDArray[np.int64]
) -> tuple[tuple[Species, ...], NDArray[np.int64]]:
    """Leave out the kinds that no site refers to."""
    used = np.bincount(sites, minlength=len(kinds)) > 0
    return tuple(kinds[index] for index in np.flatnonzero(used)), (np.cumsum(used) - 1)[sites]


def _text(values: pa.Array) -> pa.Array:
    """Each list as bytes, with separators that occur in no text."""
    return pc.binary_join(values.cast(pa.list_(pa.string())).cast(pa.list_(pa.binary())), b"\xfe")


def _keys(lists: pa.Array, codes: pa.Array, n_codes: int) -> NDArray[np.int64]:
    """One number for the row and the code of each element of ``lists``, −1 where the code is null."""
    rows = np.repeat(np.arange(len(lists), dtype=np.int64), np.diff(list_offsets(lists)))
    filled = pc.fill_null(codes, -1).to_numpy().astype(np.int64)
    return np.where(filled < 0, -1, rows * n_codes + filled)


def _last_places(
    keys: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which of the ``wanted`` numbers, none negative, are among ``keys``, and their last places."""
    order = np.argsort(keys, kind="stable")
    until = np.searchsorted(keys[order], wanted, side="right")
    found = np.concatenate([[-1], keys[order]])[until] == wanted
    return found, np.concatenate([[-1], order])[until]
