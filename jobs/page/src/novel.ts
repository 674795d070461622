/** The novel structures of a screening, and the panel that lists them. */

import { readBlock, titlesOf, type Meta, type NovelStructure } from "./data";
import { button, el, formula, isolated, sentence } from "./dom";
import { count, counted, rate, shortened } from "./format";
import type { State } from "./state";
import { Table, type TableColumn } from "./table";
import { CELL, numberColumn, textColumn } from "./tables";

export const SELECTED = "selection.is_ood";
export const RANK = "novel_rank";

export class Novelty {
  private readonly byRank: Map<number, NovelStructure>;

  private constructor(
    readonly listed: NovelStructure[],
    /** Novel structures of the store, of which the first are listed. */
    readonly count: number,
    readonly selected: number,
    readonly fdr: number,
  ) {
    this.byRank = new Map(listed.map((one) => [one.rank, one]));
  }

  static async read(meta: Meta): Promise<Novelty | null> {
    if (meta.novel === null) return null;
    const { block, count, selected, fdr } = meta.novel;
    const listed = JSON.parse(new TextDecoder().decode(await readBlock(block))) as NovelStructure[];
    return new Novelty(listed, count, selected, fdr);
  }

  /** The listed structure of a rank. */
  ranked(rank: number): NovelStructure | undefined {
    return this.byRank.get(rank);
  }
}

function novelTable(meta: Meta, listed: NovelStructure[], open: (row: number) => void): Table {
  const titles = (labels: string | null): string | null => (labels === null ? null : titlesOf(meta, labels));
  const columns: TableColumn[] = [
    { ...numberColumn("Rank", (i) => listed[i].rank), width: 64 },
    {
      ...numberColumn(
        "Count",
        (i) => listed[i].count,
        (value) => count(value ?? 0),
      ),
      width: 68,
    },
    {
      ...textColumn("Formula", 130, (i) => listed[i].formula),
      cell: (i) => formula(shortened(listed[i].formula ?? "", CELL)),
    },
    {
      ...textColumn("Structure", 300, (i) => listed[i].structure_id),
      cell: (i) => identifier(listed[i]),
    },
    numberColumn("Score", (i) => listed[i].ood_score),
    numberColumn("q-value", (i) => listed[i].ood_q_value),
    textColumn("Nearest known prototype", 180, (i) => titles(listed[i].nearest_class)),
    textColumn("Protostructure", 190, (i) => listed[i].protostructure),
    textColumn("Prototype by symmetry", 150, (i) => titles(listed[i].symmetry_class)),
  ];
  const take = (i: number): void => {
    const { row } = listed[i];
    if (row !== null) open(row);
  };
  const table = new Table("Novel structures", columns, take);
  table.setItems(Array.from(listed.keys()));
  return table;
}

function identifier({ structure_id, row }: NovelStructure): Node {
  const id = isolated(shortened(structure_id, CELL));
  return row === null ? el("span", { class: "quiet" }, id, " · not on the map as screened") : id;
}

/** The list; the structure in the details is marked in it, or what stands for it. */
export function novelPanel(
  state: State,
  novelty: Novelty,
  go: { structure: (row: number) => void; category: (column: string, code: number) => void },
): HTMLElement {
  const { listed, selected, fdr } = novelty;
  if (listed.length === 0)
    return sentence("notice", `Nothing was selected at a false discovery rate of ${rate(fdr)}.`);
  const table = novelTable(state.meta, listed, go.structure);
  const places = new Map(listed.map((one, i) => [one.rank, i]));
  const ranks = state.columns.get(RANK);
  state.on(["active"], () => {
    const rank = state.active === null ? NaN : ranks.value(state.active);
    table.mark(places.get(rank) ?? null);
  });
  const first = listed.length < novelty.count ? `first ${count(listed.length)} of ` : "";
  const among = `${count(selected)} selected at a false discovery rate of ${rate(fdr)}`;
  const words = `${first}${counted(novelty.count, "novel structure")} among ${among}`;
  const show = button("Show the selected on the map", () => go.category(SELECTED, 1));
  const bar = el(
    "div",
    { class: "panel-bar" },
    el("span", { class: "panel-words" }, words),
    el("span", { class: "grow" }),
    show,
  );
  return el("div", { class: "panel-column" }, bar, table.element);
}
