"""Dense clusters of novel structures as new classes of the model to which they are novel."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError, check_between
from jobs.proposals.groups import Group, NovelGroups, novel_groups
from models.prototypes import class_prototypes, record_of
from models.training.additions import MAX_SITES, extensible, prototype_from, soap_of
from models.training.duplicates import Known, Neighbor

if TYPE_CHECKING:
    from engine.store import Store
    from models.prototypes import Prototype
    from models.weights_file import Model

FILE = "classes.json"
"""The proposed classes, as a table of prototypes."""
MAJORITY = 0.5
"""Share of a group's members that must have one protostructure for the group to show a class."""
FORMULAS = 3
"""Formulas that are shown of a class."""
MOST = 1_000_000


@dataclass(frozen=True)
class ProposalSettings:
    """Which clusters are dense, and how many classes are proposed."""

    min_members: int = 20
    """Members of a group of equivalent structures."""
    max_classes: int = 10
    """Classes that are proposed, those of the largest groups first."""

    def __post_init__(self) -> None:
        """Raise CrysiftError for numbers out of range."""
        check_between("--min-members", self.min_members, 2, MOST)
        check_between("--max-classes", self.max_classes, 1, MOST)


@dataclass(frozen=True)
class ProposedClass:
    """A class to be: one example from the middle of each of its `groups`, and the class it is nearest to."""

    label: str
    neighbor: Neighbor
    groups: list[Group] = field(default_factory=list)
    examples: list[Prototype] = field(default_factory=list)
    formulas: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Structures in its groups."""
        return sum(group.count for group in self.groups)

    @property
    def purity(self) -> float:
        """The share of them that have its protostructure."""
        return sum(group.labelled for group in self.groups) / self.count

    def take(self, group: Group, prototype: Prototype, formulas: Iterable[str], known: Known) -> None:
        """Take one more group of structures, and its prototype among those that are known."""
        example = replace(prototype, label=self.label, title=self.label)
        known.add([example])
        self.groups.append(group)
        self.examples.append(example)
        self.formulas.extend(each for each in formulas if each not in self.formulas)

    def told(self) -> dict[str, Any]:
        """What it is, as JSON values."""
        return {
            "label": self.label,
            "protostructure": self.groups[0].label,
            "space_group": self.examples[0].space_group,
            "members": self.count,
            "purity": self.purity,
            "formulas": self.formulas[:FORMULAS],
            "nearest": self.neighbor.nearest,
            "distance": self.neighbor.distance,
            "examples": [
                {"structure_id": example.source, "nsites": len(example.species), "of": asdict(group)}
                for group, example in zip(self.groups, self.examples, strict=True)
            ],
        }


@dataclass(frozen=True)
class LeftOut:
    """A dense group that is no class, and why."""

    group: Group
    reason: str

    def __str__(self) -> str:
        """For example ``32 like mp:mp-1: …``."""
        return f"{self.group.count:,} like {self.group.structure_id}: {self.reason}"


@dataclass(frozen=True)
class Proposal:
    """Classes to be, groups that cannot be one, and how many groups were not looked at for want of room."""

    store: str
    model: str
    settings: ProposalSettings
    classes: list[ProposedClass] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    further: list[Group] = field(default_factory=list)

    @property
    def prototypes(self) -> list[Prototype]:
        """The examples of all classes."""
        return [example for each in self.classes for example in each.examples]

    def told(self) -> dict[str, Any]:
        """The proposal as JSON values."""
        return {
            "store": self.store,
            "classes": [each.told() for each in self.classes],
            "left_out": [{**asdict(each.group), "reason": each.reason} for each in self.left_out],
            "further_groups": len(self.further),
        }


def propose(store: Store, base: Model, weights: str, settings: ProposalSettings) -> Proposal:
    """Propose classes for the model that a store was screened with, from its groups of novel structures.

    A dense group shows a class where most of its members have one protostructure, other than that of space
    group 1, and its prototype is no near-duplicate of a known class (`models.training.duplicates`). Its
    prototype is a member with that protostructure, of those with the fewest atoms the nearest to the middle.
    Groups of one protostructure are one class where that same measure cannot tell their prototypes apart,
    each an example; else they are classes of their own, as crystals of one protostructure may differ in free
    coordinates and axial ratios.

    Raises CrysiftError for a store that holds no novel structures of this model, where no group is dense,
    and where none can be a class.
    """
    extensible(base)
    proposal = Proposal(store.folder.url, base.sha256, settings)
    with novel_groups(store, base, weights) as groups:
        dense = groups.dense(settings.min_members)
        known = Known(class_prototypes(base.labels, base.card.get("added", ())), soap_of(base.features))
        for group in dense:
            _judge(proposal, group, groups, known, set(base.labels))
    if not proposal.classes:
        raise CrysiftError(
            f"of {len(dense):,} groups with {settings.min_members:,} or more novel structures none can be a "
            f"class. {'; '.join(map(str, proposal.left_out[:3]))}"
        )
    return proposal


def _judge(proposal: Proposal, group: Group, groups: NovelGroups, known: Known, taken: set[str]) -> None:
    """Make of a group a class or a further example of one, or leave it out; `taken` are the base's labels."""
    if reason := _no_class(group):
        proposal.left_out.append(LeftOut(group, reason))
        return
    same = {each.label: each for each in proposal.classes if each.groups[0].label == group.label}
    full = len(proposal.classes) >= proposal.settings.max_classes
    if full and not same:
        proposal.further.append(group)
        return
    members = groups.members(group)
    if members.nsites > MAX_SITES:
        too_large = f"its smallest cell has {members.nsites} atoms, and a prototype at most {MAX_SITES}"
        proposal.left_out.append(LeftOut(group, too_large))
        return
    label = _free_label(str(group.label), taken | same.keys())
    prototype = prototype_from(groups.structure(members.ids[0]), label)
    neighbor = known.nearest([prototype])
    if neighbor.nearest in same and neighbor.is_duplicate:
        same[neighbor.nearest].take(group, prototype, members.formulas, known)
    elif neighbor.is_duplicate:
        proposal.left_out.append(LeftOut(group, str(neighbor)))
    elif full:
        proposal.further.append(group)
    else:
        proposal.classes.append(ProposedClass(label, neighbor))
        proposal.classes[-1].take(group, prototype, members.formulas, known)


def _no_class(group: Group) -> str | None:
    """Why a group has no label that a class could have, if it has none."""
    if group.label is None:
        return "no member has a protostructure"
    if group.labelled < MAJORITY * group.count:
        return f"only {group.labelled} of {group.count} have the most frequent protostructure {group.label}"
    if group.label.split("_")[2] == "1":
        return f"its protostructure {group.label} has no symmetry"
    return None


def _free_label(label: str, taken: set[str]) -> str:
    """The label, or, if it is taken, with the first number from 2 on that makes it free."""
    number = 1
    free = label
    while free in taken:
        number += 1
        free = f"{label}-{number}"
    return free


def write_proposal(proposal: Proposal, folder: Path) -> Path:
    """Write the classes as a table of prototypes that `--add` takes, with where each comes from."""
    file = folder / FILE
    told = {
        **proposal.told(),
        "model": proposal.model,
        "settings": asdict(proposal.settings),
        "prototypes": [record_of(prototype) for prototype in proposal.prototypes],
    }
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return file
