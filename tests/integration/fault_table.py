"""The table of faults in connectors/README.md: what is expected, and what a test run saw."""

import re
from dataclasses import dataclass, field
from pathlib import Path

README = Path(__file__).parents[2] / "connectors" / "README.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->"
HEAD = "| fault | source | expected | seen |\n|---|---|---|---|\n"


@dataclass(frozen=True)
class Observation:
    """What a fault of a source led to."""

    fault: str
    source: str
    expected: str
    seen: str


@dataclass
class FaultTable:
    """Observations, in the order in which they are to be read."""

    observations: list[Observation] = field(default_factory=list)

    @classmethod
    def read(cls) -> "FaultTable":
        """Read the table in the README."""
        text = README.read_text()
        lines = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].splitlines()[2:]
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
        return cls(
            [
                Observation(fault, source, expected, seen)
                for fault, sources, expected, seen in cells
                for source in sources.split(", ")
            ]
        )

    def write(self) -> None:
        """Put the table into the README, observations that differ in their source only on one line."""
        lines: dict[tuple[str, str, str], list[str]] = {}
        for observation in self.observations:
            key = (observation.fault, observation.expected, observation.seen)
            lines.setdefault(key, []).append(observation.source)
        rows = [
            f"| {fault} | {', '.join(sources)} | {expected} | {seen} |\n"
            for (fault, expected, seen), sources in lines.items()
        ]
        text = README.read_text()
        before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        README.write_text(before + HEAD + "".join(rows) + after)


def cell(text: str) -> str:
    """A text as it stands in a cell: without line ends, bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")
