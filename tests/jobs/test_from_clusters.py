"""Dense clusters of novel structures are proposed as classes, and `--from-clusters` makes a model of them."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from connectors.settings import SourceSettings
from engine.errors import CrysiftError
from engine.store import Store
from engine.structure import Structure, structures_table
from jobs import screen
from jobs.additions import read_additions
from jobs.proposals import FILE, Proposal, ProposalSettings, propose, write_proposal
from jobs.settings import ExecutionSettings, ScreenSettings
from models.stage import PredictArise
from models.training.additions import addition_to
from models.training.duplicates import refuse_duplicates
from models.weights_file import Model, load_model
from tests.jobs.running import crysift
from tests.models.small_arise import small_weights

WEIGHTS = "arise-robust"
FLUORITE, RUTILE, HEUSLER = "AB2_cF12_225_a_c", "AB2_tP6_136_a_f", "ABC2_cF16_225_a_b_c"
SEVERAL = ProposalSettings(min_members=4)


def fluorite(metal: str, edge: float) -> Atoms:
    sites = [(0.0, 0.0, 0.0), (0.25, 0.25, 0.25)]
    cell = [edge] * 3 + [90] * 3
    return crystal([metal, "F"], sites, spacegroup=225, cellpar=cell, primitive_cell=True)


def rutile(metal: str, a: float, ratio: float) -> Atoms:
    sites = [(0.0, 0.0, 0.0), (0.305, 0.305, 0.0)]
    return crystal([metal, "O"], sites, spacegroup=136, cellpar=[a, a, a * ratio, 90, 90, 90])


def pyrite(metal: str, x: float, edge: float) -> Atoms:
    sites = [(0.0, 0.0, 0.0), (x, x, x)]
    return crystal([metal, "S"], sites, spacegroup=205, cellpar=[edge] * 3 + [90] * 3)


def triclinic(scale: float) -> Atoms:
    """A crystal of space group 1."""
    cell = np.array([[4.1, 0.3, 0.2], [0.5, 4.6, 0.4], [0.7, 1.1, 5.2]]) * scale
    sites = [(0.0, 0.0, 0.0), (0.27, 0.41, 0.63), (0.55, 0.12, 0.31), (0.71, 0.66, 0.18), (0.15, 0.8, 0.42)]
    return Atoms("AlBCN2", cell=cell, pbc=True, scaled_positions=sites)


def disordered(cells: tuple[int, int, int], seed: int) -> Atoms:
    """Fluorite with displaced atoms, of another protostructure for every number of cells."""
    atoms: Atoms = fluorite("Ca", 24.0).repeat(cells)
    atoms.rattle(0.15, seed=seed)
    return atoms


def heusler(metal: str, edge: float) -> Atoms:
    sites = [(0.25, 0.25, 0.25), (0.0, 0.0, 0.0), (0.5, 0.5, 0.5)]
    cell = [edge] * 3 + [90] * 3
    return crystal(["Cu", "Mn", metal], sites, spacegroup=225, cellpar=cell, primitive_cell=True)


FLUORITES = {
    "fluorite-CaF2": fluorite("Ca", 5.46),
    "fluorite-SrF2": fluorite("Sr", 5.80),
    "fluorite-BaF2": fluorite("Ba", 6.20),
    "fluorite-CdF2": fluorite("Cd", 5.39),
    "fluorite-PbF2": fluorite("Pb", 5.94),
    "fluorite-cell": fluorite("Ce", 5.70).repeat((2, 1, 1)),
}
METALS = {"Ti": 4.59, "Sn": 4.74, "Mn": 4.40, "Ru": 4.49}
RUTILES = {f"rutile-{each}": rutile(each, a, 0.644 + 0.001 * k) for k, (each, a) in enumerate(METALS.items())}
LONG_RUTILES = {f"long-{each}": rutile(each, a, 0.70) for each, a in METALS.items()}
HEUSLERS = {f"heusler-{metal}": heusler(metal, a) for metal, a in {"Al": 5.95, "Sn": 6.17}.items()}
KNOWN = {"copper": bulk("Cu"), "iron": bulk("Fe"), "salt": bulk("NaCl", "rocksalt", a=5.64)}


def screened(folder: Path, crystals: dict[str, Atoms], weights: str = WEIGHTS) -> Store:
    """A store into which crystals were screened by a network."""
    structures = [Structure.from_ase(atoms, "db", name) for name, atoms in crystals.items()]
    pq.write_table(structures_table(structures), folder / "db.parquet")
    settings = ScreenSettings(
        execution=ExecutionSettings("inline"), models=(PredictArise(passes=20, weights=weights),)
    )
    return screen(folder / "db.parquet", folder / "store", settings).store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Fluorites, rutiles, few Heusler phases, and known crystals."""
    return screened(tmp_path_factory.mktemp("clusters"), {**FLUORITES, **RUTILES, **HEUSLERS, **KNOWN})


