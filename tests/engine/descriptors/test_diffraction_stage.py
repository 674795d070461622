import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.diffraction import DiffractionSettings
from engine.descriptors.diffraction.crystal import diffracting_crystal
from engine.descriptors.diffraction.pattern import patterns
from engine.descriptors.diffraction.stage import DiffractionStage
from engine.structure import Structure, structures_table
from engine.symmetry.crystal import MAX_SITES


def table_of(*atoms: Atoms) -> pa.Table:
    return structures_table([Structure.from_ase(a, "test", str(i)) for i, a in enumerate(atoms)])


@pytest.mark.parametrize("channels", ["single", "rgb"])
def test_a_batch_gives_one_image_per_crystal_in_order(channels: str) -> None:
    settings = DiffractionSettings(channels="rgb" if channels == "rgb" else "single")
    crystals = [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.64), bulk("Ti")]
    stage = DiffractionStage(settings, "cpu")
    features = stage.open()(table_of(*crystals))
    assert features.schema.equals(stage.writes)
    assert features["status"].to_pylist() == ["ok"] * 3
    assert features["space_group"].to_pylist() == [225, 225, 194]
    assert features["n_atoms"].to_pylist() == [144, 144, 120]
    stored = fixed_size_values(contiguous(features["vector"])).reshape(3, -1)
    for row, atoms in zip(stored, crystals, strict=True):
        crystal = diffracting_crystal(atoms.positions, atoms.numbers.astype(np.int64), atoms.cell.array)
        image = patterns([crystal], settings).numpy().reshape(-1).astype(np.float16)
        np.testing.assert_array_equal(row, image)


def test_what_cannot_diffract_is_a_row_with_a_reason() -> None:
    heavy = bulk("Cu")
    heavy.symbols[:] = "Es"
    crowd = bulk("Cu", cubic=True).repeat((8, 8, 8))
    table = table_of(bulk("Fe"), molecule("C6H6"), heavy, crowd, bulk("Al"), bulk("Fe"))
    shared = pa.array([True, True, True, True, False, True])
    table = table.set_column(table.schema.get_field_index("is_ordered"), "is_ordered", shared)
    features = DiffractionStage().open()(table)
    assert features["error_class"].to_pylist() == [
        None,
        "NotPeriodic",
        "UnknownElementError",
        "TooManySitesError",
        "DisorderedStructure",
        None,
    ]
    assert features["vector"].null_count == features["space_group"].null_count == 4
    assert features["vector"][0] == features["vector"][5]
    messages = features["error_message"].to_pylist()
    assert "element 99 has no form factor" in messages[2]
    assert f"2048 sites, more than {MAX_SITES}" in messages[3]
    assert set(features["error_stage"].to_pylist()) == {None, "features_diffraction"}


def test_a_batch_without_any_crystal_is_a_batch_of_failures() -> None:
    features = DiffractionStage().open()(table_of(molecule("H2O"), molecule("CH4")))
    assert features["status"].to_pylist() == ["failed", "failed"]
    assert features.schema.equals(DiffractionStage().writes)


def test_the_device_is_no_setting_and_channels_are() -> None:
    assert DiffractionStage(device="cpu").settings() == DiffractionStage(device="cuda").settings()
    assert DiffractionStage().settings() == {"channels": "single", "mask": True}
    rgb = DiffractionStage(DiffractionSettings(channels="rgb", mask=False))
    assert rgb.settings() == {"channels": "rgb", "mask": False}
    assert rgb.writes.field("vector").type == pa.list_(pa.field("element", pa.float16()), 3 * 64 * 64)
