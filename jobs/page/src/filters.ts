/** The filters and the selection, each with a button that takes it away. */

import { button, byId, el, icon, isolated } from "./dom";
import { count, counted, number, shortened } from "./format";
import type { Filter, State } from "./state";

const CROSS = "m4.5 4.5 7 7M11.5 4.5l-7 7";

export class FilterBar {
  private readonly bar = byId("filters");

  constructor(private readonly state: State) {
    state.on(["visible", "selection"], () => this.render());
    this.render();
  }

  private render(): void {
    const { state } = this;
    const chips = [...state.filters].map(([name, filter]) =>
      this.chip(`${state.columns.get(name).title}: ${this.words(name, filter)}`, () =>
        state.setFilter(name, null),
      ),
    );
    if (state.selection !== null)
      chips.push(this.chip(this.selected(state.selection), () => state.select(null)));
    const all = `${count(state.visibleCount)} of ${counted(state.meta.rows, "structure")}`;
    const total = state.filters.size > 0 ? all : counted(state.meta.rows, "structure");
    this.bar.replaceChildren(el("span", { class: "total", role: "status" }, total), ...chips);
  }

  private chip(text: string, remove: () => void): HTMLElement {
    return el(
      "span",
      { class: "chip" },
      isolated(shortened(text, 90)),
      button(`Remove ${shortened(text, 60)}`, remove, icon(CROSS)),
    );
  }

  private selected(rows: Uint32Array): string {
    const { selectionName } = this.state;
    const many = counted(rows.length, "structure");
    return selectionName === "lasso" ? `${many} selected` : `“${shortened(selectionName, 30)}”: ${many}`;
  }

  private words(name: string, filter: Filter): string {
    if (filter.kind === "codes") {
      const labels = this.state.columns.get(name).labels;
      const first = [...filter.codes].slice(0, 2).map((code) => shortened(labels[code], 34));
      const rest = filter.codes.size - first.length;
      return first.join(", ") + (rest > 0 ? ` and ${rest} more` : "");
    }
    if (filter.low === filter.high) return number(filter.low);
    if (filter.low === -Infinity) return `≤ ${number(filter.high)}`;
    if (filter.high === Infinity) return `≥ ${number(filter.low)}`;
    return `${rounded(filter.low)} … ${rounded(filter.high)}`;
  }
}

function rounded(value: number): string {
  return number(Number(value.toPrecision(3)));
}
