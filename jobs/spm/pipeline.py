"""Strided pattern matching from Python: from the frames of a structure to a class for every box."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError
from jobs.spm.refine import Refine, levels
from models import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from engine.execution import Listener
    from engine.spm import AtomsTable, Boxes, BoxSoapStage, Frame, Grid, GridSettings, SoapMode
    from engine.stage import Device, Stage
    from engine.store import Store, Table
    from jobs.settings import ExecutionSettings
    from models.adaptive import Passes
    from models.stage import PredictBoxes


def _grid() -> GridSettings:
    from engine.spm import GridSettings

    return GridSettings()


@dataclass(frozen=True, kw_only=True)
class SpmRequest:
    """A structure, of one or more frames, and what determines the numbers of its boxes.

    All frames get one grid, laid over all their atoms. `name` begins the `structure_id` of every box. With
    `refine` a coarse grid is classified first, and of the other boxes only those that it leaves in doubt.
    """

    name: str
    frames: Sequence[Frame]
    grid: GridSettings = field(default_factory=_grid)
    mode: SoapMode = "exact"
    passes: Passes = 1000
    seed: int = 0
    weights: str = DEFAULT_WEIGHTS["arise"]
    top: int = 5
    alpha: float = 0.05
    classes: tuple[str, ...] = ()
    """Prototypes whose probabilities are kept for every box, beside the `top` ones."""
    refine: Refine | None = None
    device: Device = "auto"

    def network(self, geometry: Grid) -> PredictBoxes:
        """Return the stage that classifies the boxes of a grid.

        Raises CrysiftError for weights of another network and for classes that they do not know.
        """
        from models.stage import PredictBoxes

        stage = PredictBoxes(
            grid=geometry,
            passes=self.passes,
            seed=self.seed,
            weights=self.weights,
            top=self.top,
            alpha=self.alpha,
            classes=self.classes,
            device=self.device,
        )
        _ = stage.reads  # refuses weights of another architecture
        return stage

    def descriptor(self, atoms: AtomsTable, geometry: Grid) -> BoxSoapStage:
        """Return the stage that describes the boxes as the network reads them."""
        from engine.descriptors.soap import SoapSettings
        from engine.spm import BoxSoapStage
        from models.weights_file import model_metadata

        of_model = {**model_metadata(self.weights)["features"], "backend": "kernel"}
        return BoxSoapStage(atoms, geometry, SoapSettings(**of_model), self.mode, self.grid.min_atoms)

    def as_json(self) -> dict[str, Any]:
        """Return what determines the numbers, but for the atoms, as JSON values."""
        plain = {name: getattr(self, name) for name in ("name", "mode", "seed", "weights", "top", "alpha")}
        return {
            **plain,
            "passes": self.passes if isinstance(self.passes, int) else asdict(self.passes),
            **asdict(self.grid),
            "classes": list(self.classes),
            "refine": asdict(self.refine) if self.refine else None,
        }


@dataclass(frozen=True)
class SpmTables:
    """The tables of one analysis and the geometry of its boxes."""

    atoms: AtomsTable
    boxes: Table
    soap: Table
    grid: Table
    geometry: Grid


def run_spm(
    store: Store, request: SpmRequest, execution: ExecutionSettings, listener: Listener | None = None
) -> SpmTables:
    """Classify every box of a structure; what the store holds of it is not computed again.

    Raises CrysiftError for what the caller can mend: no atoms, a box larger than the structure, settings that
    are not those of the store.
    """
    from engine.execution.events import ignore
    from jobs.pipeline import recorded_run

    with (
        execution.cluster.connected(),
        recorded_run(store, "spm", request.as_json(), listener or ignore) as (run, tell),
    ):
        tables = _Run(store, request, execution, tell).tables()
        run.finish(counts(tables))
    return tables


def open_spm(store: Store) -> SpmTables:
    """Return the analysis in a store with the newest results.

    Raises CrysiftError where there is none, or where a table that it came from is gone.
    """
    from engine.spm import AtomsTable, Grid

    grid = store.latest("spm_grid")
    soap = _source(store, grid)
    boxes = _source(store, soap)
    atoms = AtomsTable(_source(store, boxes))
    return SpmTables(atoms, boxes, soap, grid, Grid.from_json(grid.fingerprint.settings))


def counts(tables: SpmTables) -> dict[str, Any]:
    """Count boxes by their fate, as JSON values."""
    import pyarrow.compute as pc

    statuses = pc.value_counts(tables.grid.scan(["status"]).to_table()["status"]).to_pylist()
    found = {each["values"]: each["counts"] for each in statuses}
    geometry, frames = tables.geometry, len(tables.atoms.counts)
    return {
        "name": tables.atoms.name,
        "frames": frames,
        "atoms": sum(tables.atoms.counts),
        "boxes": geometry.n_boxes * frames,
        "evaluated": sum(found.values()),
        "classified": found.get("ok", 0),
        "sparse": found.get("sparse", 0),
        "failed": found.get("failed", 0),
        "boxes_along_axes": list(geometry.counts),
    }


def _source(store: Store, table: Table) -> Table:
    """Find the table that another one was made from."""
    wanted = table.fingerprint.source_table
    for candidate in store.tables():
        if candidate.folder.name == wanted:
            return candidate
    raise CrysiftError(
        f"{table.folder.url} was made from {wanted}, which is gone: run `crysift spm` in a new store"
    )


@dataclass(frozen=True)
class _Run:
    """One run: where, of what, how, and who is told."""

    store: Store
    request: SpmRequest
    execution: ExecutionSettings
    tell: Listener

    def tables(self) -> SpmTables:
        """Write the atoms and the boxes, and derive the rest; with refinement level by level."""
        from engine.spm import AtomsTable, Grid, write_boxes

        asked = self.request
        atoms = AtomsTable.write(self.store, asked.name, asked.frames, allow_new=self.execution.add_table)
        geometry = Grid.over(*atoms.bounds, asked.grid)
        predict = asked.network(geometry)
        stages = asked.descriptor(atoms, geometry), predict
        boxes = self._boxes_table(atoms, geometry, predict)
        self._refuse_other_settings(boxes, stages)
        derived: dict[str, Table] = {}
        for parts in self._levels(geometry, derived):
            write_boxes(boxes, geometry, atoms.name, parts)
            derived.update(self._derive(boxes, stages))
        return SpmTables(atoms, boxes, derived["spm_soap"], derived["spm_grid"], geometry)

    def _boxes_table(self, atoms: AtomsTable, geometry: Grid, predict: PredictBoxes) -> Table:
        """Return the table of the boxes; which ones there are with refinement depends on the model, too."""
        from engine.spm import boxes_table

        settings: dict[str, object] = {"mode": self.request.mode}
        if self.request.refine:
            passes = predict.settings()["passes"]
            chosen_by = {"model": predict.model_hash(), "passes": passes, "seed": predict.seed}
            settings |= self.request.refine.as_json() | {f"refine_{k}": v for k, v in chosen_by.items()}
        return boxes_table(self.store, atoms, geometry, settings, allow_new=self.execution.add_table)

    def _refuse_other_settings(self, boxes: Table, stages: Sequence[Stage]) -> None:
        """Raise, before any work, where the store holds results of other settings."""
        from engine.schema import SPM_BOXES
        from engine.stage import check_reads
        from engine.store import Fingerprint

        source, written, writer = boxes, SPM_BOXES, boxes.name
        for stage in stages:
            check_reads(stage, written, writer)
            source = self.store.derived(Fingerprint.of(stage, source), self.execution.add_table)
            written, writer = stage.writes, stage.name

    def _levels(self, geometry: Grid, derived: Mapping[str, Table]) -> Iterator[Iterable[tuple[str, Boxes]]]:
        """Yield the boxes to classify next; of `derived` the results so far are read."""
        from engine.spm import parts_of_blocks

        asked = self.request
        if asked.refine is None:
            yield parts_of_blocks(asked.frames, geometry, asked.mode)
        else:
            yield from levels(asked.refine, asked.frames, geometry, asked.mode, derived)

    def _derive(self, boxes: Table, stages: Sequence[Stage]) -> dict[str, Table]:
        from jobs.pipeline import derive_all

        return derive_all(self.store, stages, self.execution, self.tell, {boxes.name: boxes})
