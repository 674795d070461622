/** Which part of the map is seen. */

import type { Box, Point } from "./geometry";

const MARGIN = 24;
const DEEPEST = 11;
const MILLISECONDS = 450;

export class Camera {
  center: Point = { x: 0, y: 0 };
  /** Pixels per unit are 2^zoom. */
  zoom = 0;
  width = 1;
  height = 1;
  private home: Box = { left: -1, right: 1, bottom: -1, top: 1 };
  private frame = 0;
  private touched = false;

  constructor(
    private readonly changed: () => void,
    private readonly still: () => boolean,
  ) {}

  get scale(): number {
    return 2 ** this.zoom;
  }

  /** The zoom that shows everything. */
  get homeZoom(): number {
    return this.fitting(this.home).zoom;
  }

  setHome(box: Box): void {
    this.home = box;
    this.jump(this.fitting(box));
  }

  /** Everything stays in view while the window changes, until the view is moved. */
  resize(width: number, height: number): void {
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    if (!this.touched) this.jump(this.fitting(this.home));
    this.changed();
  }

  toScreen(x: number, y: number): Point {
    return {
      x: this.width / 2 + (x - this.center.x) * this.scale,
      y: this.height / 2 - (y - this.center.y) * this.scale,
    };
  }

  toMap(x: number, y: number): Point {
    return {
      x: this.center.x + (x - this.width / 2) / this.scale,
      y: this.center.y - (y - this.height / 2) / this.scale,
    };
  }

  /** Move what is seen by pixels. */
  pan(dx: number, dy: number): void {
    this.stop();
    this.center = { x: this.center.x - dx / this.scale, y: this.center.y + dy / this.scale };
    this.changed();
  }

  /** Zoom by a number of doublings; the point under the pixel stays where it is. */
  zoomAt(doublings: number, x: number, y: number): void {
    this.stop();
    const before = this.toMap(x, y);
    this.zoom = this.bounded(this.zoom + doublings);
    const after = this.toMap(x, y);
    this.center = { x: this.center.x + before.x - after.x, y: this.center.y + before.y - after.y };
    this.changed();
  }

  /** Zoom on the middle, in a movement. */
  zoomBy(doublings: number): void {
    this.fly({ center: this.center, zoom: this.bounded(this.zoom + doublings) }, 180);
  }

  showAll(): void {
    this.fly(this.fitting(this.home));
    this.touched = false;
  }

  /** Show a box, not closer than `closest` doublings from the whole. */
  show(box: Box, closest = 5): void {
    const view = this.fitting(box);
    this.fly({ ...view, zoom: Math.min(view.zoom, this.homeZoom + closest) });
  }

  /** Bring a point into view, where it is not; zoom in where that was far out. */
  reveal(point: Point, closer: boolean): void {
    const at = this.toScreen(point.x, point.y);
    const seen = at.x > 40 && at.y > 40 && at.x < this.width - 40 && at.y < this.height - 40;
    const zoom = closer ? Math.max(this.zoom, this.homeZoom + 3) : this.zoom;
    if (!seen || zoom !== this.zoom) this.fly({ center: point, zoom });
  }

  private bounded(zoom: number): number {
    return Math.min(this.homeZoom + DEEPEST, Math.max(this.homeZoom - 1.5, zoom));
  }

  private fitting(box: Box): { center: Point; zoom: number } {
    const width = Math.max(box.right - box.left, 1e-6);
    const height = Math.max(box.top - box.bottom, 1e-6);
    const across = Math.max(10, this.width - 2 * MARGIN) / width;
    const up = Math.max(10, this.height - 2 * MARGIN) / height;
    const center = { x: (box.left + box.right) / 2, y: (box.bottom + box.top) / 2 };
    return { center, zoom: Math.log2(Math.min(across, up)) };
  }

  private jump(view: { center: Point; zoom: number }): void {
    this.center = view.center;
    this.zoom = view.zoom;
    this.changed();
  }

  private stop(): void {
    this.touched = true;
    cancelAnimationFrame(this.frame);
  }

  private fly(view: { center: Point; zoom: number }, milliseconds = MILLISECONDS): void {
    this.stop();
    if (this.still()) {
      this.jump(view);
      return;
    }
    const from = { center: this.center, zoom: this.zoom };
    const begin = performance.now();
    const step = (now: number): void => {
      const time = Math.min(1, Math.max(0, (now - begin) / milliseconds));
      const part = 1 - (1 - time) ** 3;
      const mix = (a: number, b: number): number => a + (b - a) * part;
      this.jump({
        center: { x: mix(from.center.x, view.center.x), y: mix(from.center.y, view.center.y) },
        zoom: mix(from.zoom, view.zoom),
      });
      if (time < 1) this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }
}
