/** What is shown, and who is told when it changes. */

import type { Columns } from "./columns";
import type { Meta } from "./data";

export type Filter = { kind: "codes"; codes: Set<number> } | { kind: "range"; low: number; high: number };

/**
 * colour: which column; visible: which rows pass the filters; active: the structure in the details;
 * hover: the one under the pointer; look: theme, size of points, labels.
 */
export type Change = "colour" | "visible" | "selection" | "active" | "hover" | "look";

export type Theme = "light" | "dark";

export class State {
  colour = "cluster";
  readonly filters = new Map<string, Filter>();
  /** 1 where a row passes all filters. */
  readonly visible: Uint8Array;
  visibleCount: number;
  selection: Uint32Array | null = null;
  selectionName = "";
  active: number | null = null;
  hover: number | null = null;
  theme: Theme = "light";
  pointScale = 1;
  labels = true;
  /** The structures that were in the details before. */
  readonly trail: number[] = [];
  private readonly listeners = new Map<Change, (() => void)[]>();

  constructor(
    readonly meta: Meta,
    readonly columns: Columns,
  ) {
    this.visible = new Uint8Array(meta.rows).fill(1);
    this.visibleCount = meta.rows;
  }

  on(changes: Change[], listener: () => void): void {
    for (const change of changes) {
      const list = this.listeners.get(change);
      if (list === undefined) this.listeners.set(change, [listener]);
      else list.push(listener);
    }
  }

  emit(change: Change): void {
    for (const listener of this.listeners.get(change) ?? []) listener();
  }

  setColour(name: string): void {
    this.colour = name;
    this.emit("colour");
  }

  /** Show rows whose value is in `filter` only; null shows all. */
  setFilter(name: string, filter: Filter | null): void {
    if (filter === null) this.filters.delete(name);
    else this.filters.set(name, filter);
    this.refilter();
  }

  clearFilters(): void {
    this.filters.clear();
    this.refilter();
  }

  /** Add a code to the filter of a column, or take it away. */
  toggleCode(name: string, code: number): void {
    const filter = this.filters.get(name);
    const codes = new Set(filter?.kind === "codes" ? filter.codes : []);
    if (!codes.delete(code)) codes.add(code);
    this.setFilter(name, codes.size === 0 ? null : { kind: "codes", codes });
  }

  hasCode(name: string, code: number): boolean {
    const filter = this.filters.get(name);
    return filter?.kind === "codes" && filter.codes.has(code);
  }

  private refilter(): void {
    this.visibleCount = this.passing(this.visible);
    this.emit("visible");
  }

  /** Write 1 where a row passes all filters but that of the column `except`; returns how many do. */
  passing(into: Uint8Array, except?: string): number {
    into.fill(1);
    for (const [name, filter] of this.filters) {
      if (name === except) continue;
      const column = this.columns.get(name);
      for (let row = 0; row < into.length; row++)
        if (into[row] === 1) into[row] = Number(passes(filter, column.value(row)));
    }
    return into.reduce((sum, one) => sum + one, 0);
  }

  select(rows: Uint32Array | null, name = ""): void {
    this.selection = rows;
    this.selectionName = name;
    this.emit("selection");
  }

  /** Rows of the selection, or all, that pass the filters. */
  shownRows(): Uint32Array {
    if (this.selection !== null) return this.selection.filter((row) => this.visible[row] === 1);
    const rows = new Uint32Array(this.visibleCount);
    let next = 0;
    for (let row = 0; row < this.visible.length; row++) if (this.visible[row] === 1) rows[next++] = row;
    return rows;
  }

  open(row: number | null): void {
    if (row === this.active) return;
    if (this.active !== null) this.trail.push(this.active);
    this.active = row;
    this.emit("active");
  }

  /** Open the structure before. */
  back(): void {
    const row = this.trail.pop();
    if (row === undefined) return;
    this.active = row;
    this.emit("active");
  }

  setHover(row: number | null): void {
    if (row === this.hover) return;
    this.hover = row;
    this.emit("hover");
  }
}

function passes(filter: Filter, value: number): boolean {
  if (filter.kind === "codes") return filter.codes.has(value);
  return value >= filter.low && value <= filter.high;
}
