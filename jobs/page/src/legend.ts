/** The legend of the colours, which is a filter too. */

import type { Column } from "./columns";
import { categoryColours, frequencies } from "./colouring";
import { byId, el, isolated } from "./dom";
import { count, shortened } from "./format";
import { RangeLegend } from "./range";
import { css, other } from "./palette";
import { named } from "./search";
import type { State } from "./state";

const FEW = 40;

export class Legend {
  private readonly choice = byId("colour") as HTMLSelectElement;
  private readonly body = byId("legend");
  private everything = false;
  private range: RangeLegend | null = null;
  private shown: string | null = null;

  constructor(private readonly state: State) {
    for (const column of state.columns.colourable) {
      this.choice.append(el("option", { value: column.name }, shortened(column.heading, 60)));
    }
    this.choice.addEventListener("change", () => state.setColour(this.choice.value));
    state.on(["colour", "visible", "look"], () => this.render());
    this.render();
  }

  private render(): void {
    const column = this.state.columns.get(this.state.colour);
    this.choice.value = column.name;
    if (this.shown !== column.name) this.everything = false;
    const description = column.meta.description;
    byId("colour-description").textContent = description ?? "";
    if (!column.isCategory) {
      if (this.shown !== column.name) this.range = new RangeLegend(this.state, column);
      if (this.range !== null && !this.body.contains(this.range.element))
        this.body.replaceChildren(this.range.element);
      this.range?.render();
    } else {
      this.renderCategories(column);
    }
    this.shown = column.name;
  }

  private renderCategories(column: Column): void {
    const { state } = this;
    const rows = new Uint8Array(state.meta.rows);
    state.passing(rows, column.name);
    const { counts } = frequencies(column, rows);
    const all = frequencies(column, rows.fill(1));
    const colours = categoryColours(state, column);
    const codes = column.meta.kind === "boolean" ? [1, 0] : all.codes.filter((code) => all.counts[code] > 0);
    const listed = this.everything
      ? codes
      : codes.filter((code, i) => i < FEW || state.hasCode(column.name, code));
    const focused =
      document.activeElement instanceof HTMLElement ? document.activeElement.dataset.code : undefined;
    const list = el(
      "ul",
      { class: "legend-list" },
      ...listed.map((code) => {
        const colour = css(colours.get(code) ?? other(state.theme));
        return el("li", {}, this.entry(column, code, colour, counts[code]));
      }),
    );
    const scrolled = this.body.scrollTop;
    this.body.replaceChildren(list);
    if (listed.length < codes.length) this.body.append(this.more(codes.length - listed.length));
    this.body.scrollTop = scrolled;
    if (focused !== undefined) this.body.querySelector<HTMLElement>(`[data-code="${focused}"]`)?.focus();
  }

  private entry(column: Column, code: number, colour: string, many: number): HTMLElement {
    const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = colour;
    const label = column.labels[code];
    const attributes = {
      type: "button",
      "data-code": code,
      "aria-pressed": String(this.state.hasCode(column.name, code)),
      title: shortened(named(column, code), 200),
      onclick: () => this.state.toggleCode(column.name, code),
    };
    return el(
      "button",
      attributes,
      swatch,
      isolated(shortened(label, 80), "name"),
      el("span", { class: "numeric quiet" }, count(many)),
    );
  }

  private more(many: number): HTMLElement {
    const onclick = (): void => {
      this.everything = true;
      this.render();
    };
    return el("button", { type: "button", class: "text-button", onclick }, `Show ${count(many)} more`);
  }
}
