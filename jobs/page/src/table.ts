/** A table of any length, of which only what is seen is in the page. */

import { el } from "./dom";

export interface TableColumn {
  title: string;
  width: number;
  numeric?: boolean;
  cell: (item: number) => Node | string;
  compare?: (a: number, b: number) => number;
}

const HEIGHT = 30;
const SPARE = 6;
/** Browsers place nothing farther down than some 33 million pixels. */
const TALLEST = 15_000_000;

/** Items are numbers that the columns know how to show. Arrow keys move, Enter opens. */
export class Table {
  readonly element: HTMLElement;
  private readonly body = el("div", { class: "table-body", role: "rowgroup" });
  private readonly head = el("div", { class: "table-head", role: "row" });
  private items: ArrayLike<number> = [];
  private sorted: { column: number; falling: boolean } | null = null;
  private current = 0;
  private marked: number | null = null;

  constructor(
    name: string,
    private readonly columns: TableColumn[],
    private readonly open: (item: number) => void,
  ) {
    const width = columns.reduce((sum, column) => sum + column.width, 0);
    for (const part of [this.head, this.body]) part.style.minWidth = `${width}px`;
    const tracks = columns.map((column) => `minmax(${column.width}px, ${column.width}fr)`).join(" ");
    this.element = el(
      "div",
      { class: "table", role: "grid", "aria-label": name, tabindex: "0" },
      this.head,
      this.body,
    );
    this.element.style.setProperty("--tracks", tracks);
    this.element.addEventListener("scroll", () => this.render(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.render()).observe(this.element);
    this.renderHead();
  }

  setItems(items: ArrayLike<number>): void {
    this.items = items;
    this.current = 0;
    this.sort();
    this.element.scrollTop = 0;
    this.render();
  }

  /** The items in the order shown. */
  get order(): ArrayLike<number> {
    return this.items;
  }

  /** Show which item is open. */
  mark(item: number | null): void {
    this.marked = item;
    this.render();
  }

  private renderHead(): void {
    const cells = this.columns.map((column, i) => {
      const sorted = this.sorted?.column === i ? (this.sorted.falling ? "descending" : "ascending") : "none";
      const arrow =
        sorted === "none"
          ? null
          : el("span", { class: "arrow", "aria-hidden": "true" }, sorted === "ascending" ? "↑" : "↓");
      const label = el(
        "button",
        { type: "button", onclick: () => this.sortBy(i), disabled: !column.compare },
        column.title,
        arrow,
      );
      const kind = column.numeric ? "cell numeric" : "cell";
      return el("div", { role: "columnheader", class: kind, "aria-sort": sorted }, label);
    });
    this.head.replaceChildren(...cells);
  }

  private sortBy(column: number): void {
    const again = this.sorted?.column === column;
    const falling = again ? !this.sorted?.falling : this.columns[column].numeric === true;
    this.sorted = { column, falling };
    this.sort();
    this.renderHead();
    this.render();
  }

  private sort(): void {
    const compare = this.sorted === null ? undefined : this.columns[this.sorted.column].compare;
    if (compare === undefined || this.sorted === null) return;
    const sign = this.sorted.falling ? -1 : 1;
    this.items = Array.from(this.items).sort((a, b) => sign * compare(a, b) || a - b);
  }

  private render(): void {
    const { scrollTop, clientHeight } = this.element;
    const all = this.items.length;
    this.body.style.height = `${Math.min(all * HEIGHT, TALLEST)}px`;
    const stretch = all * HEIGHT > TALLEST ? (all * HEIGHT - clientHeight) / (TALLEST - clientHeight) : 1;
    const top = scrollTop * stretch;
    const first = Math.max(0, Math.floor(top / HEIGHT) - SPARE);
    const last = Math.min(all, Math.ceil((top + clientHeight) / HEIGHT) + SPARE);
    const rows = [];
    for (let i = first; i < last; i++) rows.push(this.row(i, i * HEIGHT - top + scrollTop));
    this.element.setAttribute("aria-rowcount", String(all + 1));
    this.body.replaceChildren(...rows);
  }

  private row(place: number, top: number): HTMLElement {
    const item = this.items[place];
    const names = ["row", item === this.marked ? "marked" : "", place === this.current ? "current" : ""];
    const attributes = {
      role: "row",
      class: names.join(" ").trim(),
      "aria-rowindex": place + 2,
      "aria-selected": String(item === this.marked),
      onclick: () => this.take(place),
    };
    const cells = this.columns.map((column) =>
      el("div", { role: "gridcell", class: column.numeric ? "cell numeric" : "cell" }, column.cell(item)),
    );
    const row = el("div", attributes, ...cells);
    row.style.transform = `translateY(${top}px)`;
    return row;
  }

  private take(place: number): void {
    this.current = place;
    this.open(this.items[place]);
    this.render();
  }

  private key(event: KeyboardEvent): void {
    if (event.target !== this.element) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / HEIGHT) - 2);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -this.items.length,
      End: this.items.length,
    };
    if (event.key === "Enter" && this.items.length > 0) this.take(this.current);
    else if (event.key in steps) this.step(steps[event.key]);
    else return;
    event.preventDefault();
  }

  private step(by: number): void {
    this.current = Math.max(0, Math.min(this.items.length - 1, this.current + by));
    const top = this.current * HEIGHT;
    const seen = this.element.clientHeight - 2 * HEIGHT;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top > this.element.scrollTop + seen) this.element.scrollTop = top - seen;
    this.render();
  }
}
