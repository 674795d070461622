/** From values to colours. */

import type { Column } from "./columns";
import type { Cluster } from "./data";
import { categories, faint, gradient, muted, other, selected, strong, type Rgb } from "./palette";
import type { State, Theme } from "./state";

export const OUTLIER = "outlier";

/** Codes of a category, the most frequent first, and how many rows have each. */
export function frequencies(column: Column, rows: Uint8Array): { codes: number[]; counts: Uint32Array } {
  const counts = new Uint32Array(column.labels.length);
  for (let row = 0; row < rows.length; row++) {
    if (rows[row] !== 1) continue;
    const code = column.value(row);
    if (!Number.isNaN(code)) counts[code]++;
  }
  const codes = Array.from(counts.keys()).sort((a, b) => counts[b] - counts[a] || a - b);
  return { codes, counts };
}

/** Colours by code; those of clusters repeat, and equal ones lie far apart. Codes left out are grey. */
export function categoryColours(state: State, column: Column): Map<number, Rgb> {
  const palette = categories(state.theme);
  if (column.name === "cluster") return clusterColours(state.meta.clusters, palette);
  const everything = new Uint8Array(state.meta.rows).fill(1);
  if (column.meta.kind === "boolean")
    return new Map([
      [0, other(state.theme)],
      [1, palette[4]],
    ]);
  const { codes } = frequencies(column, everything);
  return new Map(codes.slice(0, palette.length).map((code, place) => [code, palette[place]]));
}

/** Each cluster, the largest first, gets the colour whose nearest cluster is farthest, or is not used yet. */
function clusterColours(clusters: Cluster[], palette: Rgb[]): Map<number, Rgb> {
  const chosen: { place: number; x: number; y: number }[] = [];
  const colours = new Map<number, Rgb>();
  clusters.forEach((cluster, code) => {
    const x = cluster.x ?? 0;
    const y = cluster.y ?? 0;
    const nearest = new Array<number>(palette.length).fill(Infinity);
    for (const other of chosen) {
      nearest[other.place] = Math.min(nearest[other.place], Math.hypot(other.x - x, other.y - y));
    }
    const place = nearest.indexOf(Math.max(...nearest));
    chosen.push({ place, x, y });
    colours.set(code, palette[place]);
  });
  return colours;
}

/** A range of numbers and where in it a number lies. */
export interface Scale {
  low: number;
  high: number;
  log: boolean;
}

/** From the 1st to the 99th percentile, so that single far values do not take all colours. */
export function scaleOf(column: Column, rows: number): Scale {
  const step = Math.max(1, Math.floor(rows / 20000));
  const values: number[] = [];
  const log = column.meta.scale === "log";
  for (let row = 0; row < rows; row += step) {
    const value = column.value(row);
    if (Number.isFinite(value) && (!log || value > 0)) values.push(value);
  }
  values.sort((a, b) => a - b);
  if (values.length === 0) return { low: 0, high: 1, log: false };
  const low = values[Math.floor(0.01 * (values.length - 1))];
  const high = values[Math.ceil(0.99 * (values.length - 1))];
  return high > low
    ? { low, high, log }
    : { low: values[0], high: Math.max(values[values.length - 1], low + 1e-6), log };
}

export function share(scale: Scale, value: number): number {
  if (!scale.log) return (value - scale.low) / (scale.high - scale.low);
  return Math.log(Math.max(value, 1e-300) / scale.low) / Math.log(scale.high / scale.low);
}

/** Rows in the order in which they are drawn, and four bytes of colour for each. */
export interface Drawing {
  order: Uint32Array;
  colours: Uint8ClampedArray;
}

/** Few selected points stand out more than many. */
function greyOf({ selection, theme, meta }: State): Rgb {
  if (selection === null) return other(theme);
  return selection.length < meta.rows / 20 ? strong(theme) : selected(theme);
}

function painter(state: State): (row: number) => { colour: Rgb; ownColour: boolean } {
  const column = state.columns.get(state.colour);
  const grey = { colour: greyOf(state), ownColour: false };
  if (!column.isCategory) {
    const scale = scaleOf(column, state.meta.rows);
    const steps = Array.from({ length: 257 }, (_, i) => ({
      colour: gradient(i / 256, state.theme),
      ownColour: true,
    }));
    return (row) => {
      const value = column.value(row);
      if (Number.isNaN(value)) return grey;
      return steps[Math.round(256 * Math.min(1, Math.max(0, share(scale, value))))];
    };
  }
  const named = state.filters.has(column.name) ? { colour: strong(state.theme), ownColour: false } : grey;
  const colours = new Map<number, { colour: Rgb; ownColour: boolean }>();
  for (const [code, colour] of categoryColours(state, column)) {
    colours.set(code, { colour, ownColour: !(column.meta.kind === "boolean" && code === 0) });
  }
  return (row) => colours.get(column.value(row)) ?? named;
}

/** Of 255. */
const ALPHA: Record<Theme, { own: number; grey: number }> = {
  light: { own: 225, grey: 150 },
  dark: { own: 225, grey: 170 },
};

/** What is left out lies lowest, then what is not selected, then grey points, then the others. */
export function draw(state: State, placed: Uint32Array): Drawing {
  const paint = painter(state);
  const alpha = ALPHA[state.theme];
  const members = state.selection === null ? null : membership(state.selection, state.meta.rows);
  const layers: number[][] = [[], [], [], []];
  for (const row of placed) {
    if (state.visible[row] !== 1) layers[0].push(row);
    else if (members !== null && members[row] !== 1) layers[1].push(row);
    else layers[paint(row).ownColour ? 3 : 2].push(row);
  }
  const order = Uint32Array.from(layers.flat());
  const colours = new Uint8ClampedArray(4 * order.length);
  const out = layers[0].length;
  const behind = out + layers[1].length;
  order.forEach((row, i) => {
    const { colour, ownColour } = paint(row);
    const shown = i < out ? faint(state.theme) : i < behind ? muted(colour, state.theme) : colour;
    colours.set(shown, 4 * i);
    colours[4 * i + 3] = i < behind ? 255 : ownColour ? alpha.own : alpha.grey;
  });
  return { order, colours };
}

/** 1 for the rows listed. */
export function membership(rows: Uint32Array, length: number): Uint8Array {
  const mask = new Uint8Array(length);
  for (const row of rows) mask[row] = 1;
  return mask;
}
