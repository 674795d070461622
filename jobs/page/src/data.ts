/**
 * The format of the data in a page, and its decoder. What writes it (`jobs/page/*.py`) follows these types.
 *
 * `<script type="application/json" id="meta">` holds a {@link Meta}. Every other block is
 * `<script type="application/octet-stream" id="NAME" data-encoding="gzip+base64">` (or `"base64"`). Numbers
 * are little-endian, text is UTF-8. A row is a structure; rows count from 0 and are the same in all blocks.
 */

export type Fact = string | number | boolean | null;

/** `f32` has NaN where a number is missing; `utf8` are the values of all rows joined by line feeds. */
export type BlockType = "f32" | "u8" | "u16" | "u32" | "utf8";

export interface ColumnMeta {
  name: string;
  title: string;
  /**
   * number: `f32`. category: codes into `categories` (`u8`, `u16` or `u32`), where a code without a category
   * (`missing`) is a missing value. boolean: `u8` of 0, 1 and `missing`. text: `utf8`.
   */
  kind: "number" | "category" | "text" | "boolean";
  block: string;
  dtype: BlockType;
  categories?: string[];
  missing?: number;
  unit?: string;
  scale?: "linear" | "log";
  description?: string;
}

/** A value with the share of a cluster's members that have it. */
export interface Share {
  value: string | number | null;
  share: number | null;
}

/** A row of the table `clusters`: code i of the column `cluster`; the code after the last is "outlier". */
export interface Cluster {
  cluster: number;
  label: string;
  size: number;
  assigned: number;
  medoid: string | null;
  medoid_row: number | null;
  medoid_formula: string | null;
  x: number | null;
  y: number | null;
  prototype: string | null;
  prototype_share: number | null;
  protostructure: string | null;
  protostructure_share: number | null;
  mutual_information: number | null;
  ood_score: number | null;
  ood_fraction: number | null;
  outlier_score: number | null;
  nsites: number | null;
  formulas: number;
  anonymous_formulas: Share[] | null;
  elements: Share[] | null;
  species: Share[] | null;
  sources: Share[] | null;
}

export interface PrototypeCount {
  name: string;
  recognised: number;
  out_of_distribution: number;
}

/** `counts[i]` structures lie in [`edges[i]`, `edges[i + 1]`), the last bin includes its upper edge. */
export interface Histogram {
  edges: number[];
  counts: number[];
}

export interface RejectCount {
  class: string;
  stage: string;
  count: number;
  example: string;
}

/** A row of the table `novel`; `row` is null where the page lacks its structure, or has a newer version. */
export interface NovelStructure {
  rank: number;
  row: number | null;
  structure_id: string;
  count: number;
  formula: string | null;
  ood_score: number | null;
  ood_q_value: number | null;
  nearest_class: string | null;
  protostructure: string | null;
  symmetry_class: string | null;
}

export interface Panels {
  prototypes: PrototypeCount[];
  uncertainty: Histogram | null;
  /** Rows that are out of distribution, the strangest first. */
  ood: number[];
  rejects: RejectCount[];
}

export interface Meta {
  version: 1;
  title: string;
  run: Record<string, Fact>;
  rows: number;
  /** Readable titles of prototypes by their labels; a label without one stands for itself. */
  titles?: Record<string, string>;
  served: false | { api: string };
  columns: ColumnMeta[];
  panels: Panels;
  clusters: Cluster[];
  /**
   * `block` is a concatenation of gzip members, encoded as "base64"; `index` is `u32` (row, offset, length)
   * of the member that holds the row. A decoded member is JSON, an object of {@link Structure} by row.
   */
  structures: { block: string; index: string; count: number; left_out: number } | null;
  /** `block` is `u32` rows × k, 0xFFFFFFFF where there is none or it has no row; `distances` is `f32`. */
  neighbors: { block: string; distances: string; k: number } | null;
  /** `block` is `u16` rows × k into `names`, 0xFFFF where there is none; `probabilities` is `u8`, 255 p. */
  candidates: { block: string; probabilities: string; k: number; names: string[] } | null;
  /**
   * What a screening selected at the false discovery rate `fdr`; without it there are no columns of a selection.
   * `block` is the JSON of the first of `count` {@link NovelStructure}s, by rank.
   */
  novel: { block: string; count: number; selected: number; fdr: number } | null;
}

/** The readable title of a prototype. */
export function titleOf(meta: Meta, label: string): string {
  return meta.titles !== undefined && Object.hasOwn(meta.titles, label) ? meta.titles[label] : label;
}

/** The same where several, joined by commas, are possible. */
export function titlesOf(meta: Meta, labels: string): string {
  return labels
    .split(", ")
    .map((label) => titleOf(meta, label))
    .join(", ");
}

export type Vector = [number, number, number];

/** Lengths in Å; `lattice` is null without a cell, `pbc` is 1 along periodic vectors. */
export interface Structure {
  lattice: [Vector, Vector, Vector] | null;
  pbc: Vector;
  species: string[];
  positions: Vector[];
}

/** Columns that a page always has; `x` and `y` are NaN where a structure has no place. */
export const REQUIRED = [
  "structure_id",
  "formula",
  "x",
  "y",
  "cluster",
  "prototype",
  "mutual_information",
  "ood_score",
  "ood_p_value",
  "is_ood",
  "nelements",
  "probability",
  "outlier_score",
  "cluster_probability",
  "nsites",
  "source",
] as const;

export const NONE = 0xffffffff;
export const NO_NAME = 0xffff;

export class DataError extends Error {}

function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The decompressed bytes of one gzip member. */
export async function gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** Read the JSON block `meta`. */
export function readMeta(): Meta {
  const element = document.getElementById("meta");
  if (element === null) throw new DataError("The page holds no data: there is no block named meta.");
  const meta = JSON.parse(element.textContent) as Meta;
  if (meta.version !== 1)
    throw new DataError(`The page holds data of version ${String(meta.version)}, not 1.`);
  element.remove();
  return meta;
}

/** The bytes of a block, whose text is freed. */
export async function readBlock(name: string): Promise<ArrayBuffer> {
  const element = document.getElementById(name);
  if (element === null) throw new DataError(`The page holds no block named ${name}.`);
  const bytes = bytesOfBase64(element.textContent.trim());
  const zipped = element.getAttribute("data-encoding") === "gzip+base64";
  element.remove();
  return zipped ? gunzip(bytes) : bytes.buffer;
}
