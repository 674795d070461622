/** What the details show while no structure is chosen. */

import type { Fact, Meta } from "./data";
import { el, isolated, sentence } from "./dom";
import { count, counted, percent, rate, shortened } from "./format";
import type { State } from "./state";

const LONGEST = 400;

export function factList(facts: Record<string, Fact>): HTMLElement {
  const list = el("dl", { class: "facts run" });
  for (const [name, fact] of Object.entries(facts)) {
    const text =
      typeof fact === "number" ? (Number.isInteger(fact) ? count(fact) : String(fact)) : String(fact ?? "–");
    list.append(el("dt", {}, shortened(name, 80)), el("dd", {}, isolated(shortened(text, LONGEST))));
  }
  return list;
}

function figure(value: string, words: string): HTMLElement {
  return el("div", { class: "figure" }, el("strong", {}, value), el("span", {}, words));
}

function withCode(state: State, name: string, code: number): number {
  const column = state.columns.get(name);
  let found = 0;
  for (let row = 0; row < state.meta.rows; row++) if (column.value(row) === code) found++;
  return found;
}

function clustered(state: State): number {
  return state.meta.clusters.reduce((sum, cluster) => sum + cluster.size, 0);
}

/** Which structures can be seen in 3D. */
function drawable({ structures, served, rows }: Meta): string {
  if (served !== false) return "Every structure can be seen in 3D.";
  const count = structures?.count ?? 0;
  if (count >= rows) return "Every structure can be seen in 3D.";
  return `${counted(count, "structure")} can be seen in 3D here; \`crysift serve\` shows all.`;
}

/** Headline figures and how to begin. */
export function overview(state: State): HTMLElement {
  const { meta } = state;
  const share = (part: number): string => percent(meta.rows === 0 ? 0 : part / meta.rows);
  const strange = withCode(state, "is_ood", 1);
  const prototypes = meta.panels.prototypes.filter((one) => one.recognised > 0).length;
  return el(
    "div",
    { class: "overview" },
    el("h2", {}, isolated(shortened(meta.title, 120))),
    el(
      "div",
      { class: "figures" },
      figure(count(meta.rows), "structures"),
      figure(count(meta.clusters.length), "clusters"),
      figure(share(strange), "out of distribution"),
      figure(share(clustered(state)), "in a cluster"),
      figure(count(prototypes), "prototypes recognised"),
      ...(meta.novel === null
        ? []
        : [
            figure(count(meta.novel.count), "novel structures"),
            figure(count(meta.novel.selected), `selected at an FDR of ${rate(meta.novel.fdr)}`),
          ]),
      figure(count(meta.panels.rejects.reduce((sum, one) => sum + one.count, 0)), "rejected"),
    ),
    el("p", {}, "Each point is a crystal structure; near points have like surroundings of their atoms."),
    el(
      "ul",
      { class: "hints" },
      el("li", {}, "Click a point to see the structure, its prototype and its neighbours."),
      el("li", {}, "Draw around points with the lasso, or with Shift held, to list them."),
      el("li", {}, "Click entries of the legend to see them alone."),
      el("li", {}, "Press ", el("kbd", {}, "/"), " to search and ", el("kbd", {}, "?"), " for all keys."),
    ),
    sentence("quiet", drawable(meta)),
  );
}
