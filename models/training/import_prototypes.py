"""Write `models/data/prototypes.json` from the list of prototypes that accompanies the ARISE publication.

Run once, by a developer: ``python -m models.training.import_prototypes SOURCE.json``.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from models.prototypes import TABLE_PATH

CITATIONS = {
    "ARISE": "A. Leitherer, A. Ziletti, L. M. Ghiringhelli, Nat. Commun. 12, 6234 (2021); "
    "data: doi:10.5281/zenodo.5526927, CC BY 4.0",
    "AFLOW": "M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017)",
    "C2DB/CMR": "S. Haastrup et al., 2D Mater. 5, 042002 (2018)",
    "CMR": "D. D. Landis et al., Comput. Sci. Eng. 14(6), 51 (2012)",
    "ASE": "A. H. Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017)",
}
FAMILIES = ("elemental", "binary", "ternary", "quaternary", "2d", "nanotube")
PEROVSKITES = {
    "24_RP": "Ruddlesden–Popper, n = 1 (A2BO4)",
    "327_RP": "Ruddlesden–Popper, n = 2 (A3B2O7)",
    "3_cubic": "cubic oxide perovskite",
    "3_halides_cubic": "cubic halide perovskite",
    "3_halides_orthorhombic": "orthorhombic halide perovskite",
    "3_halides_tetragonal": "tetragonal halide perovskite",
}
ELEMENTAL_NAMES = {
    "BuckledGraphHex": "buckled graphite",
    "HexDiam": "hexagonal diamond",
    "HexGraph": "hexagonal graphite",
    "basecorthAlphaGa": "α-Ga",
    "basecorthAlphaU": "α-U",
    "basecorthBlackP": "black phosphorus",
    "basecorthMolIod": "molecular iodine",
    "bctAlphaPa": "bct α-Pa",
    "bctBetaSn": "β-Sn",
    "bctIn": "bct In",
    "dhcp": "dhcp (α-La)",
    "diam": "diamond",
    "facecorthGammaPu": "γ-Pu",
    "rhombAlphaAs": "α-As",
    "rhombAlphaHg": "α-Hg",
    "rhombAlphaSm": "α-Sm",
    "rhombBetaO": "β-O",
    "rhombBetaPo": "β-Po",
    "rhombGraph": "rhombohedral graphite",
    "sc": "simple cubic (α-Po)",
    "shex": "simple hexagonal (Sn)",
    "stetBetaNp": "β-Np",
    "stetGammaN": "γ-N",
    "trihex": "trigonal (γ-Se)",
    "bcc": "bcc (W)",
    "fcc": "fcc (Cu)",
    "hcp": "hcp (Mg)",
}
BINARY_NAMES = {
    "L10_CuAu": "L1₀ (CuAu)",
    "L12_Cu3Au": "L1₂ (Cu3Au)",
    "RockSalt_NaCl": "rock salt (NaCl)",
    "Wurtzite_ZnS": "wurtzite (ZnS)",
    "Zincblende_ZnS": "zinc blende (ZnS)",
}


def title(label: str, family: str) -> str:
    """A name to read, made from the authors' label."""
    if family == "elemental":
        return ELEMENTAL_NAMES[label.split("_", maxsplit=1)[0]]
    if family == "2d":
        return f"{label} monolayer"
    if family == "nanotube":
        return re.sub(r"(\w+?)_cnt_nm_(\d+)_(\d+)_.*", r"\1 carbon nanotube (\2,\3)", label)
    return {**PEROVSKITES, **BINARY_NAMES}.get(label, label)


def record(entry: dict[str, Any]) -> dict[str, Any]:
    """One prototype in this project's format; sites are rows of symbol and three coordinates.

    Coordinates are fractional where there is a lattice and Cartesian, Å, where there is none.
    """
    lattice = entry.get("lattice_vectors")
    coordinates = entry["fractional_positions"] if lattice else entry["cartesian_positions"]
    return {
        "label": entry["label"],
        "title": title(entry["label"], entry["family"]),
        "family": entry["family"],
        "source": entry["source"],
        "space_group": entry.get("space_group"),
        "periodic": entry["dimension_types"],
        "lattice": [[value + 0.0 for value in vector] for vector in lattice] if lattice else None,
        "sites": [
            [symbol, *(value + 0.0 for value in position)]
            for symbol, position in zip(entry["species"], coordinates, strict=True)
        ],
    }


def table_text(entries: list[dict[str, Any]]) -> str:
    """The table as JSON with one prototype a line, ordered by family and label."""
    ordered = sorted(entries, key=lambda entry: (FAMILIES.index(entry["family"]), entry["label"]))
    lines = ",\n".join(
        json.dumps(record(entry), ensure_ascii=False, separators=(",", ":")) for entry in ordered
    )
    citations = json.dumps(CITATIONS, ensure_ascii=False, indent=1)
    return f'{{"citations": {citations},\n"prototypes": [\n{lines}\n]}}\n'


def main() -> None:
    """Read the source named on the command line and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="arise_prototypes.json")
    entries = json.loads(parser.parse_args().source.read_text(encoding="utf-8"))
    TABLE_PATH.parent.mkdir(exist_ok=True)
    TABLE_PATH.write_text(table_text(entries), encoding="utf-8")


if __name__ == "__main__":
    main()
