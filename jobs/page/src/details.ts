/** What is known of one structure. */

import type { Column } from "./columns";
import { titleOf, type NovelStructure } from "./data";
import { button, byId, el, formula, icon, isolated, sentence } from "./dom";
import { count, number, percent, shortened } from "./format";
import { RANK, SELECTED, type Novelty } from "./novel";
import type { State } from "./state";
import type { StructureSource } from "./structures";
import type { Actions } from "./panels";
import { StructureViewer } from "./viewer";

/** Shown above the list of properties, not in it. */
const ABOVE = new Set(["structure_id", "formula", "prototype", "probability", "is_ood", "cluster"]);
/** Shown in the section on novelty, where there is one. */
const OF_NOVELTY = [SELECTED, "ood_q_value", "nearest_class", "nearest_training_id", "symmetry_class"];
const LONGEST = 300;

export class Details {
  private readonly panel = byId("details");
  private readonly viewer = new StructureViewer();

  constructor(
    private readonly state: State,
    private readonly source: StructureSource,
    private readonly novelty: Novelty | null,
    private readonly overview: () => HTMLElement,
    private readonly go: Pick<Actions, "structure" | "cluster" | "equivalents">,
  ) {
    state.on(["active"], () => this.render());
    state.on(["look"], () => this.viewer.redraw());
    this.render();
  }

  private render(): void {
    this.viewer.park();
    const row = this.state.active;
    if (row === null) {
      this.panel.replaceChildren(this.overview());
      return;
    }
    const place = el("div", { class: "structure-place" });
    this.panel.replaceChildren(
      this.head(row),
      place,
      this.candidates(row),
      ...(this.novelty === null ? [] : [this.selection(row, this.novelty)]),
      this.properties(row),
      this.neighbors(row),
    );
    this.panel.scrollTop = 0;
    void this.showStructure(row, place);
  }

  private text(name: string, row: number): string {
    return shortened(this.state.columns.get(name).text(row), LONGEST);
  }

  private head(row: number): HTMLElement {
    const { state } = this;
    const id = state.columns.get("structure_id").text(row);
    const unknown = state.columns.get("is_ood").value(row) === 1;
    const back = button("Back to the structure before", () => state.back(), icon("M10 3 5 8l5 5"));
    back.disabled = state.trail.length === 0;
    const close = button("Close", () => state.open(null), icon("m4 4 8 8M12 4l-8 8"));
    const copy = button(
      "Copy the identifier",
      () => void navigator.clipboard?.writeText(id).catch(() => undefined),
      icon("M6 6h7v7H6zM3 10V3h7"),
    );
    return el(
      "div",
      { class: "details-head" },
      el("div", { class: "details-bar" }, back, el("span", { class: "grow" }), close),
      el("h2", {}, formula(this.text("formula", row) || "no formula")),
      el("div", { class: "identifier" }, isolated(shortened(id, LONGEST)), copy),
      el(
        "div",
        { class: "chips" },
        unknown ? el("span", { class: "chip warning" }, "out of distribution") : null,
        this.novelChip(row),
        this.clusterChip(row),
      ),
    );
  }

  private novelChip(row: number): HTMLElement | null {
    const rank = this.state.columns.find(RANK)?.value(row) ?? NaN;
    return Number.isNaN(rank) ? null : el("span", { class: "chip warning" }, `novel, rank ${count(rank)}`);
  }

  private clusterChip(row: number): HTMLElement | null {
    const column = this.state.columns.get("cluster");
    const code = column.value(row);
    if (Number.isNaN(code)) return el("span", { class: "chip" }, "not on the map");
    const label = shortened(column.text(row), 60);
    if (code >= this.state.meta.clusters.length) return el("span", { class: "chip" }, "in no cluster");
    const show = (): void => this.go.cluster(code);
    return el(
      "button",
      { type: "button", class: "chip", onclick: show, title: "Show this cluster" },
      isolated(label),
    );
  }

  private async showStructure(row: number, place: HTMLElement): Promise<void> {
    const { meta } = this.state;
    try {
      const structure = await this.source.structure(row);
      if (this.state.active !== row) return;
      if (structure === null) {
        const reason =
          meta.served === false
            ? "This file, whose size is limited, has no atoms of this structure. `crysift serve` shows all."
            : "The store has no atoms of this structure.";
        place.replaceChildren(sentence("notice", reason));
        return;
      }
      place.replaceChildren(this.viewer.element);
      const reason = this.viewer.show(structure);
      if (reason === null) return;
      this.viewer.park();
      place.replaceChildren(sentence("notice", reason));
    } catch (error) {
      if (this.state.active !== row) return;
      const reason = error instanceof Error ? error.message : String(error);
      place.replaceChildren(sentence("notice", `The atoms of this structure could not be read: ${reason}`));
    }
  }

