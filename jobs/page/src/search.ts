/** Finding structures by id, formula, elements, prototype or cluster. */

import type { Column } from "./columns";
import { frequencies } from "./colouring";
import { compositionKey, elementsKey, parse } from "./composition";
import type { State } from "./state";

/** One line of suggestions: a category that becomes a filter, one structure, or all structures that match. */
export type Suggestion =
  | { kind: "category"; column: string; code: number; label: string; count: number }
  | { kind: "structure"; row: number }
  | { kind: "all"; rows: Uint32Array; query: string };

const MOST_CATEGORIES = 5;
const MOST_STRUCTURES = 9;

export class Search {
  private ids: string[] | null = null;
  private formulas: string[] = [];
  private readonly byComposition = new Map<string, number[]>();
  private readonly byElements = new Map<string, number[]>();

  constructor(private readonly state: State) {}

  /** Read all ids and formulas; takes a part of a second the first time. */
  prepare(): void {
    if (this.ids !== null) return;
    const { columns, meta } = this.state;
    const id = columns.get("structure_id");
    const formula = columns.get("formula");
    this.ids = [];
    for (let row = 0; row < meta.rows; row++) {
      this.ids.push(id.text(row).toLowerCase());
      const text = formula.text(row);
      this.formulas.push(text.toLowerCase());
      const composition = parse(text);
      if (composition === null) continue;
      put(this.byComposition, compositionKey(composition), row);
      put(this.byElements, elementsKey(composition.keys()), row);
    }
  }

  suggest(query: string): Suggestion[] {
    const text = query.trim();
    if (text === "") return [];
    this.prepare();
    const rows = this.structures(text);
    const lines: Suggestion[] = [...this.categories("prototype", text), ...this.categories("cluster", text)];
    if (rows.length > 1) lines.push({ kind: "all", rows: Uint32Array.from(rows).sort(), query: text });
    for (const row of rows.slice(0, MOST_STRUCTURES)) lines.push({ kind: "structure", row });
    return lines;
  }

  private categories(name: string, text: string): Suggestion[] {
    const column: Column = this.state.columns.get(name);
    const { codes, counts } = frequencies(column, new Uint8Array(this.state.meta.rows).fill(1));
    const needle = text.toLowerCase();
    return codes
      .filter((code) => counts[code] > 0 && named(column, code).toLowerCase().includes(needle))
      .slice(0, MOST_CATEGORIES)
      .map((code) => ({
        kind: "category",
        column: name,
        code,
        label: column.labels[code],
        count: counts[code],
      }));
  }

  /** Rows that match: the same id, the same composition or elements, then parts of ids and formulas. */
  private structures(text: string): number[] {
    const needle = text.toLowerCase();
    const ids = this.ids ?? [];
    const same: number[] = [];
    const begins: number[] = [];
    const holds: number[] = [];
    for (let row = 0; row < ids.length; row++) {
      const place = ids[row].indexOf(needle);
      if (place < 0) {
        if (this.formulas[row].includes(needle)) holds.push(row);
      } else if (place + needle.length === ids[row].length && (place === 0 || ids[row][place - 1] === ":")) {
        same.push(row);
      } else if (place === 0) {
        begins.push(row);
      } else {
        holds.push(row);
      }
    }
    return [...new Set([...same, ...this.chemical(text), ...begins, ...holds])];
  }

  /** A formula in any order of its elements, or elements between hyphens, commas or spaces. */
  private chemical(text: string): number[] {
    const elements = text.split(/[-,\s]+/).filter((part) => part !== "");
    if (elements.length > 1 && elements.every((part) => /^[A-Z][a-z]?$/.test(part))) {
      return this.byElements.get(elementsKey(elements)) ?? [];
    }
    const composition = parse(text);
    return composition === null ? [] : (this.byComposition.get(compositionKey(composition)) ?? []);
  }
}

/** Title and label of a category. */
export function named(column: Column, code: number): string {
  const [label, stored] = [column.labels[code], column.stored[code]];
  return label === stored ? label : `${label} (${stored})`;
}

function put(map: Map<string, number[]>, key: string, row: number): void {
  const rows = map.get(key);
  if (rows === undefined) map.set(key, [row]);
  else rows.push(row);
}
