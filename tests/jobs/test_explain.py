"""`crysift explain` says which species and pairs take a structure away from the training data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk, molecule, mx2
from PIL import Image
from typer.testing import CliRunner

from engine.descriptors.soap import SoapSettings
from engine.errors import CrysiftError
from engine.species import Species
from engine.store import Store
from engine.structure import Structure, structures_table
from jobs import screen
from jobs.cli import app
from jobs.explain import explain
from jobs.explain.crystals import main as draw_a_sheet
from jobs.explain.drawing import draw_explanation
from jobs.explain.report import conclusion
from jobs.settings import ExecutionSettings, ScreenSettings
from models.contributions import contributions
from models.stage import PredictArise, PredictDiffraction

INLINE = ExecutionSettings("inline")
FAST = ScreenSettings(execution=INLINE, models=(PredictArise(passes=20),))
SALT = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
ALLOY = Species.of_shares({"Au": 0.5, "Cu": 0.5})
BOND = 1.7
"""Å: no atom is placed nearer to another one."""


def scrambled(atoms: Atoms, symbol: str, seed: int) -> Atoms:
    """The same structure with the atoms of one element anywhere in the cell."""
    moved: Atoms = atoms.copy()
    random = np.random.default_rng(seed)
    for atom in np.flatnonzero(moved.symbols == symbol):
        others = np.delete(np.arange(len(moved)), atom)
        for _ in range(10_000):
            moved.positions[atom] = random.random(3) @ moved.cell.array
            if moved.get_distances(atom, others, mic=True).min() > BOND:
                break
        else:
            raise AssertionError(f"no room for atom {atom}")
    return moved


TETRAHEDRON = [
    [0.0, 0.0, 0.0],
    *([0.265 * x, 0.265 * y, 0.265 * x * y] for x in (1, -1) for y in (1, -1)),
]
STRUCTURES = {
    "salt": SALT,
    "copper": bulk("Cu"),
    "scrambled-Cl": scrambled(SALT * (2, 2, 2), "Cl", 0),
    "scrambled-F": scrambled(bulk("CaF2", "fluorite", a=5.46, cubic=True) * (2, 2, 2), "F", 1),
    "carbide": Atoms("CFe4", scaled_positions=TETRAHEDRON, cell=[3.88] * 3, pbc=True),
    "layer": mx2("MoS2", vacuum=None),
    "water": molecule("H2O"),
    "clash": Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 0.01]], cell=[4, 4, 4], pbc=True),
}


def written(path: Path, structures: dict[str, Atoms], *others: Structure) -> Path:
    rows = [*(Structure.from_ase(atoms, "db", name) for name, atoms in structures.items()), *others]
    pq.write_table(structures_table(rows), path)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("explain")
    disordered = Structure("db", "alloy", (ALLOY.name,), np.zeros((1, 3)), 3 * np.eye(3), (1, 1, 1), (ALLOY,))
    return screen(written(folder / "db.parquet", STRUCTURES, disordered), folder / "store", FAST).store


@pytest.mark.parametrize("name", ["salt", "copper", "scrambled-Cl", "carbide", "layer", "water"])
def test_the_answer_begins_with_what_the_store_holds(store: Store, name: str) -> None:
    found = explain(store, f"db:{name}")
    assert found.nearest[0].ood_score == pytest.approx(found.prediction["ood_score"], abs=1e-5)
    assert found.nearest[0].prototype == found.prediction["nearest_class"]
    assert found.nearest[0].training_id == found.prediction["nearest_training_id"]
    scores = [each.ood_score for each in found.nearest]
    assert scores == sorted(scores)
    assert len({each.prototype for each in found.nearest}) == 5
    left_out = [(each.contribution, each.without) for each in found.species]
    left_out += [(each.contribution, each.without) for each in found.pairs]
    for contribution, without in left_out:
        if without is not None and contribution is not None:
            stored = found.prediction["ood_score"]
            assert contribution + without.ood_score == pytest.approx(stored, abs=1e-5)


def test_a_known_crystal_is_in_distribution_and_nearest_to_its_own_class(store: Store) -> None:
    found = explain(store, "db:salt", nearest=3)
    assert not found.prediction["is_ood"]
    nearest, *others = found.nearest
    assert (nearest.title, nearest.training_id) == ("rock salt (NaCl)", "prototype:RockSalt_NaCl/periodic")
    assert nearest.ood_score < 0.01
    assert min(each.ood_score for each in others) > 1.0
    assert len(others) == 2
    assert "as near to training structures as others" in conclusion(found)
    assert [group.number for group in found.symmetry.space_groups] == [225] * 3
    assert found.symmetry.protostructure == "AB_cF8_225_a_b"
    lengths = {pair.name: [each.d_nn for each in pair.spacings] for pair in found.pairs}
    assert lengths["Na–Cl"] == pytest.approx([2.82, 2.82])
    assert lengths["Cl–Cl"] == pytest.approx([5.64 / 2**0.5])


@pytest.mark.parametrize(
    ("name", "unknown", "kept"), [("scrambled-Cl", "Cl", "Na"), ("scrambled-F", "F", "Ca")]
)
def test_the_scrambled_sublattice_is_the_one_that_is_named(
    store: Store, name: str, unknown: str, kept: str
) -> None:
    found = explain(store, f"db:{name}")
    assert found.prediction["is_ood"]
    first, second = found.species
    assert (first.species, second.species) == (unknown, kept)
    assert first.contribution is not None
    assert second.contribution is not None
    assert first.contribution > 1.0
    assert second.contribution < 0.5
    assert first.without == second.sublattice  # all that is left of two species is the other's sublattice
    assert second.sublattice is not None
    assert second.sublattice.nearest_class == "fcc_Cu_A_cF4_225_a"
    assert second.sublattice.ood_score < 0.01
    assert first.sublattice is not None
    assert first.sublattice.ood_score > 1.0
    assert unknown in found.pairs[0].species
    assert conclusion(found).startswith(f"What is unknown involves {unknown}: without the pairs of {unknown}")


def test_an_element_has_no_part_to_leave_out(store: Store) -> None:
    found = explain(store, "db:copper")
    [pair], [species] = found.pairs, found.species
    assert (pair.name, pair.contribution, pair.without) == ("Cu–Cu", None, None)
    assert (species.contribution, species.without) == (None, None)
    assert species.sublattice is not None
    assert species.sublattice.ood_score == pytest.approx(found.prediction["ood_score"], abs=1e-5)
    unknown = replace(found, prediction={**found.prediction, "is_ood": True})
    assert conclusion(unknown) == "It has one species: what is unknown is how its atoms are placed."


def test_what_does_not_repeat_has_no_space_group(store: Store) -> None:
    for name in ("water", "layer"):
        symmetry = explain(store, f"db:{name}").symmetry
        assert symmetry.space_groups == ()
        assert symmetry.protostructure is None
        assert str(symmetry.reason).startswith("no cell")


def test_the_tolerance_decides_the_space_group(tmp_path: Path) -> None:
    rattled = SALT.copy()
    rattled.rattle(0.01, seed=1)
    file = written(tmp_path / "db.parquet", {"rattled": rattled})
    found = explain(screen(file, tmp_path / "store", FAST).store, "db:rattled")
    assert [(g.tolerance, g.symbol) for g in found.symmetry.space_groups] == [
        (0.001, "P1"),
        (0.01, "P1"),
        (0.1, "Fm-3m"),
    ]


@pytest.mark.slow
def test_vectors_of_other_settings_and_backends_are_made_again_as_they_were(tmp_path: Path) -> None:
    settings = replace(FAST, soap=SoapSettings(backend="torch"))
    file = written(tmp_path / "db.parquet", {"carbide": STRUCTURES["carbide"]})
    found = explain(screen(file, tmp_path / "store", settings).store, "db:carbide")
    assert found.nearest[0].ood_score == pytest.approx(found.prediction["ood_score"], abs=1e-4)


def test_what_cannot_be_explained_is_said(
    store: Store, diffraction_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CrysiftError, match=r"no structure 'db:slat'; ids like it: db:salt, "):
        explain(store, "db:slat")
    with pytest.raises(CrysiftError, match=r"ids like it: db:salt, "):
        explain(store, "SALT")
    with pytest.raises(CrysiftError, match=r"db:clash was rejected in .*0\.01 Å apart"):
        explain(store, "db:clash")
    with pytest.raises(
        CrysiftError, match=r"db:alloy, which failed in features_soap \(DisorderedStruc.* need"
    ):
        explain(store, "db:alloy")
    with pytest.raises(CrysiftError, match=r"made with other weights than .*name them with --weights"):
        explain(store, "db:salt", weights=str(diffraction_weights))
    with pytest.raises(CrysiftError, match=r"there is no model 'lost'"):
        explain(store, "db:salt", weights="lost")
    with pytest.raises(CrysiftError, match=r"number of nearest classes = 0 is outside \[1, 1000\]"):
        explain(store, "db:salt", nearest=0)
    file = written(tmp_path / "db.parquet", {"copper": bulk("Cu")})
    diffraction = (PredictDiffraction(passes=20, weights=str(diffraction_weights)),)
    other = screen(file, tmp_path / "other", ScreenSettings(execution=INLINE, models=diffraction)).store
    with pytest.raises(CrysiftError, match="predictions of the diffraction network alone"):
        explain(other, "db:copper")
    bare = tmp_path / "bare"
    assert CliRunner().invoke(app, ["ingest", str(file), "--store", str(bare)]).exit_code == 0
    with pytest.raises(CrysiftError, match=r"no predictions to explain: `crysift screen` makes them"):
        explain(Store.open(bare), "db:copper")
    monkeypatch.setattr(
        "jobs.explain.explanation.contributions",
        lambda spectra, ood: contributions(spectra + np.eye(316)[0], ood),
    )
    with pytest.raises(CrysiftError, match=r"when it is computed again, .* in the store"):
        explain(store, "db:salt")


def told(store: Store, *arguments: str) -> str:
    answer = CliRunner().invoke(app, ["explain", *arguments, "--store", store.folder.url], color=False)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_the_command_tells_it_to_a_person(store: Store) -> None:
    said = told(store, "db:scrambled-Cl")
    assert "db:scrambled-Cl  ClNa, 64 atoms: out of distribution, ood score " in said
    assert "What is unknown involves Cl: " in said
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert lines["Cl"][1].startswith("+1.")
    assert lines["Na–Na"][1] == "3.99"
    assert "Space group (spglib): 0.001 Å P1 (1) · 0.01 Å P1 (1) · 0.1 Å P1 (1)" in said
    assert "Mutual information " in said
    copper = told(store, "db:copper")
    assert "One pair of species, Cu–Cu, dNN 2.55 Å: none can be left out" in copper
    assert "without a pair" not in copper
    assert "Space group: no cell" in told(store, "db:water")


def test_json_has_all_of_it(store: Store) -> None:
    found = json.loads(told(store, "db:carbide", "--json", "-n", "2"))
    assert (found["structure_id"], found["formula"], found["nsites"]) == ("db:carbide", "CFe4", 5)
    assert found["prediction"]["ood_score"] == pytest.approx(found["nearest"][0]["ood_score"], abs=1e-5)
    assert found["prediction"]["alpha"] == 0.05
    assert len(found["nearest"]) == 2
    assert {name: len(found[name]) for name in ("species", "pairs", "candidates")} == {
        "species": 2,
        "pairs": 3,
        "candidates": 5,
    }
    iron, carbon = found["species"]
    assert (iron["species"], iron["without"]["nearest_class"]) == ("Fe", "sc_alphaPo_A_cP1_221_a")
    assert carbon["sublattice"] == iron["without"]
    [mixed] = [pair for pair in found["pairs"] if pair["species"] == ["C", "Fe"]]
    bond = 0.265 * 3**0.5 * 3.88
    assert [each["d_nn"] for each in mixed["spacings"]] == pytest.approx([bond, bond])
    groups = found["symmetry"]["space_groups"]
    assert [(group["tolerance"], group["number"]) for group in groups] == [
        (0.001, 215),
        (0.01, 215),
        (0.1, 215),
    ]


@pytest.mark.parametrize("name", ["carbide", "copper", "layer", "water", "scrambled-Cl"])
def test_a_picture_is_drawn_of_every_kind_of_structure(store: Store, name: str, tmp_path: Path) -> None:
    file = tmp_path / "why.png"
    told(store, f"db:{name}", "--picture", str(file))
    with Image.open(file) as drawn:
        assert drawn.size == (1380, 768)
        assert len(drawn.convert("RGB").getcolors(2**20) or []) > 20


def test_a_picture_of_another_format_is_refused(store: Store, tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        app, ["explain", "db:salt", "--store", store.folder.url, "--picture", f"{tmp_path}/why.gif"]
    )
    assert answer.exit_code == 1
    assert "why.gif is none of .png, .svg, .pdf" in answer.stderr.replace("\n", " ")
    assert answer.stdout == ""


def test_the_folder_of_a_picture_is_made(store: Store, tmp_path: Path) -> None:
    draw_explanation(explain(store, "db:copper"), tmp_path / "new" / "folder" / "why.png")
    assert (tmp_path / "new" / "folder" / "why.png").stat().st_size > 10_000


def test_the_newest_version_of_a_structure_is_explained(tmp_path: Path) -> None:
    for name, atoms in {"first": bulk("Cu"), "second": bulk("Cu", "sc", a=2.5)}.items():
        screen(written(tmp_path / f"{name}.parquet", {"copper": atoms}), tmp_path / "store", FAST)
    found = explain(Store.open(tmp_path / "store"), "db:copper")
    assert found.nearest[0].title == "simple cubic (α-Po)"


def test_a_sheet_shows_structures_side_by_side(store: Store, tmp_path: Path) -> None:
    draw_a_sheet(store.folder.url, str(tmp_path / "sheet.png"), "db:salt", "db:copper", "db:water")
    with Image.open(tmp_path / "sheet.png") as sheet:
        width, height = sheet.size
        colours = len(sheet.convert("RGB").getcolors(2**20) or ())
    assert width > 2 * height
    assert colours > 20
