"""What `crysift train arise --from-clusters` says of the classes that it proposes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from engine.store import Store
from jobs.additions import Candidates
from jobs.proposals.propose import Proposal, ProposalSettings, propose, write_proposal
from jobs.tables import rich_table
from models import DEFAULT_WEIGHTS
from models.weights_file import load_model

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.console import Console
    from models.weights_file import Model

LEFT_OUT_SHOWN = 5


@dataclass(frozen=True)
class FromClusters:
    """New classes that a store's dense clusters of novel structures show."""

    store: str
    weights: str
    """The model to which they are novel, by name or folder."""
    settings: ProposalSettings
    output: Path
    """Folder that the proposal is written into."""
    console: Console

    def __call__(self, base: Model) -> Candidates:
        """Propose them, tell of them and write them."""
        proposal, _ = self.proposed(base)
        return Candidates(proposal.prototypes, [])

    def proposed(self, base: Model) -> tuple[Proposal, Path]:
        """Likewise; return the proposal and the file that it is in."""
        proposal = propose(Store.open(self.store), base, self.weights, self.settings)
        file = write_proposal(proposal, self.output)
        print_proposal(self.console, proposal, file)
        return proposal, file

    def tell(self) -> dict[str, Any]:
        """Propose and tell how to train what is proposed; return it as JSON values."""
        proposal, file = self.proposed(load_model(self.weights))
        command = ["crysift", "train", "arise", "--add", str(file), "--output", str(self.output)]
        if self.weights != DEFAULT_WEIGHTS["arise"]:
            command += ["--weights", self.weights]
        self.console.say("Strike out in it what is to be no class, rename what is, and train them:")
        self.console.say(escape(f"  {shlex.join(command)}"))
        return {"file": file, "command": shlex.join(command), **proposal.told()}


def print_proposal(console: Console, proposal: Proposal, file: Path) -> None:
    """Print the classes as a table, and what is left out."""
    console.show(rich_table(_shown(proposal), f"{len(proposal.classes)} new classes", decimals=3))
    for each in proposal.left_out[:LEFT_OUT_SHOWN]:
        console.note(f"left out: {each}")
    if len(proposal.left_out) > LEFT_OUT_SHOWN:
        console.note(f"… and {len(proposal.left_out) - LEFT_OUT_SHOWN:,} more groups, all in {file}")
    if proposal.further:
        console.note(
            f"{len(proposal.further):,} more groups are as dense, the largest with "
            f"{proposal.further[0].count:,} members: raise --max-classes for them"
        )
    console.say(escape(f"The proposed classes: {file}"))


def _shown(proposal: Proposal) -> pa.Table:
    import pyarrow as pa

    rows = [
        {
            "label": each.label,
            "members": each.count,
            "groups": len(each.groups),
            "purity": each.purity,
            "prototype": each.examples[0].source,
            "atoms": len(each.examples[0].species),
            "nearest class": each.neighbor.nearest,
            "distance": each.neighbor.distance,
            "formulas": ", ".join(each.told()["formulas"]),
        }
        for each in proposal.classes
    ]
    return pa.Table.from_pylist(rows)
