/** Starts the page. */

import { Columns } from "./columns";
import { readMeta } from "./data";
import { Details } from "./details";
import { byId } from "./dom";
import { Drawer } from "./drawer";
import { FilterBar } from "./filters";
import { count } from "./format";
import { installHook } from "./hook";
import { startKeyboard } from "./keyboard";
import { Legend } from "./legend";
import { MapView } from "./map";
import { Novelty, RANK } from "./novel";
import { overview } from "./overview";
import { Panels, type Actions } from "./panels";
import { Search } from "./search";
import { SearchBox } from "./searchbox";
import { State } from "./state";
import { StructureSource } from "./structures";
import { startTheme } from "./theme";
import { Toolbar } from "./toolbar";

interface Read {
  state: State;
  source: StructureSource;
  novelty: Novelty | null;
}

async function read(): Promise<Read> {
  const meta = readMeta();
  byId("loading-words").textContent = `Reading ${count(meta.rows)} structures …`;
  const [columns, source, novelty] = await Promise.all([
    Columns.read(meta),
    StructureSource.read(meta),
    Novelty.read(meta),
  ]);
  return { state: new State(meta, columns), source, novelty };
}

function actionsOf(state: State, map: MapView): Actions {
  return {
    structure: (row) => {
      state.open(row);
      map.reveal(row);
    },
    cluster: (code) => {
      if (state.selection !== null) state.select(null);
      state.setFilter("cluster", { kind: "codes", codes: new Set([code]) });
      map.show(state.shownRows());
    },
    category: (column, code) => {
      if (state.selection !== null) state.select(null);
      state.setFilter(column, { kind: "codes", codes: new Set([code]) });
      if (column !== "cluster") state.setColour(column);
      map.show(state.shownRows());
    },
    equivalents: (rank) => {
      if (state.selection !== null) state.select(null);
      state.setFilter(RANK, { kind: "range", low: rank, high: rank });
      map.show(state.shownRows());
    },
  };
}

function start({ state, source, novelty }: Read): void {
  startTheme(state);
  byId("title").textContent = state.meta.title;
  const map = new MapView(state, (row) => source.neighbors(row).map((neighbor) => neighbor.row));
  const actions = actionsOf(state, map);
  const drawer = new Drawer();
  const panels = new Panels(state, novelty, map, actions, () => drawer.setOpen(true));
  new Legend(state);
  new FilterBar(state);
  new Details(state, source, novelty, () => overview(state), actions);
  const toolbar = new Toolbar(map, state);
  const search = new SearchBox(state, new Search(state), {
    structure: (row) => {
      state.open(row);
      map.reveal(row, true);
    },
    category: actions.category,
    all: (rows, query) => {
      state.select(rows, query);
      map.show(state.shownRows());
    },
  });
  startKeyboard(state, map, search, (tool) => toolbar.choose(tool));
  state.on(["selection"], () => {
    if (state.selection === null) return;
    panels.tabs.show("structures");
    drawer.setOpen(true);
  });
  const help = byId("help") as HTMLDialogElement;
  byId("help-button").addEventListener("click", () => help.showModal());
  byId("help-close").addEventListener("click", () => help.close());
  installHook(state, map);
}

async function main(): Promise<void> {
  try {
    start(await read());
    document.documentElement.dataset.state = "ready";
  } catch (error) {
    document.documentElement.dataset.state = "error";
    byId("loading-words").textContent = error instanceof Error ? error.message : String(error);
    throw error;
  }
}

void main();
