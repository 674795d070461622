/** Points in the plane: the nearest one, and those in a polygon. */

export interface Point {
  x: number;
  y: number;
}

export interface Box {
  left: number;
  right: number;
  bottom: number;
  top: number;
}

/** The box that holds the rows; of no rows, one around the origin. */
export function boundingBox(rows: Uint32Array, xs: ArrayLike<number>, ys: ArrayLike<number>): Box {
  const box = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity };
  for (const row of rows) {
    if (Number.isNaN(xs[row]) || Number.isNaN(ys[row])) continue;
    box.left = Math.min(box.left, xs[row]);
    box.right = Math.max(box.right, xs[row]);
    box.bottom = Math.min(box.bottom, ys[row]);
    box.top = Math.max(box.top, ys[row]);
  }
  return box.left <= box.right ? box : { left: -1, right: 1, bottom: -1, top: 1 };
}

/** The box of all rows but the farthest: a fiftieth on each side is left out where there are many. */
export function coreBox(rows: Uint32Array, xs: ArrayLike<number>, ys: ArrayLike<number>): Box {
  const placed = rows.filter((row) => Number.isFinite(xs[row]) && Number.isFinite(ys[row]));
  const skipped = placed.length < 50 ? 0 : Math.floor(placed.length / 50);
  if (skipped === 0) return boundingBox(placed, xs, ys);
  const ends = (values: ArrayLike<number>): [number, number] => {
    const sorted = Float64Array.from(placed, (row) => values[row]).sort();
    return [sorted[skipped], sorted[sorted.length - 1 - skipped]];
  };
  const [left, right] = ends(xs);
  const [bottom, top] = ends(ys);
  return { left, right, bottom, top };
}

/** Even-odd rule; the polygon is closed by itself. */
export function contains(polygon: Point[], x: number, y: number): boolean {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const a = polygon[i];
    const b = polygon[j];
    if (a.y > y !== b.y > y && x < ((b.x - a.x) * (y - a.y)) / (b.y - a.y) + a.x) inside = !inside;
  }
  return inside;
}

/** Rows in square cells of the plane. */
export class CellGrid {
  private readonly starts: Uint32Array;
  private readonly rows: Uint32Array;
  private readonly side: number;
  private readonly across: number;
  private readonly up: number;

  constructor(
    placed: Uint32Array,
    private readonly xs: ArrayLike<number>,
    private readonly ys: ArrayLike<number>,
    private readonly box: Box,
  ) {
    const width = Math.max(box.right - box.left, 1e-9);
    const height = Math.max(box.top - box.bottom, 1e-9);
    this.side = Math.max(
      Math.sqrt((width * height) / Math.max(1, placed.length / 4)),
      Math.max(width, height) / 2000,
    );
    this.across = Math.floor(width / this.side) + 1;
    this.up = Math.floor(height / this.side) + 1;
    this.starts = new Uint32Array(this.across * this.up + 1);
    for (const row of placed) this.starts[this.cell(xs[row], ys[row]) + 1]++;
    for (let i = 1; i < this.starts.length; i++) this.starts[i] += this.starts[i - 1];
    this.rows = new Uint32Array(placed.length);
    const next = this.starts.slice();
    for (const row of placed) this.rows[next[this.cell(xs[row], ys[row])]++] = row;
  }

  private column(x: number): number {
    return Math.min(this.across - 1, Math.max(0, Math.floor((x - this.box.left) / this.side)));
  }

  private line(y: number): number {
    return Math.min(this.up - 1, Math.max(0, Math.floor((y - this.box.bottom) / this.side)));
  }

  private cell(x: number, y: number): number {
    return this.line(y) * this.across + this.column(x);
  }

  /** Call `visit` with the rows of all cells that touch the box. */
  private within(box: Box, visit: (row: number) => void): void {
    for (let line = this.line(box.bottom); line <= this.line(box.top); line++) {
      const first = this.starts[line * this.across + this.column(box.left)];
      const last = this.starts[line * this.across + this.column(box.right) + 1];
      for (let i = first; i < last; i++) visit(this.rows[i]);
    }
  }

  /** The row nearest to a point, not farther than `reach`, among those marked with 1. */
  nearest(at: Point, reach: number, marked: Uint8Array): number | null {
    let best: number | null = null;
    let limit = reach * reach;
    const box = { left: at.x - reach, right: at.x + reach, bottom: at.y - reach, top: at.y + reach };
    this.within(box, (row) => {
      const distance = (this.xs[row] - at.x) ** 2 + (this.ys[row] - at.y) ** 2;
      if (marked[row] !== 1 || distance > limit) return;
      limit = distance;
      best = row;
    });
    return best;
  }

  /** Rows in a polygon, among those marked with 1. */
  inside(polygon: Point[], marked: Uint8Array): Uint32Array {
    const corners = { x: polygon.map((p) => p.x), y: polygon.map((p) => p.y) };
    const box = boundingBox(Uint32Array.from(polygon.keys()), corners.x, corners.y);
    const found: number[] = [];
    this.within(box, (row) => {
      if (marked[row] === 1 && contains(polygon, this.xs[row], this.ys[row])) found.push(row);
    });
    return Uint32Array.from(found).sort();
  }
}
