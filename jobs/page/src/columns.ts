/** The columns of a page, decoded, and what a cell says. */

import { DataError, REQUIRED, readBlock, titlesOf, type ColumnMeta, type Meta } from "./data";
import { number } from "./format";

export type Numbers = Float32Array | Uint8Array | Uint16Array | Uint32Array;

const BOOLEANS = ["no", "yes"];
/** Columns whose categories are prototypes. */
const PROTOTYPES = new Set(["prototype", "nearest_class", "symmetry_class"]);

export class Column {
  readonly name: string;
  readonly title: string;
  /** What the codes of a category or a boolean are called; empty for other kinds. */
  readonly labels: string[];
  /** The same as in the store. */
  readonly stored: string[];

  constructor(
    readonly meta: ColumnMeta,
    private readonly numbers: Numbers | null,
    private readonly texts: string[] | null,
    title: (label: string) => string,
  ) {
    this.name = meta.name;
    this.title = meta.title;
    this.stored = meta.kind === "boolean" ? BOOLEANS : (meta.categories ?? []);
    this.labels = PROTOTYPES.has(meta.name) ? this.stored.map(title) : this.stored;
  }

  get isCategory(): boolean {
    return this.meta.kind === "category" || this.meta.kind === "boolean";
  }

  get isNumber(): boolean {
    return this.meta.kind === "number";
  }

  /** The numbers of all rows, as stored. */
  get array(): Numbers {
    if (this.numbers === null) throw new DataError(`The column ${this.name} holds text, not numbers.`);
    return this.numbers;
  }

  /** The number of a row, or its code; NaN where it is missing. */
  value(row: number): number {
    if (this.numbers === null) return NaN;
    const value = this.numbers[row];
    return this.isCategory && !(value < this.labels.length) ? NaN : value;
  }

  /** What a cell says; empty where it is missing. */
  text(row: number): string {
    if (this.texts !== null) return this.texts[row];
    const value = this.value(row);
    if (Number.isNaN(value)) return "";
    return this.isCategory ? this.labels[value] : number(value);
  }

  /** What the store says. */
  storedText(row: number): string {
    const value = this.value(row);
    return this.isCategory && !Number.isNaN(value) ? this.stored[value] : this.text(row);
  }

  /** The title with its unit. */
  get heading(): string {
    return this.meta.unit ? `${this.title} (${this.meta.unit})` : this.title;
  }

  /** Negative where `a` comes before `b`; missing values come last. */
  compare(a: number, b: number): number {
    if (this.texts !== null) return order(this.texts[a], this.texts[b]);
    const first = this.value(a);
    const second = this.value(b);
    if (Number.isNaN(first) || Number.isNaN(second))
      return Number(Number.isNaN(first)) - Number(Number.isNaN(second));
    return this.meta.kind === "category" ? order(this.labels[first], this.labels[second]) : first - second;
  }
}

function order(a: string, b: string): number {
  if (a === "" || b === "") return Number(a === "") - Number(b === "");
  return a < b ? -1 : Number(a > b);
}

const ARRAYS = { f32: Float32Array, u8: Uint8Array, u16: Uint16Array, u32: Uint32Array };

async function readColumn(meta: ColumnMeta, page: Meta): Promise<Column> {
  const { rows } = page;
  const title = (label: string): string => titlesOf(page, label);
  const buffer = await readBlock(meta.block);
  if (meta.dtype === "utf8") {
    const texts = rows === 0 ? [] : new TextDecoder().decode(buffer).split("\n");
    expect(meta, texts.length, rows);
    return new Column(meta, null, texts, title);
  }
  const numbers = new ARRAYS[meta.dtype](buffer);
  expect(meta, numbers.length, rows);
  return new Column(meta, numbers, null, title);
}

function expect(meta: ColumnMeta, found: number, rows: number): void {
  if (found !== rows)
    throw new DataError(`The column ${meta.name} has ${found} values for ${rows} structures.`);
}

export class Columns {
  private readonly byName: Map<string, Column>;

  private constructor(readonly all: Column[]) {
    this.byName = new Map(all.map((column) => [column.name, column]));
  }

  static async read(meta: Meta): Promise<Columns> {
    const columns = new Columns(await Promise.all(meta.columns.map((column) => readColumn(column, meta))));
    for (const name of REQUIRED) columns.get(name);
    return columns;
  }

  get(name: string): Column {
    const column = this.byName.get(name);
    if (column === undefined) throw new DataError(`The page has no column ${name}.`);
    return column;
  }

  find(name: string): Column | undefined {
    return this.byName.get(name);
  }

  /** Those that say something about a structure; its place is left out. */
  get described(): Column[] {
    return this.all.filter((column) => column.name !== "x" && column.name !== "y");
  }

  /** Those that a point can be coloured by. */
  get colourable(): Column[] {
    return this.described.filter((column) => column.meta.kind !== "text");
  }
}
