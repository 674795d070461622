/** Numbers as text. */

const COUNT = new Intl.NumberFormat("en");

export function count(value: number): string {
  return COUNT.format(value);
}

/** `1 structure`, `2 structures`. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Four significant digits; empty where the number is missing. */
export function number(value: number | null): string {
  if (value === null || Number.isNaN(value)) return "";
  if (Number.isInteger(value))
    return Math.abs(value) < 1e15 ? String(value).replace("-", "−") : String(value);
  const size = Math.abs(value);
  const text = size >= 1e6 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  return text.replaceAll("-", "−");
}

/** A share in per cent. */
export function percent(share: number | null): string {
  if (share === null || Number.isNaN(share)) return "";
  const value = share * 100;
  if (value > 0 && value < 1) return "< 1 %";
  return `${value.toFixed(value > 99 && value < 100 ? 1 : 0)} %`;
}

/** A false discovery rate in per cent. */
export function rate(share: number): string {
  return `${number(100 * share)} %`;
}

/** The first `limit` characters. */
export function shortened(text: string, limit: number): string {
  const letters = Array.from(text.slice(0, 2 * limit + 2));
  return letters.length <= limit ? text : `${letters.slice(0, limit - 1).join("")}…`;
}