@pytest.fixture(scope="module")
def base() -> Model:
    return load_model(WEIGHTS)


@pytest.fixture(scope="module")
def proposal(store: Store, base: Model) -> Proposal:
    return propose(store, base, WEIGHTS, SEVERAL)


def names(store: Store, ranks: Iterable[int]) -> set[str]:
    """The members of groups of the table `novel`."""
    rows = store.latest("novel").read("part-00000", ["rank", "members"]).to_pylist()
    return {member.removeprefix("db:") for row in rows if row["rank"] in ranks for member in row["members"]}


def test_a_dense_cluster_is_a_class_with_the_protostructure_as_label(
    store: Store, proposal: Proposal
) -> None:
    found = {each.label: each for each in proposal.classes}
    assert set(found) == {FLUORITE, RUTILE}
    assert names(store, {group.rank for group in found[FLUORITE].groups}) == set(FLUORITES)
    assert names(store, {group.rank for group in found[RUTILE].groups}) == set(RUTILES)
    assert [each.count for each in proposal.classes] == [len(FLUORITES), len(RUTILES)]
    assert {each.purity for each in proposal.classes} == {1.0}
    assert not proposal.left_out


def test_the_prototype_is_a_smallest_cell_nearest_to_the_middle(proposal: Proposal) -> None:
    found = {each.label: each for each in proposal.classes}
    (example,) = found[FLUORITE].examples
    assert len(example.species) == 3
    assert example.space_group == 225
    (example,) = found[RUTILE].examples
    assert example.source in {"db:rutile-Sn", "db:rutile-Mn"}  # neither the shortest nor the longest axis


def test_the_proposal_is_a_table_that_add_takes(proposal: Proposal, base: Model, tmp_path: Path) -> None:
    file = write_proposal(proposal, tmp_path / "proposed")
    assert file == tmp_path / "proposed" / FILE
    told = json.loads(file.read_text(encoding="utf-8"))
    assert [each["label"] for each in told["classes"]] == [FLUORITE, RUTILE]
    assert told["classes"][1]["examples"][0]["structure_id"] == proposal.prototypes[1].source
    read = read_additions([str(file)], [], SourceSettings()).prototypes
    assert [(each.label, each.space_group) for each in read] == [(FLUORITE, 225), (RUTILE, 136)]
    for one, other in zip(read, proposal.prototypes, strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-9)
    refuse_duplicates(addition_to(base, read).neighbors)


def test_the_largest_clusters_come_first_and_others_are_counted(store: Store, base: Model) -> None:
    first = propose(store, base, WEIGHTS, ProposalSettings(min_members=2, max_classes=1))
    assert [each.label for each in first.classes] == [FLUORITE]
    assert {group.label for group in first.further} == {RUTILE, HEUSLER}


def test_groups_of_one_protostructure_are_one_class_where_they_are_of_one_type(
    base: Model, tmp_path: Path
) -> None:
    pyrites = {f"pyrite-{k}": pyrite("Fe", 0.385 + 0.001 * k, 5.42) for k in range(3)}
    ices = {f"ice-{k}": pyrite("C", 0.118 + 0.0005 * k, 5.62) for k in range(2)}
    mixed = screened(tmp_path, {**RUTILES, **LONG_RUTILES, **pyrites, **ices})
    classes = propose(mixed, base, WEIGHTS, ProposalSettings(min_members=2)).classes
    found = {each.label: each for each in classes}
    assert set(found) == {RUTILE, "AB2_cP12_205_a_c", "AB2_cP12_205_a_c-2"}
    assert [group.count for group in found[RUTILE].groups] == [4, 4]
    assert [each.label for each in found[RUTILE].examples] == [RUTILE, RUTILE]
    assert {each.source[:6] for each in found["AB2_cP12_205_a_c"].examples} == {"db:pyr"}
    assert {each.source[:6] for each in found["AB2_cP12_205_a_c-2"].examples} == {"db:ice"}


def test_groups_without_a_label_are_left_out(base: Model, tmp_path: Path) -> None:
    crystals = {f"triclinic-{k}": triclinic(1.0 + 0.1 * k) for k in range(3)}
    cells = {0: (1, 1, 1), 1: (2, 1, 1), 3: (2, 2, 2)}
    crystals |= {f"disordered-{seed}": disordered(each, seed) for seed, each in cells.items()}
    bad = screened(tmp_path, {**crystals, **RUTILES})
    found = propose(bad, base, WEIGHTS, ProposalSettings(min_members=3))
    assert [each.label for each in found.classes] == [RUTILE]
    assert {each.reason for each in found.left_out} == {
        "its protostructure ABCD2_aP5_1_a_a_a_2a has no symmetry",
        "only 1 of 3 have the most frequent protostructure AB2_aP6_1_2a_4a",
    }


