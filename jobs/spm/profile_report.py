"""The end of a profile: on the terminal, and as pictures and tables in a folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.spm.field import read_field
from jobs.spm.profiles import (
    ProfileSettings,
    Shell,
    change,
    distances_of,
    profile,
    reference_frames,
    write_changes,
    write_profiles,
)
from jobs.tables import rich_table

if TYPE_CHECKING:
    from engine.spm.field import Field
    from engine.store import Store
    from jobs.console import Console
    from jobs.spm.pipeline import SpmTables


def report_profiles(store: Store, tables: SpmTables, settings: ProfileSettings, out: Path) -> dict[str, Any]:
    """Compute profiles and differences, write them to the store and the folder, and return the summary."""
    from jobs.spm.profiles_drawing import draw_changes, draw_profiles, draw_shares

    field = read_field(tables.grid, tables.geometry)
    profiles = [
        profile(field, frame, distances_of(settings, tables.atoms, tables.geometry, frame), settings.width)
        for frame in range(field.frames)
    ]
    written = [
        write_profiles(store, tables, settings, profiles),
        write_changes(store, tables, settings, field),
    ]
    out.mkdir(parents=True, exist_ok=True)
    _write_csv(out / "profiles.csv", profiles)
    draw_profiles(out / "profiles.png", settings.origin, profiles)
    draw_shares(out / "classes.png", settings.origin, profiles)
    files = [out / "profiles.csv", out / "profiles.png", out / "classes.png"]
    if field.frames > 1:
        files += draw_changes(out, field, settings.reference)
    return {
        "store": store.folder.url,
        "name": tables.atoms.name,
        "origin": settings.origin,
        "frames": [_frame(field, frame, shells) for frame, shells in enumerate(profiles)],
        "changes": [_change(field, *pair) for pair in reference_frames(field.frames, settings.reference)],
        "tables": {table.name: table.folder.url for table in written if table is not None},
        "files": sorted(map(str, files)),
    }


def _frame(field: Field, frame: int, shells: Sequence[Shell]) -> dict[str, Any]:
    """Tell a frame's uncertainty, and at which distance half of it is within."""
    values = field.mutual_information[frame][field.classified[frame]]
    half = next((shell.upper for shell in shells if shell.cumulative_share >= 0.5), None)
    return {
        "frame": frame,
        "classified": len(values),
        "mutual_information": float(values.mean()) if len(values) else None,
        "first_shell": shells[0].mean if shells else None,
        "last_shell": shells[-1].mean if shells else None,
        "half_within": half,
    }


def _change(field: Field, frame: int, reference: int) -> dict[str, Any]:
    """Tell how the boxes that are classified in both frames differ."""
    both = field.classified[frame] & field.classified[reference]
    values = change(field, frame, reference)[both]
    other = field.prototype[frame][both] != field.prototype[reference][both]
    return {
        "frame": frame,
        "compared_with": reference,
        "boxes": int(both.sum()),
        "mean_change": float(values.mean()) if len(values) else None,
        "mean_absolute_change": float(np.abs(values).mean()) if len(values) else None,
        "other_class": float(other.mean()) if len(values) else None,
    }


def _write_csv(path: Path, profiles: Sequence[Sequence[Shell]]) -> None:
    rows = [
        {"frame": frame, **{name: value for name, value in shell._asdict().items() if name != "shares"}}
        | {f"share_{label}": share for label, share in shell.shares.items()}
        for frame, shells in enumerate(profiles)
        for shell in shells
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["frame"])
        writer.writeheader()
        writer.writerows(rows)


def print_profiles(console: Console, summary: Mapping[str, Any]) -> None:
    """Print the frames, their differences, and where everything is."""
    import pyarrow as pa

    title = f"Mutual information of the frames (nat), by distance from the {summary['origin']} (Å)"
    console.show(rich_table(pa.Table.from_pylist(summary["frames"]), title, decimals=3))
    if summary["changes"]:
        title = "Differences between frames (nat)"
        console.show(rich_table(pa.Table.from_pylist(summary["changes"]), title, decimals=3))
    for name, place in [*summary["tables"].items(), *(("written:", file) for file in summary["files"])]:
        console.say(f"  {name:<13} {place}")
