/** The buttons on the map. */

import { button, byId, el, icon } from "./dom";
import type { MapView } from "./map";
import type { Tool } from "./pointer";
import type { State } from "./state";

const ICONS = {
  move: "M8 2v12M2 8h12M8 2 6 4M8 2l2 2M8 14l-2-2M8 14l2-2M2 8l2-2M2 8l2 2M14 8l-2-2M14 8l-2 2",
  lasso: "M8 2.5c3.6 0 6 1.7 6 4s-2.4 4-6 4-6-1.7-6-4 2.4-4 6-4ZM5 10c-1 .8-.9 2.2.3 2.4 1 .2 1.4-.6 1-1.3",
  rectangle: "M2.5 3.5h11v9h-11z",
  view: "M2 5V2h3M11 2h3v3M14 11v3h-3M5 14H2v-3M5.5 5.5h5v5h-5z",
  closer: "M8 3v10M3 8h10",
  farther: "M3 8h10",
  all: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
};

export class Toolbar {
  private readonly tools: [Tool, HTMLButtonElement][];

  constructor(
    private readonly map: MapView,
    state: State,
  ) {
    this.tools = [
      ["move", button("Move (V)", () => this.choose("move"), icon(ICONS.move))],
      ["lasso", button("Lasso (L, or drag with Shift)", () => this.choose("lasso"), icon(ICONS.lasso))],
      ["rectangle", button("Rectangle (R)", () => this.choose("rectangle"), icon(ICONS.rectangle))],
    ];
    const view = button("Select what is in view (A)", () => map.selectView(), icon(ICONS.view));
    const zooms = [
      button("Zoom in (+)", () => map.camera.zoomBy(0.75), icon(ICONS.closer)),
      button("Zoom out (−)", () => map.camera.zoomBy(-0.75), icon(ICONS.farther)),
      button("Show everything (0)", () => map.camera.showAll(), icon(ICONS.all)),
    ];
    byId("toolbar").replaceChildren(
      group("Tools", [...this.tools.map(([, one]) => one), view]),
      group("View", zooms),
    );
    this.choose("move");
    const size = byId("point-size") as HTMLInputElement;
    size.addEventListener("input", () => {
      state.pointScale = 2 ** Number(size.value);
      map.refresh();
    });
    const labels = byId("labels") as HTMLInputElement;
    labels.addEventListener("change", () => {
      state.labels = labels.checked;
      map.refresh();
    });
  }

  choose(tool: Tool): void {
    this.map.setTool(tool);
    for (const [name, one] of this.tools) one.setAttribute("aria-pressed", String(name === tool));
  }
}

function group(name: string, buttons: HTMLElement[]): HTMLElement {
  return el("div", { role: "group", "aria-label": name, class: "tools" }, ...buttons);
}
