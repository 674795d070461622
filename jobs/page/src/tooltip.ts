/** A few words about the point under the pointer. */

import type { Camera } from "./camera";
import { byId, el, formula, isolated } from "./dom";
import { shortened } from "./format";
import type { Point } from "./geometry";
import type { State } from "./state";

const LIMIT = 60;

export class Tooltip {
  private readonly box = byId("tooltip");

  constructor(private readonly state: State) {}

  show(row: number | null, at: Point | null, camera: Camera): void {
    if (row === null || at === null) {
      this.box.hidden = true;
      return;
    }
    this.box.replaceChildren(...this.lines(row));
    this.box.hidden = false;
    const { offsetWidth, offsetHeight } = this.box;
    const left = at.x + 16 + offsetWidth > camera.width ? at.x - 14 - offsetWidth : at.x + 16;
    const top = at.y + 16 + offsetHeight > camera.height ? at.y - 12 - offsetHeight : at.y + 16;
    this.box.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  }

  private lines(row: number): HTMLElement[] {
    const { columns, colour } = this.state;
    const text = (name: string): string => shortened(columns.get(name).text(row), LIMIT);
    const lines = [
      el(
        "div",
        { class: "tooltip-title" },
        formula(text("formula")),
        isolated(text("structure_id"), "quiet"),
      ),
      this.line("prototype", row),
    ];
    if (columns.get("is_ood").value(row) === 1)
      lines.push(el("div", { class: "warning" }, "out of distribution"));
    if (colour !== "prototype" && colour !== "is_ood") lines.push(this.line(colour, row));
    return lines;
  }

  private line(name: string, row: number): HTMLElement {
    const column = this.state.columns.get(name);
    const value = shortened(column.text(row), LIMIT) || "–";
    return el("div", { class: "tooltip-line" }, el("span", {}, column.title), isolated(value));
  }
}
