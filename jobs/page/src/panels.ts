/** The panels under the map. */

import { csv, save } from "./csv";
import type { Histogram } from "./data";
import { button, el, icon, sentence } from "./dom";
import { count, counted, number } from "./format";
import type { MapView } from "./map";
import { novelPanel, type Novelty } from "./novel";
import { factList } from "./overview";
import type { State } from "./state";
import type { Table } from "./table";
import { clusterTable, prototypeTable, rejectTable, structureTable, tableColumns } from "./tables";
import { Tabs, type Tab } from "./tabs";

export interface Actions {
  structure: (row: number) => void;
  cluster: (code: number) => void;
  category: (column: string, code: number) => void;
  /** Show the structures of a novel structure's rank. */
  equivalents: (rank: number) => void;
}

export class Panels {
  readonly tabs: Tabs;
  private readonly structures: Table;
  private readonly strange: Table;
  private readonly words = el("span", { class: "panel-words", role: "status" });
  private readonly clear: HTMLButtonElement;
  private readonly uncertainty = el("div", { class: "histogram" });

  constructor(
    private readonly state: State,
    private readonly novelty: Novelty | null,
    private readonly map: MapView,
    actions: Actions,
    opened: () => void,
  ) {
    this.structures = structureTable(state, "Structures", actions.structure);
    this.strange = structureTable(state, "Structures out of distribution", actions.structure);
    this.strange.setItems(state.meta.panels.ood);
    this.clear = button("Clear the selection", () => state.select(null), "Clear selection");
    this.tabs = new Tabs(this.list(actions), opened);
    this.tabs.setBadge("clusters", count(state.meta.clusters.length));
    if (novelty !== null) this.tabs.setBadge("novel", count(novelty.count));
    const strange = state.meta.panels.ood.length;
    this.tabs.setBadge("ood", strange > 1 ? `strangest ${count(strange)}` : "");
    state.on(["selection", "visible"], () => this.update());
    state.on(["active"], () => {
      this.structures.mark(state.active);
      this.strange.mark(state.active);
    });
    state.on(["visible"], () => this.drawUncertainty());
    this.drawUncertainty();
    this.update();
  }

  private list(actions: Actions): Tab[] {
    const { state } = this;
    const { panels, clusters, run } = state.meta;
    const prototypes = state.columns.get("prototype");
    const byName = (name: string): void => {
      const code = prototypes.stored.indexOf(name);
      if (code >= 0) actions.category("prototype", code);
    };
    const cluster = (code: number): void => {
      actions.cluster(code);
      state.open(clusters[code].medoid_row ?? state.active);
    };
    const rejects =
      panels.rejects.length > 0
        ? rejectTable(panels.rejects).element
        : sentence("notice", "No structure was rejected.");
    const groups =
      clusters.length > 0
        ? clusterTable(state.meta, cluster).element
        : sentence("notice", "The map has no clusters.");
    const novel =
      this.novelty === null
        ? []
        : [{ id: "novel", title: "Novel structures", element: novelPanel(state, this.novelty, actions) }];
    return [
      { id: "structures", title: "Structures", element: this.structurePanel() },
      ...novel,
      { id: "clusters", title: "Clusters", element: groups },
      { id: "prototypes", title: "Prototypes", element: prototypeTable(state.meta, byName).element },
      { id: "uncertainty", title: "Uncertainty", element: this.uncertainty },
      { id: "ood", title: "Out of distribution", element: this.strange.element },
      { id: "rejects", title: "Rejects", element: rejects },
      { id: "run", title: "Run", element: factList(run) },
    ];
  }

  private structurePanel(): HTMLElement {
    const download = button(
      "Download the table as CSV",
      () => this.download(),
      icon("M8 2v8M4.5 7 8 10.5 11.5 7M3 13.5h10"),
      "CSV",
    );
    download.id = "download";
    const zoom = button(
      "Show these on the map",
      () => this.map.show(this.state.shownRows()),
      "Zoom to these",
    );
    const bar = el(
      "div",
      { class: "panel-bar" },
      this.words,
      el("span", { class: "grow" }),
      this.clear,
      zoom,
      download,
    );
    return el("div", { class: "panel-column" }, bar, this.structures.element);
  }

  private update(): void {
    const rows = this.state.shownRows();
    const selected = this.state.selection !== null;
    this.structures.setItems(rows);
    this.words.textContent = `${counted(rows.length, "structure")}${selected ? " selected" : ""}`;
    this.clear.hidden = !selected;
    this.tabs.setBadge("structures", count(rows.length));
  }

  private download(): void {
    const columns = [...tableColumns(this.state), this.state.columns.get("x"), this.state.columns.get("y")];
    save(csv(columns, this.structures.order), "crysift-structures.csv");
  }

  /** The histogram of the mutual information; a bar is a filter. */
  private drawUncertainty(): void {
    const histogram = this.state.meta.panels.uncertainty;
    if (histogram === null || histogram.counts.length === 0) {
      this.uncertainty.replaceChildren(sentence("notice", "There are no predictions."));
      return;
    }
    const column = this.state.columns.get("mutual_information");
    this.uncertainty.replaceChildren(
      el("p", { class: "quiet" }, `${column.heading}; choose a bar to see its structures`),
      el(
        "div",
        { class: "bars", role: "group", "aria-label": `Distribution of ${column.title}` },
        ...this.bars(histogram),
      ),
      el("div", { class: "ends numeric" }, ...ticks(histogram).map((tick) => el("span", {}, number(tick)))),
    );
  }

  private bars(histogram: Histogram): HTMLElement[] {
    const most = Math.max(1, ...histogram.counts);
    const filter = this.state.filters.get("mutual_information");
    return histogram.counts.map((many, i) => {
      const [low, high] = [histogram.edges[i], histogram.edges[i + 1]];
      const chosen = filter?.kind === "range" && filter.low === low && filter.high === high;
      const words = `${number(low)} … ${number(high)}: ${counted(many, "structure")}`;
      const toggle = (): void =>
        this.state.setFilter("mutual_information", chosen ? null : { kind: "range", low, high });
      const attributes = {
        type: "button",
        title: words,
        "aria-label": words,
        "aria-pressed": String(chosen),
        onclick: toggle,
      };
      const bar = el("button", attributes, el("span", { class: "count" }, count(many)));
      bar.style.setProperty("--share", String(many / most));
      return bar;
    });
  }
}

function ticks({ edges }: Histogram): number[] {
  const last = edges.length - 1;
  return [0, 0.25, 0.5, 0.75, 1].map((part) => Number(edges[Math.round(part * last)].toPrecision(3)));
}
