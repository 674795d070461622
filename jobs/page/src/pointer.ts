/** Mouse, pen and fingers on the map. */

import type { Camera } from "./camera";
import type { Point } from "./geometry";

export type Tool = "move" | "lasso" | "rectangle";

export interface Gestures {
  /** The lasso so far, in pixels; empty when it is given up. */
  drawing: (corners: Point[]) => void;
  /** The lasso is closed. */
  drawn: (corners: Point[]) => void;
  click: (at: Point) => void;
  hover: (at: Point | null) => void;
}

const CLICK = 4;
const WHEEL = 0.0022;

/** Moves the camera; a drag with Shift, or with another tool than "move", draws. */
export class Pointer {
  tool: Tool = "move";
  private readonly down = new Map<number, Point>();
  private begin: Point = { x: 0, y: 0 };
  private path: Point[] | null = null;
  private moved = false;

  constructor(
    private readonly surface: HTMLElement,
    private readonly camera: Camera,
    private readonly gestures: Gestures,
  ) {
    surface.addEventListener("pointerdown", (event) => this.press(event));
    surface.addEventListener("pointermove", (event) => this.move(event));
    surface.addEventListener("pointerup", (event) => this.release(event));
    surface.addEventListener("pointercancel", () => this.cancel());
    surface.addEventListener("pointerleave", () => gestures.hover(null));
    surface.addEventListener("dblclick", (event) => camera.zoomAt(1, event.offsetX, event.offsetY));
    surface.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** Give up what is being drawn. */
  cancel(): void {
    this.path = null;
    this.down.clear();
    this.gestures.drawing([]);
  }

  private press(event: PointerEvent): void {
    if (event.button !== 0) return;
    const at = { x: event.offsetX, y: event.offsetY };
    this.surface.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, at);
    this.begin = at;
    this.moved = false;
    this.gestures.hover(null);
    const draws = (this.tool !== "move" || event.shiftKey) && this.down.size === 1;
    this.path = draws ? [at] : null;
  }

  private move(event: PointerEvent): void {
    const at = { x: event.offsetX, y: event.offsetY };
    const before = this.down.get(event.pointerId);
    if (before === undefined) {
      this.gestures.hover(at);
      return;
    }
    this.down.set(event.pointerId, at);
    if (Math.hypot(at.x - this.begin.x, at.y - this.begin.y) > CLICK) this.moved = true;
    if (!this.moved) return;
    if (this.path !== null) this.extend(at);
    else if (this.down.size === 1) this.camera.pan(at.x - before.x, at.y - before.y);
    else this.pinch(event.pointerId, before, at);
  }

  private extend(at: Point): void {
    if (this.path === null) return;
    if (this.tool === "rectangle") {
      const { x, y } = this.begin;
      this.path = [
        { x, y },
        { x: at.x, y },
        { x: at.x, y: at.y },
        { x, y: at.y },
      ];
    } else {
      this.path.push(at);
    }
    this.gestures.drawing(this.path);
  }

  private pinch(id: number, before: Point, at: Point): void {
    for (const [other, fixed] of this.down) {
      if (other === id) continue;
      const old = Math.max(1, Math.hypot(before.x - fixed.x, before.y - fixed.y));
      const now = Math.max(1, Math.hypot(at.x - fixed.x, at.y - fixed.y));
      this.camera.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
      this.camera.zoomAt(Math.log2(now / old), (at.x + fixed.x) / 2, (at.y + fixed.y) / 2);
      return;
    }
  }

  private release(event: PointerEvent): void {
    if (!this.down.delete(event.pointerId)) return;
    const path = this.path;
    this.path = null;
    if (!this.moved) {
      this.gestures.drawing([]);
      this.gestures.click({ x: event.offsetX, y: event.offsetY });
    } else if (path !== null) {
      this.gestures.drawing([]);
      if (path.length > 2) this.gestures.drawn(path);
    }
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const pixels = Math.max(-400, Math.min(400, event.deltaY * lines));
    this.camera.zoomAt(-pixels * WHEEL, event.offsetX, event.offsetY);
  }
}
