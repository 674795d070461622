/** The tables of the page: structures, the strangest ones, clusters, prototypes, rejects. */

import type { Column } from "./columns";
import { titleOf, type Cluster, type Meta, type RejectCount } from "./data";
import { el, formula, isolated } from "./dom";
import { count, number, percent, shortened } from "./format";
import type { State } from "./state";
import { Table, type TableColumn } from "./table";

export const CELL = 120;
const WIDTHS: Record<string, number> = {
  structure_id: 150,
  formula: 130,
  prototype: 190,
  cluster: 230,
  source: 80,
};
const ORDER = [
  "structure_id",
  "formula",
  "prototype",
  "probability",
  "mutual_information",
  "ood_score",
  "ood_p_value",
  "is_ood",
  "ood_q_value",
  "selection.is_ood",
  "novel_rank",
  "cluster",
  "nelements",
  "nsites",
];

/** All columns but the place, the most telling first. */
export function tableColumns(state: State): Column[] {
  const first = ORDER.flatMap((name) => state.columns.find(name) ?? []);
  return [...first, ...state.columns.described.filter((column) => !ORDER.includes(column.name))];
}

export function structureTable(state: State, name: string, open: (row: number) => void): Table {
  const columns = tableColumns(state).map(
    (column): TableColumn => ({
      title: column.heading,
      width: WIDTHS[column.name] ?? 118,
      numeric: column.isNumber,
      cell: (row) => cell(column, row),
      compare: (a, b) => column.compare(a, b),
    }),
  );
  return new Table(name, columns, open);
}

function cell(column: Column, row: number): Node | string {
  const text = shortened(column.text(row), CELL);
  if (column.name === "formula") return formula(text);
  return column.isNumber ? text : isolated(text);
}

function by(value: (item: number) => number | string | null): (a: number, b: number) => number {
  return (a, b) => {
    const [first, second] = [value(a), value(b)];
    if (first === null || second === null) return Number(first === null) - Number(second === null);
    return first < second ? -1 : Number(first > second);
  };
}

export function textColumn(
  title: string,
  width: number,
  value: (item: number) => string | null,
): TableColumn {
  return { title, width, cell: (item) => isolated(shortened(value(item) ?? "", CELL)), compare: by(value) };
}

export function numberColumn(
  title: string,
  value: (item: number) => number | null,
  show = number,
): TableColumn {
  return { title, width: 104, numeric: true, cell: (item) => show(value(item)), compare: by(value) };
}

function shares(list: Cluster["elements"], most: number): string {
  const parts = (list ?? []).slice(0, most).map(({ value, share }) => `${String(value)} ${percent(share)}`);
  return parts.join(", ");
}

export function clusterTable(meta: Meta, open: (code: number) => void): Table {
  const { clusters } = meta;
  const prototype = (label: string | null): string | null => (label === null ? null : titleOf(meta, label));
  const columns = [
    textColumn("Cluster", 230, (i) => clusters[i].label),
    numberColumn("Size", (i) => clusters[i].size),
    textColumn("Prototype", 170, (i) => prototype(clusters[i].prototype)),
    numberColumn("Share", (i) => clusters[i].prototype_share, percent),
    textColumn("Protostructure", 190, (i) => clusters[i].protostructure),
    numberColumn("Out of distribution", (i) => clusters[i].ood_fraction, percent),
    numberColumn("Mutual information (nat)", (i) => clusters[i].mutual_information),
    textColumn("Medoid", 130, (i) => clusters[i].medoid_formula ?? clusters[i].medoid),
    numberColumn("Formulas", (i) => clusters[i].formulas),
    numberColumn("Sites (median)", (i) => clusters[i].nsites),
    textColumn("Anonymous formulas", 210, (i) => shares(clusters[i].anonymous_formulas, 3)),
    textColumn("Elements", 230, (i) => shares(clusters[i].elements, 4)),
  ];
  columns[7].cell = (i): Node =>
    formula(shortened(clusters[i].medoid_formula ?? clusters[i].medoid ?? "", CELL));
  const table = new Table("Clusters", columns, open);
  table.setItems(Array.from(clusters.keys()));
  return table;
}

export function prototypeTable(meta: Meta, open: (name: string) => void): Table {
  const { prototypes } = meta.panels;
  const most = Math.max(1, ...prototypes.map((one) => one.recognised + one.out_of_distribution));
  const bar = (i: number): Node => {
    const known = el("span", { class: "recognised" });
    const strange = el("span", { class: "strange" });
    known.style.width = `${(100 * prototypes[i].recognised) / most}%`;
    strange.style.width = `${(100 * prototypes[i].out_of_distribution) / most}%`;
    return el("span", { class: "stacked", "aria-hidden": "true" }, known, strange);
  };
  const columns: TableColumn[] = [
    textColumn("Prototype", 230, (i) => titleOf(meta, prototypes[i].name)),
    textColumn("Label", 200, (i) => prototypes[i].name),
    { title: "recognised and out of distribution", width: 260, cell: bar },
    numberColumn(
      "Recognised",
      (i) => prototypes[i].recognised,
      (value) => count(value ?? 0),
    ),
    numberColumn(
      "Out of distribution",
      (i) => prototypes[i].out_of_distribution,
      (value) => count(value ?? 0),
    ),
  ];
  const table = new Table("Prototypes", columns, (i) => open(prototypes[i].name));
  table.setItems(Array.from(prototypes.keys()));
  return table;
}

export function rejectTable(rejects: RejectCount[]): Table {
  const columns: TableColumn[] = [
    numberColumn(
      "Count",
      (i) => rejects[i].count,
      (value) => count(value ?? 0),
    ),
    textColumn("Stage", 120, (i) => rejects[i].stage),
    textColumn("Reason", 220, (i) => rejects[i].class),
    textColumn("Example", 420, (i) => rejects[i].example),
  ];
  const table = new Table("Rejects", columns, () => undefined);
  table.setItems(Array.from(rejects.keys()));
  return table;
}