def test_crystals_of_a_known_type_are_left_out(tmp_path: Path) -> None:
    zinc = {f"zinc-{k}": bulk("Zn", "hcp", a=2.66, c=4.95 + 0.01 * k) for k in range(4)}
    store = screened(tmp_path, zinc, "arise")
    with pytest.raises(CrysiftError, match=r"of 1 groups .*none can be.*same structure type A_hP2_194_c"):
        propose(store, load_model("arise"), "arise", SEVERAL)


def test_a_store_that_has_no_dense_clusters_of_this_model_is_refused(
    store: Store, base: Model, tmp_path: Path
) -> None:
    with pytest.raises(
        CrysiftError, match=r"largest of \d groups .* has 6 members, .*from 20 on: lower --min"
    ):
        propose(store, base, WEIGHTS, ProposalSettings())
    with pytest.raises(CrysiftError, match=r"novel to another model than arise \("):
        propose(store, load_model("arise"), "arise", SEVERAL)
    known = screened(tmp_path, KNOWN)
    with pytest.raises(CrysiftError, match="nothing in the store is novel"):
        propose(known, base, WEIGHTS, SEVERAL)
    for folder in (tmp_path / "store").glob("novel-*/*"):
        folder.unlink()
    with pytest.raises(CrysiftError, match=r"holds no table novel.*`crysift screen` makes it"):
        propose(known, base, WEIGHTS, SEVERAL)
    with pytest.raises(CrysiftError, match="--min-members = 1 is outside"):
        ProposalSettings(min_members=1)


def test_the_command_proposes_and_tells_how_to_train(store: Store, tmp_path: Path) -> None:
    propose_into = ("train", "arise", "--from-clusters", store.folder.url, "--propose", "-o", "proposed")
    said = crysift(*propose_into, "--min-members", "4", "--max-classes", "1", cwd=tmp_path)
    assert said.status == 0, said.err
    assert FLUORITE in said.out
    assert "crysift train arise --add proposed/classes.json --output proposed" in said.out
    assert "1 more groups are as dense, the largest with 4 members" in said.err
    assert [path.name for path in (tmp_path / "proposed").iterdir()] == [FILE]
    told = crysift(*propose_into, "--min-members", "4", "--json", cwd=tmp_path).json()
    assert [(each["label"], each["members"]) for each in told["classes"]] == [(FLUORITE, 6), (RUTILE, 4)]
    assert (told["left_out"], told["further_groups"]) == ([], 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["arise", "--from-clusters", "s", "--add", "x.cif"], "are two ways to extend a model"),
        (["arise", "--from-clusters", "s", "--recipe", "pristine"], "--recipe: the base model's is used"),
        (["arise", "--from-clusters", "s", "--label", "x"], "--label: it belongs to --add"),
        (
            ["arise", "--from-clusters", "s", "--propose", "--epochs", "3"],
            "--epochs: it belongs to training",
        ),
        (["arise", "--propose"], "--propose: it belongs to --from-clusters"),
        (["arise", "--add", "x.cif", "--min-members", "5"], "--min-members: it belongs to --from-clusters"),
        (["diffraction", "--from-clusters", "s"], "classes are added to the network arise"),
        (["arise", "--from-clusters", "s"], "there is no store at"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    ended = crysift("train", *arguments, cwd=tmp_path)
    assert ended.status == 1
    assert words in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_model_trained_from_clusters_recognises_one_that_it_never_saw(tmp_path: Path) -> None:
    base = small_weights(tmp_path / "base")
    screened(tmp_path, {**RUTILES, **KNOWN}, str(base))
    mine = tmp_path / "mine"
    extend = ("train", "arise", "--from-clusters", tmp_path / "store", "--weights", base)
    trained = crysift(*extend, "--min-members", "4", "-o", mine, "--json")
    assert trained.status == 0, trained.err
    assert trained.json()["labels"] == [RUTILE]
    assert (mine / FILE).is_file()
    unseen = {"unseen": rutile("Ge", 4.40, 0.647), "salt": bulk("MgO", "rocksalt", a=4.21)}
    (tmp_path / "new").mkdir()
    predicted = screened(tmp_path / "new", unseen, str(mine)).latest("predictions_arise")
    rows = predicted.scan(["structure_id", "prototype", "is_ood"]).to_table().to_pylist()
    found = {row["structure_id"]: (row["prototype"], row["is_ood"]) for row in rows}
    assert found == {"db:salt": ("RockSalt_NaCl", False), "db:unseen": (RUTILE, False)}
