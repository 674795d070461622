"""Tables of figures in Markdown files, generated so that no number in a text is typed by hand.

`python -m jobs.bench.readme README.md soap.json inference.json` replaces what stands between
`<!-- figures:soap -->` and `<!-- /figures:soap -->` by the report of `crysift bench soap --json`, and so on
for every report named; the blocks `accuracy` and `accuracy-diffraction`, where the file has them, are filled
from the cards of the shipped models.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import CrysiftError

DETECTORS = ("ood_score", "mutual_information", "predictive_entropy", "variation_ratio")


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
    machine = report["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores; {'; '.join(report['remarks'])}."
    return f"{_table(('figure', 'measured', 'goal'), rows)}\n\n{where}"


def accuracy_tables(results: Mapping[str, Any]) -> str:
    """Lay out the accuracies and the detection of unknown prototypes from a model's card."""
    accuracies = [(name, _percent(value)) for name, value in results["accuracies"].items()]
    return f"{_table(('structures', '% correct'), accuracies)}\n\n{_detection_table(results)}"


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
    return f"{_table(heading, rows)}\n\n{_detection_table(results)}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _detection_table(results: Mapping[str, Any]) -> str:
    rows = [
        (f"`{score}`", *(_detection(results["detection"][score][side]) for side in ("mild", "strong")))
        for score in DETECTORS
    ]
    return _table(("score", "AUROC, false alarms: mild defects", "strong defects"), rows)


def _number(value: float) -> str:
    """Three significant digits, without an exponent for large numbers."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _detection(figures: Mapping[str, float]) -> str:
    return f"{figures['auroc']:.3f}, {100 * figures['false_alarms']:.1f} %"


def _table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heading), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(target: str, *reports: str) -> None:
    """Fill the blocks of the file `target` from JSON reports, and accuracies from the models' cards."""
    path = Path(target)
    text = path.read_text(encoding="utf-8")
    loaded = [json.loads(Path(report).read_text(encoding="utf-8")) for report in reports]
    blocks = {report["benchmark"]: report_table(report) for report in loaded}
    of_cards = {name: block for name, block in _accuracies().items() if f"<!-- figures:{name} -->" in text}
    path.write_text(fill(text, blocks | of_cards), encoding="utf-8")


def _accuracies() -> dict[str, str]:
    """Accuracies of the shipped models, by the name of their block."""
    from models.stage import PredictArise, PredictDiffraction
    from models.weights_file import model_metadata

    return {
        "accuracy": accuracy_tables(model_metadata(PredictArise.weights)["card"]["results"]),
        "accuracy-diffraction": robustness_tables(
            model_metadata(PredictDiffraction.weights)["card"]["results"]
        ),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