  private candidates(row: number): HTMLElement {
    const section = el("section", {}, el("h3", {}, "Prototype"));
    const label = this.state.columns.get("prototype").storedText(row);
    let found = this.source.candidates(row);
    if (found.length === 0 && label !== "") {
      found = [{ name: label, probability: this.state.columns.get("probability").value(row) }];
    }
    if (found.length === 0) section.append(el("p", { class: "quiet" }, "None was predicted."));
    if (label !== this.text("prototype", row))
      section.append(isolated(shortened(label, LONGEST), "label quiet"));
    for (const { name, probability } of found) {
      const title = titleOf(this.state.meta, name);
      const bar = el("span", { class: "bar" });
      bar.style.setProperty("--share", String(probability));
      section.append(
        el(
          "div",
          { class: "candidate", title: shortened(name, LONGEST) },
          isolated(title, "name"),
          el("span", { class: "numeric" }, percent(probability)),
          bar,
        ),
      );
    }
    return section;
  }

  private properties(row: number): HTMLElement {
    const above = new Set([...ABOVE, ...(this.novelty === null ? [] : [...OF_NOVELTY, RANK])]);
    const columns = this.state.columns.described.filter((column) => !above.has(column.name));
    return el("section", {}, el("h3", {}, "Properties"), this.facts(columns, row));
  }

  private facts(columns: Column[], row: number): HTMLElement {
    const list = el("dl", { class: "facts" });
    for (const column of columns) {
      list.append(
        el("dt", { title: column.meta.description }, column.title),
        el("dd", {}, ...this.value(column, row)),
      );
    }
    return list;
  }

  /** What the screening said of it, and which structures it is equivalent to. */
  private selection(row: number, novelty: Novelty): HTMLElement {
    const { columns } = this.state;
    const section = el("section", { class: "novelty" }, el("h3", {}, "Novelty"));
    const rank = columns.get(RANK).value(row);
    if (!Number.isNaN(rank)) section.append(this.novel(row, rank, novelty));
    section.append(
      this.facts(
        OF_NOVELTY.map((name) => columns.get(name)),
        row,
      ),
    );
    return section;
  }

  private novel(row: number, rank: number, novelty: Novelty): HTMLElement {
    const place = `Novel structure ${count(rank)} of ${count(novelty.count)}`;
    const found = novelty.ranked(rank);
    if (found === undefined) return el("p", {}, `${place}.`);
    if (found.count === 1) return el("p", {}, `${place}, which no other is equivalent to.`);
    const many = `${count(found.count)} equivalent structures`;
    const show = button(`Show the ${many}`, () => this.go.equivalents(rank));
    show.className = "text-button";
    const stands =
      found.row === row
        ? [`${place}, the representative of ${many}.`]
        : [`${place}, represented by `, this.representative(found), "."];
    return el("p", {}, ...stands, el("br"), show);
  }

  private representative({ row, structure_id }: NovelStructure): HTMLElement {
    const id = shortened(structure_id, LONGEST);
    if (row === null) return isolated(`${id} (not on the map as screened)`);
    const open = (): void => this.go.structure(row);
    return el("button", { type: "button", class: "text-button", onclick: open }, isolated(id));
  }

  private value(column: Column, row: number): (Node | string)[] {
    const text = shortened(column.text(row), LONGEST);
    if (text === "") return [el("span", { class: "quiet" }, "–")];
    return column.meta.unit
      ? [text, el("span", { class: "unit" }, ` ${column.meta.unit}`)]
      : [isolated(text)];
  }

  private neighbors(row: number): HTMLElement {
    const found = this.source.neighbors(row);
    const section = el("section", {}, el("h3", {}, "Nearest structures"));
    if (found.length === 0) section.append(el("p", { class: "quiet" }, "None are known."));
    const list = el("ul", { class: "neighbors" });
    for (const neighbor of found) {
      const open = el(
        "button",
        { type: "button", onclick: () => this.go.structure(neighbor.row) },
        formula(this.text("formula", neighbor.row)),
        el("span", { class: "numeric" }, number(neighbor.distance)),
        isolated(this.text("structure_id", neighbor.row), "quiet"),
        isolated(this.text("prototype", neighbor.row), "quiet end"),
      );
      list.append(el("li", {}, open));
    }
    section.append(list);
    return section;
  }
}
