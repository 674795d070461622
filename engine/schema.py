"""Every table that users query: column names, Arrow types, nullability and units.

Lengths are in Å, angles in radians, information in nats. Column names follow OPTIMADE where it has any.
A column's unit, where it has one, is in its field metadata under ``unit``.
"""

import pyarrow as pa

SCHEMA_VERSION = 1

STATUS_OK = "ok"
STATUS_FAILED = "failed"
STATUS_SPARSE = "sparse"
"""Status of a box of strided pattern matching with too few atoms to classify."""

DIMENSION_TYPES = pa.list_(pa.field("element", pa.int8()), 3)
VECTOR = pa.list_(pa.field("element", pa.float64()), 3)
POSITIONS = pa.list_(pa.field("element", VECTOR))
LATTICE = pa.list_(pa.field("element", VECTOR), 3)
LABELS = pa.list_(pa.field("element", pa.string()))
SPECIES = pa.list_(
    pa.field(
        "element",
        pa.struct(
            [
                pa.field("name", pa.string(), nullable=False),
                pa.field("chemical_symbols", LABELS, nullable=False),
                pa.field("concentration", pa.list_(pa.field("element", pa.float64())), nullable=False),
                pa.field("mass", pa.list_(pa.field("element", pa.float64())), metadata={"unit": "u"}),
                pa.field("attached", LABELS),
                pa.field("nattached", pa.list_(pa.field("element", pa.int32()))),
            ]
        ),
    )
)
ASSEMBLIES = pa.list_(
    pa.field(
        "element",
        pa.struct(
            [
                pa.field(
                    "sites_in_groups",
                    pa.list_(pa.field("element", pa.list_(pa.field("element", pa.int32())))),
                    nullable=False,
                ),
                pa.field("group_probabilities", pa.list_(pa.field("element", pa.float64())), nullable=False),
            ]
        ),
    )
)
TIMESTAMP = pa.timestamp("us", tz="UTC")
FEATURE_TYPE = pa.float32()


def _column(name: str, kind: pa.DataType, *, required: bool = False, unit: str | None = None) -> pa.Field:
    return pa.field(name, kind, nullable=not required, metadata={"unit": unit} if unit else None)


def _table(*columns: pa.Field) -> pa.Schema:
    return pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION)})


STRUCTURE_ID = _column("structure_id", pa.string(), required=True)

ERROR_COLUMNS = (
    _column("error_stage", pa.string()),
    _column("error_class", pa.string()),
    _column("error_message", pa.string()),
)

STATUS_COLUMNS = (_column("status", pa.string(), required=True), *ERROR_COLUMNS)

STRUCTURES = _table(
    STRUCTURE_ID,
    _column("source", pa.string(), required=True),
    _column("source_id", pa.string(), required=True),
    _column("nsites", pa.int32(), required=True),
    _column("species_at_sites", LABELS, required=True),
    _column("cartesian_site_positions", POSITIONS, required=True, unit="angstrom"),
    _column("dimension_types", DIMENSION_TYPES, required=True),
    _column("is_ordered", pa.bool_(), required=True),
    _column("content_hash", pa.binary(32), required=True),
    _column("fetched_at", TIMESTAMP, required=True),
    _column("lattice_vectors", LATTICE, unit="angstrom"),
    _column("atomic_numbers", pa.list_(pa.field("element", pa.uint8()))),
    _column("formula", pa.string()),
    _column("nelements", pa.int32()),
    _column("url", pa.string()),
    _column("license", pa.string()),
    _column("source_version", pa.string()),
    _column("immutable_id", pa.string()),
    _column("last_modified", TIMESTAMP),
    _column("species", SPECIES),
    _column("assemblies", ASSEMBLIES),
    _column("structure_features", LABELS),
    _column("deprecated", pa.bool_()),
    _column("quality_flags", LABELS),
    _column("extra_json", pa.string()),
)
"""One row per structure; ``dimension_types`` is 1 along periodic vectors, ``species`` null when trivial."""

REJECTS = _table(
    _column("structure_id", pa.string()),
    _column("source", pa.string(), required=True),
    _column("source_id", pa.string(), required=True),
    _column("error_stage", pa.string(), required=True),
    _column("error_class", pa.string(), required=True),
    _column("error_message", pa.string(), required=True),
    _column("fetched_at", TIMESTAMP, required=True),
    _column("extra_json", pa.string()),
)
"""One row per candidate that did not become a structure, with the reason."""


