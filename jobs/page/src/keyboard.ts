/** Keys of the page and of the map. */

import { byId } from "./dom";
import type { MapView } from "./map";
import type { SearchBox } from "./searchbox";
import type { State } from "./state";
import type { Tool } from "./pointer";

const STEP = 80;

/** `choose` shows in the toolbar which tool is in use. */
export function startKeyboard(
  state: State,
  map: MapView,
  search: SearchBox,
  choose: (tool: Tool) => void,
): void {
  const surface = byId("overlay");
  const help = byId("help") as HTMLDialogElement;
  surface.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey && mapKey(event.key, map, choose))
      event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.key === "Escape" && !help.open) {
      clear(state, map);
      return;
    }
    if (isTyping(event.target)) return;
    if (event.key === "/") search.focus();
    else if (event.key === "?") help.showModal();
    else return;
    event.preventDefault();
  });
}

/** The selection first, then the structure in the details, then the filters. */
function clear(state: State, map: MapView): void {
  map.cancelDrawing();
  if (state.selection !== null) state.select(null);
  else if (state.active !== null) state.open(null);
  else if (state.filters.size > 0) state.clearFilters();
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
}

function mapKey(key: string, map: MapView, choose: (tool: Tool) => void): boolean {
  const moves: Record<string, [number, number]> = {
    ArrowLeft: [STEP, 0],
    ArrowRight: [-STEP, 0],
    ArrowUp: [0, STEP],
    ArrowDown: [0, -STEP],
  };
  const actions: Record<string, () => void> = {
    "+": () => map.camera.zoomBy(0.5),
    "=": () => map.camera.zoomBy(0.5),
    "-": () => map.camera.zoomBy(-0.5),
    "0": () => map.camera.showAll(),
    Home: () => map.camera.showAll(),
    Enter: () => map.openMiddle(),
    v: () => choose("move"),
    l: () => choose("lasso"),
    r: () => choose("rectangle"),
    a: () => map.selectView(),
  };
  if (key in moves) map.camera.pan(...moves[key]);
  else if (key in actions) actions[key]();
  else return false;
  return true;
}
