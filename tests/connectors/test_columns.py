"""Column mappings: what they may say, and which dumps are known without one."""

from pathlib import Path

import pytest

from connectors.columns import LAYOUTS, load_mapping, recognised
from engine.errors import CrysiftError

MAPPING = """
source = "gnome"
license = "CC-BY-NC-4.0"
dimension_types = [1, 1, 0]
angstrom_per_unit = 0.529177210903
extra = ["energy"]

[columns]
source_id = ["id", "step"]
atomic_numbers_at_sites = "numbers"
fractional_site_positions = "frac_coords"
lattice_vectors = "cell"
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mapping.toml"
    path.write_text(text)
    return str(path)


def test_a_mapping_file_says_where_everything_is(tmp_path: Path) -> None:
    mapping = load_mapping(written(tmp_path, MAPPING))
    assert mapping.inputs("source_id") == ("id", "step")
    assert mapping.paths == ["id", "step", "numbers", "frac_coords", "cell", "energy"]
    assert mapping.labels == "numbers"
    assert mapping.constants == {"source": "gnome", "license": "CC-BY-NC-4.0", "dimension_types": [1, 1, 0]}


def test_the_fingerprint_follows_what_is_said_and_not_where(tmp_path: Path) -> None:
    mapping = load_mapping(written(tmp_path, MAPPING))
    (tmp_path / "other").mkdir()
    assert load_mapping(written(tmp_path / "other", MAPPING)).fingerprint == mapping.fingerprint
    edited = load_mapping(written(tmp_path, MAPPING.replace("0.529177210903", "1.0")))
    assert edited.fingerprint != mapping.fingerprint


@pytest.mark.parametrize(
    ("line", "instead", "reason"),
    [
        ('source = "gnome"', "", "source is missing"),
        ('source = "gnome"', "source = 7", "source is 7; it must be a text"),
        ('source = "gnome"', 'origin = "gnome"', "'origin' is not known; what a mapping holds is columns,"),
        ("[1, 1, 0]", "[1, 1]", r"dimension_types is \[1, 1\]; it must be three numbers"),
        ("0.529177210903", "-1", "angstrom_per_unit is -1; it must be a positive number"),
        ('["energy"]', '"energy"', "extra is 'energy'; it must be a list"),
        ("[columns]", "[column]", "'column' is not known"),
        ('source_id = ["id", "step"]', "", "source_id is missing"),
        ('"numbers"', '["numbers", "z"]', "with a list of them for source_id alone"),
        ("atomic_numbers_at_sites", "elements", "'elements' is no column to map to; those are source, "),
        (
            "atomic_numbers_at_sites",
            "nsites",
            "map a column to species_at_sites, or one to atomic_numbers_at",
        ),
        ("lattice_vectors", "nsites", "fractional_site_positions need the lattice"),
        ("[columns]", '[columns]\nlicense = "license"', "license is given as a column and as a constant"),
        ("[columns]", "[columns", "mapping.toml is not a column mapping: Expected"),
    ],
)
def test_what_a_mapping_cannot_say_is_explained(tmp_path: Path, line: str, instead: str, reason: str) -> None:
    with pytest.raises(CrysiftError, match=rf"mapping\.toml is not a column mapping: .*{reason}|{reason}"):
        load_mapping(written(tmp_path, MAPPING.replace(line, instead)))


def test_a_mapping_that_does_not_exist_is_told_with_the_layouts_there_are() -> None:
    with pytest.raises(
        CrysiftError, match=r"no column mapping 'lemat'; name a TOML file, or one of .*lemat-b"
    ):
        load_mapping("lemat")


def test_each_layout_is_recognised_by_its_own_columns_and_not_by_fewer() -> None:
    for name, layout in LAYOUTS.items():
        assert load_mapping(name) is layout
        assert recognised([*layout.paths, "another"]) is layout
    assert recognised(LAYOUTS["lemat-bulk"].paths[1:]) is None