SOAP_FACTS = (_column("d_nn_min", pa.float64(), unit="angstrom"), _column("n_pairs", pa.int64()))
"""The shortest nearest-neighbour distance of two species, and the neighbour pairs in the descriptor."""

DIFFRACTION_FACTS = (
    _column("d_nn_mean", pa.float64(), unit="angstrom"),
    _column("n_atoms", pa.int32()),
    _column("space_group", pa.int32()),
)
"""The mean nearest-neighbour distance, the atoms that diffract, and the space group of the standard cell."""


BOX_COLUMNS = (
    _column("frame", pa.int32()),
    _column("ix", pa.int32()),
    _column("iy", pa.int32()),
    _column("iz", pa.int32()),
    _column("center", VECTOR, unit="angstrom"),
    _column("level", pa.int8()),
)
"""A box of strided pattern matching: its frame, its place in the grid, its middle, and in ``level`` 1, 2, …
where it was added between the boxes of a coarser grid."""

BOX_FACTS = (*BOX_COLUMNS, _column("n_atoms", pa.int32()))
"""The same with the number of atoms in the box."""

SPM_ATOMS = _table(
    _column("frame", pa.int32(), required=True),
    _column("atom", pa.int64(), required=True),
    _column("species", pa.string(), required=True),
    _column("position", VECTOR, required=True, unit="angstrom"),
)
"""One row per atom of the structure that is matched; ``atom`` counts those of a frame in the file's order."""

SPM_BOXES = _table(STRUCTURE_ID, *BOX_COLUMNS)
"""One row per box to describe; ``structure_id`` is ``name/frame/ix,iy,iz``."""

SPM_SPACINGS = _table(
    STRUCTURE_ID,
    *STATUS_COLUMNS,
    *BOX_FACTS,
    _column(
        "spacings",
        pa.list_(
            pa.field(
                "element",
                pa.struct(
                    [
                        ("center", pa.string()),
                        ("neighbor", pa.string()),
                        ("n_centers", pa.int32()),
                        ("d_nn", pa.float32()),
                        ("mean_nearest", pa.float32()),
                    ]
                ),
            )
        ),
        unit="angstrom",
    ),
)
"""One row per box; for each ordered pair of species the d_NN of the descriptor, which sees the box alone, and
the mean distance of the box's atoms to their nearest neighbours in the whole structure."""

SPM_REGIONS = _table(
    STRUCTURE_ID,
    _column("status", pa.string(), required=True),
    *BOX_FACTS,
    _column("cluster", pa.int32()),
    _column("cluster_probability", pa.float32()),
    _column("outlier_score", pa.float32()),
    _column("assigned", pa.bool_()),
    _column("x", pa.float32()),
    _column("y", pa.float32()),
)
"""One row per box; ``cluster`` counts from 0 by falling size and is -1 for outliers, ``assigned`` says that
soft clustering gave an outlier to it, ``x`` and ``y`` are its place in the embedding. Null for a box without
a vector."""

SPM_PROFILES = _table(
    _column("frame", pa.int32(), required=True),
    _column("origin", pa.string(), required=True),
    _column("lower", pa.float64(), required=True, unit="angstrom"),
    _column("upper", pa.float64(), required=True, unit="angstrom"),
    _column("n_boxes", pa.int64(), required=True),
    _column("mutual_information", pa.float64(), unit="nat"),
    _column("mutual_information_std", pa.float64(), unit="nat"),
    _column("cumulative_mutual_information", pa.float64(), unit="nat"),
    _column("cumulative_share", pa.float64()),
    _column(
        "shares",
        pa.list_(pa.field("element", pa.struct([("prototype", pa.string()), ("share", pa.float64())]))),
    ),
)
"""One row per frame and shell: the classified boxes between two distances from the centre of mass, or between
two depths under the surface, and the cumulative values of all boxes up to ``upper``."""

