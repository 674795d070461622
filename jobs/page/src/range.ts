/** The legend of a number: its distribution in the colours of the map, over which a range can be dragged. */

import type { Column } from "./columns";
import { scaleOf, share, type Scale } from "./colouring";
import { el, svg } from "./dom";
import { number } from "./format";
import { css, gradient } from "./palette";
import type { State } from "./state";

const BINS = 48;
const HEIGHT = 72;
const WIDTH = 240;

export class RangeLegend {
  readonly element: HTMLElement;
  private readonly scale: Scale;
  private readonly picture = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    class: "distribution",
  });
  private readonly low = bound("From");
  private readonly high = bound("To");
  private anchor: number | null = null;

  constructor(
    private readonly state: State,
    private readonly column: Column,
  ) {
    this.scale = scaleOf(column, state.meta.rows);
    const ends = el(
      "div",
      { class: "ends numeric" },
      el("span", {}, number(this.scale.low)),
      el("span", {}, number(this.scale.high)),
    );
    const fields = el(
      "div",
      { class: "bounds" },
      el("label", {}, "from", this.low),
      el("label", {}, "to", this.high),
    );
    this.element = el("div", { class: "range" }, this.picture, ends, fields);
    for (const input of [this.low, this.high]) input.addEventListener("change", () => this.typed());
    this.picture.addEventListener("pointerdown", (event) => this.press(event as PointerEvent));
    this.picture.addEventListener("pointermove", (event) => this.drag(event as PointerEvent));
    this.picture.addEventListener("pointerup", () => (this.anchor = null));
  }

  render(): void {
    const filter = this.state.filters.get(this.column.name);
    const range = filter?.kind === "range" ? filter : null;
    this.low.value =
      range === null || range.low === -Infinity ? "" : String(Number(range.low.toPrecision(4)));
    this.high.value =
      range === null || range.high === Infinity ? "" : String(Number(range.high.toPrecision(4)));
    const counts = this.counts();
    const most = Math.max(1, ...counts);
    const bars = counts.map((many, i) => {
      const part = (i + 0.5) / BINS;
      const value = this.valueAt(part);
      const out = range !== null && (value < range.low || value > range.high);
      const height = many === 0 ? 0 : Math.max(1.5, (HEIGHT - 2) * Math.sqrt(many / most));
      const fill = css(gradient(part, this.state.theme));
      return svg("rect", {
        x: (i * WIDTH) / BINS,
        width: WIDTH / BINS - 0.6,
        y: HEIGHT - height,
        height,
        fill,
        opacity: out ? 0.25 : 1,
      });
    });
    this.picture.replaceChildren(...bars);
  }

  /** Rows per bin that pass the other filters; the square root of them is drawn. */
  private counts(): number[] {
    const rows = new Uint8Array(this.state.meta.rows);
    this.state.passing(rows, this.column.name);
    const counts = new Array<number>(BINS).fill(0);
    for (let row = 0; row < rows.length; row++) {
      const value = this.column.value(row);
      if (rows[row] !== 1 || Number.isNaN(value)) continue;
      counts[Math.min(BINS - 1, Math.max(0, Math.floor(BINS * share(this.scale, value))))]++;
    }
    return counts;
  }

  private valueAt(part: number): number {
    const { low, high, log } = this.scale;
    return log ? low * (high / low) ** part : low + part * (high - low);
  }

  private partAt(event: PointerEvent): number {
    const box = this.picture.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / Math.max(1, box.width)));
  }

  private press(event: PointerEvent): void {
    this.anchor = this.partAt(event);
    this.picture.setPointerCapture(event.pointerId);
    this.state.setFilter(this.column.name, null);
  }

  private drag(event: PointerEvent): void {
    if (this.anchor === null) return;
    const [first, last] = [this.anchor, this.partAt(event)].sort((a, b) => a - b);
    if (last - first < 0.01) return;
    this.set(first <= 0 ? -Infinity : this.valueAt(first), last >= 1 ? Infinity : this.valueAt(last));
  }

  private typed(): void {
    const low = this.low.value === "" ? -Infinity : Number(this.low.value);
    const high = this.high.value === "" ? Infinity : Number(this.high.value);
    if (!Number.isNaN(low) && !Number.isNaN(high)) this.set(low, high);
  }

  private set(low: number, high: number): void {
    const all = low === -Infinity && high === Infinity;
    this.state.setFilter(this.column.name, all ? null : { kind: "range", low, high });
  }
}

function bound(name: string): HTMLInputElement {
  return el("input", {
    type: "text",
    inputmode: "decimal",
    "aria-label": name,
    placeholder: "any",
    autocomplete: "off",
  });
}
