/** Colours that colour-blind readers can tell apart. */

import type { Theme } from "./state";

export type Rgb = readonly [number, number, number];

export function rgb(hex: string): Rgb {
  const value = Number.parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

export function css(colour: Rgb): string {
  return `rgb(${colour.join(" ")})`;
}

/** M. Okabe and K. Ito's colours and two of P. Tol's; the darkest are lighter on a dark ground. */
const CATEGORIES: Record<Theme, Rgb[]> = {
  light: [
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#56b4e9",
    "#c9b800",
    "#332288",
    "#882255",
  ].map(rgb),
  dark: [
    "#3d9be0",
    "#e69f00",
    "#12b886",
    "#d98cb8",
    "#e8702a",
    "#7cc8f5",
    "#f0e442",
    "#8f84dd",
    "#b8507f",
  ].map(rgb),
};
const OTHER: Record<Theme, Rgb> = { light: rgb("#b9bdc3"), dark: rgb("#565d67") };
const FAINT: Record<Theme, Rgb> = { light: rgb("#e9eaec"), dark: rgb("#22262c") };
const SELECTED: Record<Theme, Rgb> = { light: rgb("#7f8791"), dark: rgb("#8b939e") };
const STRONG: Record<Theme, Rgb> = { light: rgb("#4b5563"), dark: rgb("#c3cad3") };

/** S. van der Walt and N. Smith's viridis, at equal steps. */
const VIRIDIS = [
  "#440154",
  "#48186a",
  "#472d7b",
  "#424086",
  "#3b528b",
  "#33638d",
  "#2c728e",
  "#26828e",
  "#21918c",
  "#1fa088",
  "#28ae80",
  "#3fbc73",
  "#5ec962",
  "#84d44b",
  "#addc30",
  "#d8e219",
  "#fde725",
].map(rgb);
/** The ends that stand out little from the ground are left out. */
const ENDS: Record<Theme, [number, number]> = { light: [0, 0.93], dark: [0.14, 1] };

export function categories(theme: Theme): Rgb[] {
  return CATEGORIES[theme];
}

/** Of values without a colour of their own. */
export function other(theme: Theme): Rgb {
  return OTHER[theme];
}

/** Of what a filter leaves out. */
export function faint(theme: Theme): Rgb {
  return FAINT[theme];
}

/** A colour that steps back behind others. */
export function muted(colour: Rgb, theme: Theme): Rgb {
  const ground = FAINT[theme];
  const mix = (i: 0 | 1 | 2): number => Math.round(0.2 * colour[i] + 0.8 * ground[i]);
  return [mix(0), mix(1), mix(2)];
}

/** Of selected values without a colour. */
export function selected(theme: Theme): Rgb {
  return SELECTED[theme];
}

/** Of values without a colour that a filter names. */
export function strong(theme: Theme): Rgb {
  return STRONG[theme];
}

/** The colour of a share from 0 to 1. */
export function gradient(share: number, theme: Theme): Rgb {
  const [low, high] = ENDS[theme];
  const place = (low + Math.min(1, Math.max(0, share)) * (high - low)) * (VIRIDIS.length - 1);
  const first = VIRIDIS[Math.floor(place)];
  const second = VIRIDIS[Math.ceil(place)];
  const part = place - Math.floor(place);
  const mix = (i: 0 | 1 | 2): number => Math.round(first[i] + part * (second[i] - first[i]));
  return [mix(0), mix(1), mix(2)];
}
