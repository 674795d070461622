/** `window.crysift`: what scripts and tests may read and do. */

import type { MapView } from "./map";
import type { State } from "./state";

export interface Hook {
  /** True once the page answers; `document.documentElement.dataset.state` is then "ready" too. */
  readonly ready: boolean;
  /** Structures in the page, and those that pass the filters. */
  readonly rows: number;
  readonly visible: number;
  /** Rows of the selection, null without one. */
  readonly selected: number | null;
  /** The row in the details. */
  readonly active: number | null;
  /** Pictures of the points drawn so far; 0 without WebGL 2. */
  readonly frames: number;
  /** Where a row is in the window, in CSS pixels; null where it has no place. */
  position(row: number): { x: number; y: number } | null;
  /** Show a row in the details. */
  open(row: number): void;
  /** Move the map by pixels. */
  pan(dx: number, dy: number): void;
}

export function installHook(state: State, map: MapView): void {
  const hook: Hook = {
    ready: true,
    rows: state.meta.rows,
    get visible() {
      return state.visibleCount;
    },
    get selected() {
      return state.selection?.length ?? null;
    },
    get active() {
      return state.active;
    },
    get frames() {
      return map.scatter?.frames ?? 0;
    },
    position(row) {
      if (!map.isPlaced(row)) return null;
      const at = map.place(row);
      const screen = map.camera.toScreen(at.x, at.y);
      const box = map.box;
      return { x: box.left + screen.x, y: box.top + screen.y };
    },
    open: (row) => state.open(row),
    pan: (dx, dy) => map.camera.pan(dx, dy),
  };
  (window as Window & { crysift?: Hook }).crysift = hook;
}
