/** A structure in three dimensions, drawn by 3Dmol.js. */

import { MOST_ATOMS, atomsOf, cellShape, edgesOf } from "./crystal";
import type { Structure } from "./data";
import { button, byId, el, icon } from "./dom";
import { counted } from "./format";
import { elementOf } from "./elements";
import { css } from "./palette";

const SIZES = [1, 2, 3];
const TURN = 15;

function jmol(element: string): string {
  const value = $3Dmol.elementColors.Jmol[element] ?? 0x808080;
  return css([value >> 16, (value >> 8) & 255, value & 255]);
}

/** One viewer for all structures, since a page may have few WebGL contexts. */
export class StructureViewer {
  readonly element: HTMLElement;
  private readonly stage = el("div", {
    class: "stage",
    tabindex: "0",
    role: "application",
    "aria-label": "Structure in 3D: arrow keys turn it, plus and minus zoom",
  });
  private readonly species = el("div", { class: "species" });
  private readonly cell = el("div", { class: "cell-shape" });
  private readonly sizes: HTMLButtonElement[];
  private viewer: MolViewer | null = null;
  private structure: Structure | null = null;
  private repeats = 1;

  constructor() {
    this.sizes = SIZES.map((size) =>
      el("button", { type: "button", onclick: () => this.repeat(size), title: sizeTitle(size) }, `${size}×`),
    );
    const whole = button(
      "Show the whole structure",
      () => this.reset(),
      icon("M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"),
    );
    const bar = el(
      "div",
      { class: "stage-bar", role: "group", "aria-label": "Cells shown" },
      ...this.sizes,
      whole,
    );
    this.element = el(
      "div",
      { class: "structure" },
      el("div", { class: "stage-frame" }, this.stage, bar),
      this.species,
      this.cell,
    );
    this.stage.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.viewer?.resize()).observe(this.stage);
  }

  /** Show a structure; the element must be in the page. Returns why it cannot be shown, or null. */
  show(structure: Structure): string | null {
    if (structure.positions.length > MOST_ATOMS) {
      const sites = counted(structure.positions.length, "site");
      return `This structure has ${sites}; at most ${MOST_ATOMS} are drawn.`;
    }
    this.viewer ??= $3Dmol.createViewer(this.stage, { antialias: true }) ?? null;
    if (this.viewer === null) return "This browser has no WebGL, which drawings of structures need.";
    this.structure = structure;
    this.repeats = structure.positions.length <= 4 && structure.lattice !== null ? 2 : 1;
    this.describe(structure);
    this.draw();
    this.reset();
    return null;
  }

  /** Take it out of sight; it keeps a size, since 3Dmol.js goes on drawing and WebGL minds having none. */
  park(): void {
    byId("parking").append(this.element);
  }

  redraw(): void {
    if (this.structure !== null && this.viewer !== null) this.draw();
  }

  private repeat(size: number): void {
    this.repeats = size;
    this.draw();
    this.viewer?.zoomTo();
    this.viewer?.zoom(0.88);
    this.viewer?.render();
  }

  private reset(): void {
    this.viewer?.resize();
    this.viewer?.zoomTo();
    this.viewer?.rotate(-72, "x");
    this.viewer?.rotate(18, "y");
    this.viewer?.zoom(0.88);
    this.viewer?.render();
  }

  private draw(): void {
    const { structure, viewer } = this;
    if (structure === null || viewer === null) return;
    viewer.removeAllModels();
    viewer.removeAllShapes();
    const style = getComputedStyle(this.stage);
    viewer.setBackgroundColor(style.getPropertyValue("--map").trim(), 1);
    viewer.addModel().addAtoms(atomsOf(structure, this.repeats));
    viewer.setStyle(
      {},
      { sphere: { scale: 0.26, colorscheme: "Jmol" }, stick: { radius: 0.1, colorscheme: "Jmol" } },
    );
    const line = style.getPropertyValue("--quiet").trim();
    for (const [start, end] of edgesOf(structure, this.repeats)) {
      viewer.addCylinder({ start: point(start), end: point(end), color: line, radius: 0.022 * this.repeats });
    }
    viewer.render();
    const periodic = structure.lattice !== null && structure.pbc.includes(1);
    this.sizes.forEach((one, i) => {
      one.setAttribute("aria-pressed", String(SIZES[i] === this.repeats));
      one.disabled = SIZES[i] > 1 && (!periodic || structure.positions.length * SIZES[i] ** 3 > MOST_ATOMS);
    });
  }

  private describe(structure: Structure): void {
    const counts = new Map<string, number>();
    for (const name of structure.species) counts.set(elementOf(name), (counts.get(elementOf(name)) ?? 0) + 1);
    this.species.replaceChildren(
      ...[...counts].map(([element, many]) => {
        const dot = el("span", { class: "ball" });
        dot.style.background = jmol(element);
        return el("span", { class: "element" }, dot, element, el("span", { class: "quiet" }, String(many)));
      }),
    );
    this.cell.replaceChildren();
    if (structure.lattice === null) return;
    const { lengths, angles, volume } = cellShape(structure.lattice);
    const part = (name: string, text: string): HTMLElement => el("span", {}, el("i", {}, name), ` ${text}`);
    this.cell.append(
      ...["a", "b", "c"].map((name, i) => part(name, `${lengths[i].toFixed(3)} Å`)),
      ...["α", "β", "γ"].map((name, i) => part(name, `${angles[i].toFixed(1)}°`)),
      part("V", `${volume.toFixed(1)} Å³`),
    );
  }

  private key(event: KeyboardEvent): void {
    const turns: Record<string, [number, string]> = {
      ArrowLeft: [-TURN, "y"],
      ArrowRight: [TURN, "y"],
      ArrowUp: [-TURN, "x"],
      ArrowDown: [TURN, "x"],
    };
    if (event.key in turns) this.viewer?.rotate(...turns[event.key]);
    else if (event.key === "+" || event.key === "=") this.viewer?.zoom(1.2);
    else if (event.key === "-") this.viewer?.zoom(1 / 1.2);
    else return;
    this.viewer?.render();
    event.preventDefault();
    event.stopPropagation();
  }
}

function sizeTitle(size: number): string {
  return size === 1 ? "One unit cell" : `${size} × ${size} × ${size} unit cells`;
}

function point([x, y, z]: readonly [number, number, number]): { x: number; y: number; z: number } {
  return { x, y, z };
}
