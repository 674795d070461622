import json
from functools import cache

import pyarrow as pa

from engine.structure import structures_in
from engine.validation import StructureLimits, validate
from tests.connectors.reading import candidates, opened


@cache
def examples() -> pa.Table:
    return pa.concat_tables(candidates(opened("examples:")))


def test_all_288_prototypes_and_every_variant_are_structures() -> None:
    accepted, rejected = validate(examples(), StructureLimits())
    assert len(rejected) == 0
    names = accepted["source_id"].to_pylist()
    assert len(set(names)) == len(names)
    assert sum(name.startswith("aflow/") and name.count("/") == 1 for name in names) == 288
    assert sum(name.startswith("ase/") and name.count("/") == 1 for name in names) >= 60
    assert sum(name.endswith("/vacant-10") for name in names) * 4 == len(names)


def test_minerals_are_named() -> None:
    facts = [json.loads(text) for text in examples()["extra_json"].to_pylist()]
    assert {"Cinnabar", "Marcasite", "Hausmannite"} <= {fact.get("mineral") for fact in facts}


def test_variants_are_the_same_every_time() -> None:
    connector = opened("examples:")
    again = connector.read(next(connector.pages(None))).candidates
    assert again.equals(examples().slice(0, len(again)))


def test_variants_are_displaced_or_lack_atoms() -> None:
    chosen = {s.source_id: s for s in structures_in(examples()) if s.source_id.startswith("ase/Cu-fcc")}
    displaced, vacant = chosen["ase/Cu-fcc/displaced-2"], chosen["ase/Cu-fcc/vacant-10"]
    assert len(displaced.positions) >= 64
    assert len(vacant.positions) == len(displaced.positions) - round(0.1 * len(displaced.positions))
    assert len(chosen["ase/Cu-fcc"].positions) == 1
