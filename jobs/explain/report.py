"""What `crysift explain` says."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from jobs.spm.maps.quantities import title_of
from jobs.tables import rich_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.store import Store
    from jobs.console import Console
    from jobs.explain.explanation import Explanation, Spacing, Verdict
    from jobs.explain.symmetry import SpaceGroup

UNCERTAINTIES = ("mutual_information", "predictive_entropy", "variation_ratio")
LISTED = 15
"""Rows of a table for a person; JSON has all."""


def print_explanation(console: Console, found: Explanation) -> None:
    """Print the verdict, what it comes from, what the network says, and the symmetry."""
    console.say(f"[bold]{escape(found.structure.structure_id)}[/bold]  {escape(headline(found))}")
    console.say(escape(conclusion(found)))
    _table(console, "Nearest training structure of each class", _nearest_rows(found))
    if len(found.species) > 1:
        _table(console, "Score without the pairs of a species", _species_rows(found))
        _table(console, "Score without a pair of species", _pair_rows(found))
    else:
        [pair] = found.pairs
        console.say()
        console.say(
            f"One pair of species, {pair.name}, dNN {spacing_text(pair.spacings)} Å: none can be left out"
        )
    _table(console, "Most probable classes", _candidate_rows(found), decimals=3)
    console.say()
    console.say(escape(uncertainty(found)))
    console.say()
    for line in symmetry_lines(found):
        console.say(escape(line))


def headline(found: Explanation) -> str:
    """Return formula, number of atoms, score and p-value in a line."""
    said = found.prediction
    kind = "out of distribution" if said["is_ood"] else "in distribution"
    sign = "≤" if said["is_ood"] else ">"
    atoms = len(found.structure.positions)
    return (
        f"{found.formula}, {atoms:,} {'atom' if atoms == 1 else 'atoms'}: {kind}, ood score "
        f"{said['ood_score']:.2f}, p-value {said['ood_p_value']:.3g} {sign} {found.alpha:g}"
    )


def conclusion(found: Explanation) -> str:
    """Return what of the structure is unknown, as far as leaving out species and pairs tells.

    A part explains a structure if without it the score is at most half, and in distribution.
    """
    if not found.prediction["is_ood"]:
        return "It is as near to training structures as others of that class usually are."
    if len(found.pairs) == 1:
        return "It has one species: what is unknown is how its atoms are placed."
    parts = [(f"the pairs of {each.species}", each.species, each.without) for each in found.species]
    parts += [(f"the pair {name}", name, each.without) for each in found.pairs for name in [each.name]]
    for part, name, without in parts:
        if without and without.ood_p_value > found.alpha and _halved(found, without):
            return f"What is unknown involves {name}: without {part} the rest is {_known(without)}."
    return (
        "No species and no pair alone explains it: leaving out no single one both halves the score and "
        "brings the rest into distribution."
    )


def _halved(found: Explanation, without: Verdict) -> bool:
    return bool(without.ood_score <= 0.5 * found.prediction["ood_score"])


def _known(without: Verdict) -> str:
    return (
        f"in distribution (score {without.ood_score:.2f}, p-value {without.ood_p_value:.3g}, nearest to "
        f"{title_of(without.nearest_class)})"
    )


def uncertainty(found: Explanation) -> str:
    """Return the uncertainties of the network in a line."""
    said = found.prediction
    return (
        f"Mutual information {said['mutual_information']:.3f} nats, predictive entropy "
        f"{said['predictive_entropy']:.3f} nats, variation ratio {said['variation_ratio']:.3f} "
        f"({said['n_passes']:,} passes)."
    )


def symmetry_lines(found: Explanation) -> list[str]:
    """Return the space group at each tolerance, and the structure type, or why there is none."""
    symmetry = found.symmetry
    if not symmetry.space_groups:
        return [f"Space group: {symmetry.reason}"]
    groups = " · ".join(f"{group.tolerance:g} Å {_group_text(group)}" for group in symmetry.space_groups)
    return [
        f"Space group (spglib): {groups}",
        f"Protostructure ({symmetry.tolerance:g} Å): {symmetry.protostructure or symmetry.reason}",
    ]


def _group_text(group: SpaceGroup) -> str:
    return f"none ({group.reason})" if group.number is None else f"{group.symbol} ({group.number})"


def summary_of(found: Explanation, store: Store) -> dict[str, Any]:
    """Return the answer as JSON values; readable names stand beside the labels of classes."""
    said = {name: value for name, value in found.prediction.items() if name not in _NOT_SAID}
    return {
        "store": store.folder.url,
        "structure_id": found.structure.structure_id,
        "formula": found.formula,
        "nsites": len(found.structure.positions),
        "conclusion": conclusion(found),
        "prediction": {**said, "title": title_of(said["prototype"]), "alpha": found.alpha},
        "candidates": [{**each, "title": title_of(each["prototype"])} for each in found.prediction["top"]],
        "nearest": _listed(found.nearest),
        "species": _listed(found.species),
        "pairs": _listed(found.pairs),
        "symmetry": _listed([found.symmetry])[0],
    }


_NOT_SAID = ("structure_id", "status", "error_stage", "error_class", "error_message", "top")


def _listed(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return dataclasses as JSON values, tuples as lists."""
    return [
        {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(row).items()}
        for row in rows
    ]


def _table(console: Console, title: str, rows: Sequence[dict[str, Any]], decimals: int = 2) -> None:
    """Print rows, the first of very many, after an empty line and a title."""
    import pyarrow as pa

    console.say()
    console.say(f"[bold]{title}[/bold]")
    console.show(rich_table(pa.Table.from_pylist(rows[:LISTED]), decimals=decimals))
    if len(rows) > LISTED:
        console.say(f"[dim]… and {len(rows) - LISTED} more, all of them with --json[/dim]")


def _nearest_rows(found: Explanation) -> list[dict[str, Any]]:
    return [
        {"class": each.title, "distance": each.ood_score, "training_structure": each.training_id}
        for each in found.nearest
    ]


def _species_rows(found: Explanation) -> list[dict[str, Any]]:
    return [
        {
            "species": each.species,
            "contribution": signed(each.contribution),
            **_verdict_cells("without_it", each.without),
            **_verdict_cells("its_atoms_alone", each.sublattice),
        }
        for each in found.species
    ]


def _pair_rows(found: Explanation) -> list[dict[str, Any]]:
    return [
        {
            "pair": each.name,
            "dNN_(Å)": spacing_text(each.spacings),
            "contribution": signed(each.contribution),
            **_verdict_cells("without_it", each.without),
        }
        for each in found.pairs
    ]


def _candidate_rows(found: Explanation) -> list[dict[str, Any]]:
    return [
        {"class": title_of(each["prototype"]), "probability": each["probability"]}
        for each in found.prediction["top"]
    ]


def _verdict_cells(name: str, verdict: Verdict | None) -> dict[str, Any]:
    return {
        name: None if verdict is None else verdict.ood_score,
        f"nearest_{name}": None if verdict is None else title_of(verdict.nearest_class),
    }


def signed(contribution: float | None) -> str | None:
    """Return a contribution with its sign, which zero has none of."""
    return None if contribution is None else f"{round(contribution, 2) + 0.0:+.2f}"


def spacing_text(spacings: Sequence[Spacing]) -> str:
    """Return the d_NN of a pair, of both directions where they differ: of the first's neighbours first."""
    texts = ["–" if each.d_nn is None else f"{each.d_nn:.2f}" for each in spacings]
    return " / ".join(dict.fromkeys(texts))