SPM_CHANGES = _table(
    STRUCTURE_ID,
    _column("frame", pa.int32(), required=True),
    _column("reference_frame", pa.int32(), required=True),
    _column("ix", pa.int32(), required=True),
    _column("iy", pa.int32(), required=True),
    _column("iz", pa.int32(), required=True),
    _column("center", VECTOR, required=True, unit="angstrom"),
    _column("mutual_information_change", pa.float32(), unit="nat"),
    _column("prototype", pa.string()),
    _column("prototype_before", pa.string()),
)
"""One row per box that is classified in a frame and in the one that it is compared with."""


NEIGHBORS = pa.list_(
    pa.field("element", pa.struct([("structure_id", pa.string()), ("distance", pa.float32())]))
)
"""Structures with their distances, the nearest first."""

MAP = _table(
    STRUCTURE_ID,
    *STATUS_COLUMNS,
    _column("x", pa.float32()),
    _column("y", pa.float32()),
    _column("cluster", pa.int32()),
    _column("cluster_probability", pa.float32()),
    _column("assigned", pa.bool_()),
    _column(
        "memberships",
        pa.list_(pa.field("element", pa.struct([("cluster", pa.int32()), ("probability", pa.float32())]))),
    ),
    _column("outlier_score", pa.float32()),
    _column("neighbors", NEIGHBORS),
    _column("fitted", pa.bool_()),
)
"""One row per structure; ``x`` and ``y`` are its place in the embedding. ``cluster`` counts from 0 by falling
size and is -1 for outliers, ``cluster_probability`` is the membership in it (of an outlier: in the most
probable cluster), ``assigned`` says that soft clustering gave an outlier to it, ``memberships`` are those in
the most probable clusters. ``neighbors`` are the nearest structures that the map was fitted to; ``fitted``
tells whether this is one of them, or was placed afterwards."""

MAP_POINTS = _table(
    *MAP,
    _column("point", pa.list_(pa.field("element", pa.float32()))),
    _column("core_distance", pa.float32()),
    _column("branch", pa.int64()),
    _column("level", pa.float64()),
)
"""One row per structure that a map was fitted to: its row of the map, its principal components, the distance
to the neighbour that its density is taken from, the branch of the hierarchy that it leaves, and the inverse
distance at which it does."""

MAP_TREE = _table(
    _column("branch", pa.int64(), required=True),
    _column("above", pa.int64(), required=True),
    _column("birth", pa.float64(), required=True),
    _column("cluster", pa.int32(), required=True),
)
"""One row per branch of a map's hierarchy: the branch that it grew from, -1 for the root, the inverse
distance at which it did, and the cluster that it is, or -1."""

MAP_AXES = _table(
    _column("component", pa.int32(), required=True),
    _column("values", pa.list_(pa.field("element", pa.float64())), required=True),
)
"""The principal components of a map, one row per axis, counted from 0; -1 is the mean of the vectors."""


def _shares(name: str, kind: pa.DataType) -> pa.Field:
    """Values with the share of a cluster's members that have them, the most frequent first."""
    return _column(name, pa.list_(pa.field("element", pa.struct([("value", kind), ("share", pa.float32())]))))


CLUSTERS = _table(
    _column("cluster", pa.int32(), required=True),
    _column("label", pa.string(), required=True),
    _column("size", pa.int64(), required=True),
    _column("assigned", pa.int64(), required=True),
    _column("medoid", pa.string()),
    _column("medoid_formula", pa.string()),
    _column("x", pa.float32()),
    _column("y", pa.float32()),
    _column("prototype", pa.string()),
    _column("prototype_share", pa.float32()),
    _column("protostructure", pa.string()),
    _column("protostructure_share", pa.float32()),
    _column("mutual_information", pa.float32(), unit="nat"),
    _column("ood_score", pa.float32()),
    _column("ood_fraction", pa.float32()),
    _column("outlier_score", pa.float32()),
    _column("nsites", pa.float32()),
    _column("formulas", pa.int64(), required=True),
    _shares("anonymous_formulas", pa.string()),
    _shares("elements", pa.string()),
    _shares("species", pa.int32()),
    _shares("sources", pa.string()),
)
"""One row per cluster of a map. ``medoid`` is the fitted member, not one assigned afterwards, with the least
sum of squared distances to the others, ``x`` and ``y`` are its place; ``prototype`` and ``protostructure``
are the most frequent ones; ``mutual_information``, ``ood_score``, ``outlier_score`` are means, ``nsites`` is
a median; ``formulas`` counts the different ones; ``species`` is the number of elements of a structure."""

