/** Rows as comma-separated values (RFC 4180). */

import type { Column } from "./columns";

/** A text that spreadsheets neither split nor take for a formula. */
function field(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n']/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function value(column: Column, row: number): string {
  if (!column.isNumber) return field(column.storedText(row));
  const found = column.value(row);
  return Number.isNaN(found) ? "" : String(Number(found.toPrecision(7)));
}

export function csv(columns: Column[], rows: ArrayLike<number>): string {
  const lines = [columns.map((column) => field(column.name)).join(",")];
  for (let i = 0; i < rows.length; i++) lines.push(columns.map((column) => value(column, rows[i])).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

/** Let the browser save a text as a file. */
export function save(text: string, name: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
