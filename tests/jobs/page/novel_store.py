"""The mapped store after a screening, whose selection has structures that are gone or changed since."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.schema import NOVEL, SELECTION
from engine.store import Fingerprint, Store
from tests.jobs.page.mapped_store import FAILED, HOSTILE, MODEL, Expected, expected

FDR = 0.05
GONE = "db:gone</script><script>window.hacked=1</script>"
"""A structure that is no longer in the store."""
CHANGED = 25
"""The place of a representative whose newer version has another score."""
CLASSES = "CsCl, </script><b>prototype</b>"


def screened(mapped: Store, folder: Path) -> Store:
    """Copy the store and add the tables `selection` and `novel`."""
    store = Store.open(Path(shutil.copytree(mapped.folder.url, folder / "screened")))
    add_answer(store, FDR)
    return store


def add_answer(store: Store, fdr: float, *, whole: bool = True) -> None:
    """Write what a screening selects at a rate; without its novel structures if not `whole`."""
    [predictions] = store.existing("predictions_arise")
    rows = [row for row in expected(store) if not row.structure_id.endswith(FAILED)]
    content = {"selection": [_selected(row) for row in rows], "novel": novel_rows(rows)}
    schemas = {"selection": SELECTION, "novel": NOVEL}
    for name in schemas if whole else ("selection",):
        fingerprint = Fingerprint(name, 1, 1, {"fdr": fdr}, MODEL, predictions.folder.name)
        table = store.derived(fingerprint, allow_new=True)
        filled = pa.Table.from_pylist(content[name], schema=schemas[name])
        table.commit("part-00000", filled, source_part=None, rows_in=len(filled), failed=0, cost=1.0)


def groups(rows: list[Expected]) -> list[list[Expected]]:
    """The novel structures with those equivalent to them, the farthest first: pairs, the first stands."""
    strange = sorted((row for row in rows if row.is_ood), key=lambda row: -row.position)
    return [strange[place : place + 2] for place in range(0, len(strange), 2)]


def novel_rows(rows: list[Expected]) -> list[dict[str, Any]]:
    """The table; the last of it stands for a structure that is gone."""
    listed = []
    for rank, members in enumerate(groups(rows), 1):
        row = {name: value for name, value in _selected(members[0]).items() if name in NOVEL.names}
        ids = [member.structure_id for member in members]
        listed.append(row | {"rank": rank, "count": len(ids), "formula": "ClCs", "members": ids})
    gone = {"structure_id": GONE, "count": 1, "formula": "Xe", "members": [GONE], "ood_score": 0.5}
    return [*listed, {**listed[-1], **gone, "rank": len(listed) + 1}]


def _selected(row: Expected) -> dict[str, Any]:
    score = np.float32(row.position / 7)
    return {
        "structure_id": row.structure_id,
        "status": "ok",
        "prototype": row.prototype,
        "probability": 0.75,
        "mutual_information": row.mutual_information,
        "ood_score": float(score + 1 if row.position == CHANGED else score),
        "ood_p_value": 0.01 if row.is_ood else 0.5,
        "ood_q_value": 0.02 if row.is_ood else 0.5,
        "is_ood": row.is_ood,
        "nearest_class": row.prototype,
        "nearest_training_id": HOSTILE[0],
        "protostructure": "AB_cP2_221_a_b",
        "symmetry_class": CLASSES if row.position % 10 == 0 else None,
    }
