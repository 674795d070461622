/** The map: camera, points, what lies above them, and the tools. */

import { Camera } from "./camera";
import { draw } from "./colouring";
import { byId } from "./dom";
import { count, counted } from "./format";
import { CellGrid, boundingBox, coreBox, type Box, type Point } from "./geometry";
import { Overlay, shortLabel } from "./overlay";
import { Pace } from "./pace";
import { Pointer, type Tool } from "./pointer";
import { Scatter, canDraw } from "./scatter";
import type { State } from "./state";
import { Tooltip } from "./tooltip";

const REACH = 8;

export class MapView {
  readonly camera: Camera;
  readonly placed: Uint32Array;
  readonly drawable: boolean;
  scatter: Scatter | null = null;
  private readonly frame = byId("map");
  private readonly surface = byId("overlay") as HTMLCanvasElement;
  private readonly overlay = new Overlay(this.surface);
  private readonly tooltip: Tooltip;
  private readonly pointer: Pointer;
  private readonly pace: Pace;
  private readonly grid: CellGrid;
  private readonly xs: ArrayLike<number>;
  private readonly ys: ArrayLike<number>;
  private lasso: Point[] = [];
  private scheduled = 0;
  private stale = true;
  private moves = false;

  constructor(
    private readonly state: State,
    private readonly neighbors: (row: number) => number[],
  ) {
    this.xs = state.columns.get("x").array;
    this.ys = state.columns.get("y").array;
    this.placed = Uint32Array.from(this.xs, (_, row) => row).filter((row) => this.isPlaced(row));
    const box = boundingBox(this.placed, this.xs, this.ys);
    this.grid = new CellGrid(this.placed, this.xs, this.ys, box);
    const motion = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.pace = new Pace(() => this.schedule());
    this.camera = new Camera(
      () => this.move(),
      () => motion.matches,
    );
    this.tooltip = new Tooltip(state);
    this.pointer = new Pointer(this.surface, this.camera, {
      drawing: (corners) => {
        this.lasso = corners;
        this.schedule(false);
      },
      drawn: (corners) => this.selectInside(corners),
      click: (at) => this.click(at),
      hover: (at) => this.hover(at),
    });
    this.drawable = canDraw();
    if (this.drawable) this.startDrawing();
    else byId("no-webgl").hidden = false;
    new ResizeObserver(() => this.resize()).observe(this.frame);
    this.resize();
    this.camera.setHome(box);
    this.listen();
  }

  private startDrawing(): void {
    const canvas = byId("points") as HTMLCanvasElement;
    this.scatter = new Scatter(canvas, this.xs, this.ys, this.camera, (error) => {
      byId("no-webgl").hidden = false;
      byId("no-webgl-reason").textContent = error.message;
    });
  }

  private listen(): void {
    const { state } = this;
    const redraw = (): void => {
      this.scatter?.setDrawing(draw(state, this.placed));
      this.describe();
      this.schedule();
    };
    state.on(["colour", "visible", "selection", "look"], redraw);
    state.on(["active", "hover"], () => this.schedule(false));
    this.surface.addEventListener("focus", () => this.schedule(false));
    this.surface.addEventListener("blur", () => this.schedule(false));
    redraw();
  }

  isPlaced(row: number): boolean {
    return Number.isFinite(this.xs[row]) && Number.isFinite(this.ys[row]);
  }

  place(row: number): Point {
    return { x: this.xs[row], y: this.ys[row] };
  }

  /** Where the map is in the window. */
  get box(): DOMRect {
    return this.frame.getBoundingClientRect();
  }

  setTool(tool: Tool): void {
    this.pointer.tool = tool;
    this.frame.dataset.tool = tool;
  }

  cancelDrawing(): void {
    this.pointer.cancel();
  }

  /** Bring rows into view. */
  show(rows: Uint32Array): void {
    if (rows.length === 0) return;
    this.camera.show(padded(coreBox(rows, this.xs, this.ys)));
  }

  reveal(row: number, closer = false): void {
    if (this.isPlaced(row)) this.camera.reveal(this.place(row), closer);
  }

  /** Select the visible points that the map shows now. */
  selectView(): void {
    const { width, height } = this.camera;
    this.selectInside([
      { x: 0, y: 0 },
      { x: width, y: 0 },
      { x: width, y: height },
      { x: 0, y: height },
    ]);
  }

