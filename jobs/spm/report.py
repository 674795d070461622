"""The end of a strided pattern matching, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from jobs.tables import rich_table

if TYPE_CHECKING:
    from jobs.console import Console

CLASSES_SHOWN = 12


def print_report(console: Console, summary: dict[str, Any]) -> None:
    """Print classes, uncertainties, failures, counts and places of a summary."""
    import pyarrow as pa

    classes = summary["classes"]
    if classes:
        shown = pa.Table.from_pylist(classes[:CLASSES_SHOWN])
        console.show(
            rich_table(shown, "Classes of the boxes, the most frequent in the map first", decimals=3)
        )
        if len(classes) > CLASSES_SHOWN:
            console.say(f"… and {len(classes) - CLASSES_SHOWN} more")
        told = ", ".join(f"{100 * float(q):g} % ≤ {v:.3f}" for q, v in summary["mutual_information"].items())
        console.say(f"\nMutual information (nat): {told}")
    for failure in summary["failures"]:
        console.say(f"  {failure['boxes']:>8,}  failed: {failure['error_class']}, for example:")
        console.say(escape(f"            {failure['example']}"))
    console.say(_counts(summary))
    width = max(map(len, summary["tables"])) + 1
    for name, place in summary["tables"].items():
        console.say(f"  {name:<{width}} {place}")


def _counts(summary: dict[str, Any]) -> str:
    boxes, evaluated = summary["boxes"], summary["evaluated"]
    fates = ", ".join(f"{summary[fate]:,} {fate}" for fate in ("classified", "sparse", "failed"))
    if evaluated == boxes:
        return f"{boxes:,} boxes = {fates}  ({summary['out_of_distribution']:,} out of distribution)"
    share = f"{evaluated:,} of {boxes:,} boxes evaluated ({100 * summary['fraction_evaluated']:.1f} %)"
    return f"{share} = {fates}  ({summary['out_of_distribution']:,} out of distribution)"