PROTOSTRUCTURES = _table(
    STRUCTURE_ID,
    *STATUS_COLUMNS,
    _column("protostructure", pa.string()),
    _column("space_group", pa.int32()),
)
"""One row per structure; ``protostructure`` is the anonymous formula, the Pearson symbol, the number of the
space group and the occupied Wyckoff positions, joined by ``_``."""

_VERDICT = (
    _column("prototype", pa.string()),
    _column("probability", pa.float32()),
    _column("mutual_information", pa.float32(), unit="nat"),
    _column("ood_score", pa.float32()),
    _column("ood_p_value", pa.float32()),
    _column("ood_q_value", pa.float32()),
)
_EXPLAINED = (
    _column("nearest_class", pa.string()),
    _column("nearest_training_id", pa.string()),
    _column("protostructure", pa.string()),
    _column("symmetry_class", pa.string()),
)

SELECTION = _table(STRUCTURE_ID, *STATUS_COLUMNS, *_VERDICT, _column("is_ood", pa.bool_()), *_EXPLAINED)
"""One row per structure of a screening. ``is_ood`` says that it is among those selected at the screening's
false discovery rate, ``ood_q_value`` the least rate at which it would be; ``symmetry_class`` is the class of
its protostructure, null where it is none's (several classes that differ in coordinates only: joined)."""

NOVEL = _table(
    _column("rank", pa.int32(), required=True),
    STRUCTURE_ID,
    _column("count", pa.int64(), required=True),
    _column("formula", pa.string()),
    _column("nsites", pa.int32()),
    _column("space_group", pa.int32()),
    *_VERDICT,
    *_EXPLAINED,
    _column("members", LABELS, required=True),
)
"""One row per novel structure, the farthest from all known ones first: of structures that are selected and
equivalent, the farthest stands for all; ``members`` are the ids of these, ``count`` their number."""

MAP_SWEEP = _table(
    _column("min_cluster_size", pa.int32(), required=True),
    _column("clusters", pa.int32(), required=True),
    _column("outlier_fraction", pa.float32(), required=True),
    _column("assigned_fraction", pa.float32(), required=True),
    _column("largest", pa.int64(), required=True),
    _column("persistence", pa.float32()),
    _column("stability", pa.float32()),
    _column("stability_low", pa.float32()),
    _column("stability_high", pa.float32()),
)
"""One row per smallest cluster size; ``stability`` is the mean adjusted Rand index between the clusters of
all structures and those of random samples, with the lowest and the highest value."""


def features_schema(
    width: int, kind: pa.DataType = FEATURE_TYPE, facts: tuple[pa.Field, ...] = SOAP_FACTS
) -> pa.Schema:
    """Columns of a ``features_*`` table: a vector, ``width`` numbers of ``kind``, and facts about it."""
    return _table(
        STRUCTURE_ID,
        *STATUS_COLUMNS,
        _column("vector", pa.list_(pa.field("element", kind), width)),
        *facts,
    )


CANDIDATES = pa.list_(
    pa.field("element", pa.struct([("prototype", pa.string()), ("probability", pa.float32())]))
)
"""Prototypes with their probabilities."""


def predictions_schema(width: int, dtype: pa.DataType, facts: tuple[pa.Field, ...] = ()) -> pa.Schema:
    """Columns of a ``predictions_*`` table; its hidden representation is ``width`` numbers of ``dtype``.

    ``facts`` are further columns.
    """
    return _table(
        STRUCTURE_ID,
        *STATUS_COLUMNS,
        _column("prototype", pa.string()),
        _column("probability", pa.float32()),
        _column("top", CANDIDATES),
        _column("mutual_information", pa.float32(), unit="nat"),
        _column("predictive_entropy", pa.float32(), unit="nat"),
        _column("variation_ratio", pa.float32()),
        _column("n_passes", pa.int32()),
        _column("ood_score", pa.float32()),
        _column("ood_p_value", pa.float32()),
        _column("is_ood", pa.bool_()),
        _column("nearest_class", pa.string()),
        _column("nearest_training_id", pa.string()),
        _column("representation", pa.list_(pa.field("element", dtype), width)),
        *facts,
    )
