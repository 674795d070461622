"""Tables of figures in Markdown files, generated so that no number in a text is typed by hand.

`python -m jobs.bench.readme README.md soap.json inference.json` replaces what stands between
`<!-- figures:soap -->` and `<!-- /figures:soap -->` by the report of `crysift bench soap --json`, and so on
for every report named that the file has a block for. A report that has tables gives these in place of its
figures: `figures:accuracy` are the accuracies, `figures:accuracy-confusions` what the models confuse, and
`figures:accuracy-goals` what was to be reached. Blocks that need no report are filled wherever they are:
`detection` and `accuracy-diffraction` from the cards of the shipped models, `accuracy-published` and
`accuracy-local-order` from the tables of the benchmark.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import CrysiftError
from engine.markdown import markdown_table

DETECTORS = ("ood_score", "mutual_information", "predictive_entropy", "variation_ratio")
KNOWN = {
    "mild": "mild defects",
    "strong": "strong defects",
    "distorted": "other lattice parameters and free coordinates",
}
"""Known structures that unknown prototypes are told from, by their names in the card, and what they have."""


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """Replace the content of every named block; raises CrysiftError for a block that the text lacks."""
    for name, content in blocks.items():
        start, end = f"<!-- figures:{name} -->", f"<!-- /figures:{name} -->"
        match = re.search(f"{re.escape(start)}.*?{re.escape(end)}", text, re.DOTALL)
        if match is None:
            raise CrysiftError(f"the text has no block {start} … {end} to fill: add the two lines")
        text = f"{text[: match.start()]}{start}\n{content}\n{end}{text[match.end() :]}"
    return text


def report_table(report: Mapping[str, Any]) -> str:
    """Lay out a benchmark's JSON report as a Markdown table with the machine and the remarks under it."""
    rows = [
        (figure["name"], f"{_number(figure['value'])} {figure['unit']}".strip(), figure["goal"] or "")
        for figure in report["figures"]
    ]
    where = f"{_where(report)}; {'; '.join(report['remarks'])}."
    return f"{markdown_table(('figure', 'measured', 'goal'), rows)}\n\n{where}"


def tables_text(report: Mapping[str, Any]) -> str:
    """Lay out the tables of a report, each under its title, and the remarks."""
    remarks = "\n".join(f"* {remark}" for remark in (_where(report), *report["remarks"]))
    return f"{_titled(report['tables'])}\n\n{remarks}"


def _titled(tables: Iterable[Mapping[str, Any]]) -> str:
    return "\n\n".join(
        f"{table['title']}:\n\n{markdown_table(table['heading'], table['rows'])}" for table in tables
    )


def robustness_tables(results: Mapping[str, Any]) -> str:
    """Lay out the diffraction network's accuracies beside spglib's, and the detection of other prototypes."""
    rows = []
    for name, judged in results["judged"].items():
        beside = results["spglib"].get(name.partition(",")[0], {})
        shares = (_percent(beside[tolerance]) if beside else "" for tolerance in ("loose", "tight"))
        count, right = judged["structures"], judged["right"]
        rows.append((name, f"{count:,}", f"{count - right:,}", _percent(right / count), *shares))
    published = [results["judged"][name] for name in results["published"]]
    count, right = (sum(judged[what] for judged in published) for what in ("structures", "right"))
    total = (
        "**all published kinds**",
        f"{count:,}",
        f"{count - right:,}",
        f"{100 * right / count:.3f}",
        "",
        "",
    )
    rows.insert(1 + list(results["judged"]).index(results["published"][-1]), total)
    heading = ("structures", "number", "wrong", "% correct", "spglib 0.1 Å, 5°", "spglib 10⁻⁴ Å, 1°")
    return f"{markdown_table(heading, rows)}\n\n{_detection_table(results)}"


def _where(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    return f"{machine['processor']}, {machine['cores']} cores"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _detection_table(results: Mapping[str, Any]) -> str:
    table = results["detection"]
    sides = [side for side in KNOWN if side in table[DETECTORS[0]]]
    rows = [(f"`{score}`", *(_detection(table[score][side]) for side in sides)) for score in DETECTORS]
    first, *others = (KNOWN[side] for side in sides)
    return markdown_table(("score", f"AUROC, false alarms: {first}", *others), rows)


def _number(value: float) -> str:
    """Three significant digits, without an exponent for large numbers."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _detection(figures: Mapping[str, float]) -> str:
    return f"{figures['auroc']:.3f}, {100 * figures['false_alarms']:.1f} %"


def main(target: str, *reports: str) -> None:
    """Fill the blocks of the file `target` from JSON reports, and others that it has from cards and facts."""
    path = Path(target)
    text = path.read_text(encoding="utf-8")
    loaded = [json.loads(Path(report).read_text(encoding="utf-8")) for report in reports]
    blocks = {report["benchmark"]: report_text(report) for report in loaded}
    beside = {name: block for report in loaded for name, block in _further_blocks(report).items()}
    optional = {
        name: block
        for name, block in (beside | _standing_blocks()).items()
        if name not in blocks and f"<!-- figures:{name} -->" in text
    }
    path.write_text(fill(text, blocks | optional), encoding="utf-8")


def report_text(report: Mapping[str, Any]) -> str:
    """What stands in the block named like the benchmark: its tables, or its figures where it has none."""
    of_block = [table for table in report.get("tables", ()) if table["block"] == report["benchmark"]]
    return tables_text({**report, "tables": of_block}) if of_block else report_table(report)


def _further_blocks(report: Mapping[str, Any]) -> dict[str, str]:
    """The tables of a report that belong into blocks of other names."""
    tables = report.get("tables", ())
    names = {table["block"] for table in tables} - {report["benchmark"]}
    named = {name: _titled([table for table in tables if table["block"] == name]) for name in names}
    return named | {f"{report['benchmark']}-goals": goals_table(report)}


def goals_table(report: Mapping[str, Any]) -> str:
    """Lay out the figures of a report that have a goal, to two decimals."""
    rows = [
        (
            figure["name"],
            f"{figure['value']:.2f} {figure['unit']}",
            figure["goal"],
            "yes" if figure["holds"] else "no",
        )
        for figure in report["figures"]
        if figure["goal"]
    ]
    return markdown_table(("figure", "measured", "goal", "holds"), rows)


def _standing_blocks() -> dict[str, str]:
    """What needs no report, by the name of its block: results in cards of shipped models, and facts."""
    from jobs.bench.accuracy.table import local_order_table, published_table
    from models.stage import PredictArise, PredictDiffraction
    from models.weights_file import model_metadata

    return {
        "detection": _detection_table(model_metadata(PredictArise.weights)["card"]["results"]),
        "accuracy-diffraction": robustness_tables(
            model_metadata(PredictDiffraction.weights)["card"]["results"]
        ),
        **{
            block: markdown_table(table.heading, table.rows)
            for block, table in (
                ("accuracy-published", published_table()),
                ("accuracy-local-order", local_order_table()),
            )
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