  /** Open the structure nearest to the middle. */
  openMiddle(): void {
    const { width, height } = this.camera;
    this.click({ x: width / 2, y: height / 2 }, Math.max(width, height));
  }

  private selectInside(corners: Point[]): void {
    const polygon = corners.map((corner) => this.camera.toMap(corner.x, corner.y));
    this.state.select(this.grid.inside(polygon, this.state.visible), "lasso");
  }

  private under(at: Point, reach: number): number | null {
    const distance = Math.max(reach, this.radius + 2) / this.camera.scale;
    return this.grid.nearest(this.camera.toMap(at.x, at.y), distance, this.state.visible);
  }

  private click(at: Point, reach = REACH): void {
    const row = this.under(at, reach);
    if (row !== null) this.state.open(row);
  }

  private hover(at: Point | null): void {
    const row = at === null ? null : this.under(at, REACH);
    this.state.setHover(row);
    this.tooltip.show(row, at, this.camera);
    this.frame.classList.toggle("pointing", row !== null);
  }

  private get radius(): number {
    const { camera, placed, state } = this;
    const room = Math.sqrt((camera.width * camera.height) / Math.max(1, placed.length));
    const base = Math.min(4.5, Math.max(0.9, 0.42 * room));
    const growth = 2 ** (0.38 * (camera.zoom - camera.homeZoom));
    return Math.min(11, Math.max(0.6, base * growth * state.pointScale));
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.frame;
    this.overlay.resize(clientWidth, clientHeight);
    this.camera.resize(clientWidth, clientHeight);
  }

  /** Draw again what is seen. */
  refresh(): void {
    this.schedule();
  }

  private move(): void {
    this.moves = true;
    this.schedule();
  }

  /** Draw in the next frame; the points only where they are stale. */
  private schedule(points = true): void {
    this.stale ||= points;
    if (this.scheduled !== 0) return;
    this.scheduled = requestAnimationFrame(() => {
      this.scheduled = 0;
      this.paint();
    });
  }

  private paint(): void {
    const { state } = this;
    const point = (row: number | null): Point | null =>
      row !== null && this.isPlaced(row) ? this.place(row) : null;
    if (this.moves) this.pace.moved();
    if (this.stale) this.scatter?.update(this.radius, this.moves ? this.pace.every : 1);
    this.stale = false;
    this.moves = false;
    this.overlay.draw(
      {
        labels: state.labels ? this.labels() : [],
        reserved: this.reserved(),
        active: point(state.active),
        hover: point(state.hover),
        neighbors: this.activeNeighbors(),
        lasso: this.lasso,
        cross: document.activeElement === this.surface && this.surface.matches(":focus-visible"),
        radius: this.radius,
      },
      this.camera,
    );
  }

  /** Where buttons and filters lie. */
  private reserved(): Box[] {
    const frame = this.box;
    return [byId("toolbar"), ...byId("filters").children].map((cover) => {
      const { left, right, top, bottom } = cover.getBoundingClientRect();
      return {
        left: left - frame.left,
        right: right - frame.left,
        bottom: top - frame.top,
        top: bottom - frame.top,
      };
    });
  }

  private activeNeighbors(): Point[] {
    if (this.state.active === null) return [];
    return this.neighbors(this.state.active)
      .filter((row) => this.isPlaced(row))
      .map((row) => this.place(row));
  }

  private labels(): { text: string; x: number; y: number }[] {
    const labels = [];
    const named = this.state.filters.has("cluster");
    for (const [code, cluster] of this.state.meta.clusters.entries()) {
      if (cluster.x === null || cluster.y === null) continue;
      if (named && !this.state.hasCode("cluster", code)) continue;
      labels.push({ text: shortLabel(cluster), x: cluster.x, y: cluster.y });
    }
    return labels;
  }

  private describe(): void {
    const { state } = this;
    const column = state.columns.get(state.colour);
    const shown = `${count(state.visibleCount)} of ${counted(state.meta.rows, "structure")}`;
    this.surface.setAttribute("aria-label", `Map of ${shown}, coloured by ${column.title}`);
  }
}

function padded(box: Box): Box {
  const x = 0.08 * Math.max(box.right - box.left, 1e-3);
  const y = 0.08 * Math.max(box.top - box.bottom, 1e-3);
  return { left: box.left - x, right: box.right + x, bottom: box.bottom - y, top: box.top + y };
}
