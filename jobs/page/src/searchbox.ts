/** The search field with its list of suggestions (a combobox). */

import { byId, el, formula, icon, isolated } from "./dom";
import { count, counted, shortened } from "./format";
import type { Search, Suggestion } from "./search";
import type { State } from "./state";

export interface Destinations {
  structure: (row: number) => void;
  category: (column: string, code: number) => void;
  all: (rows: Uint32Array, query: string) => void;
}

const LABEL = 70;
const DELAY = 90;

export class SearchBox {
  private readonly input = byId("search") as HTMLInputElement;
  private readonly list = byId("suggestions");
  private lines: Suggestion[] = [];
  private chosen = -1;
  private timer = 0;

  constructor(
    private readonly state: State,
    private readonly search: Search,
    private readonly go: Destinations,
  ) {
    this.input.addEventListener("input", () => {
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.update(), DELAY);
    });
    this.input.addEventListener("focus", () => this.update());
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
  }

  focus(): void {
    this.input.focus();
    this.input.select();
  }

  private update(): void {
    window.clearTimeout(this.timer);
    this.lines = this.search.suggest(this.input.value);
    this.chosen = -1;
    const empty = this.input.value.trim() !== "" && this.lines.length === 0;
    this.list.replaceChildren(...this.lines.map((line, i) => this.option(line, i)));
    if (empty) this.list.append(el("li", { class: "nothing", role: "presentation" }, "Nothing found"));
    const open = this.lines.length > 0 || empty;
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    this.input.removeAttribute("aria-activedescendant");
  }

  private close(): void {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }

  private option(line: Suggestion, place: number): HTMLElement {
    const attributes = {
      role: "option",
      id: `suggestion-${place}`,
      "aria-selected": "false",
      class: `suggestion ${line.kind}`,
      onclick: () => this.take(line),
    };
    return el("li", attributes, ...this.words(line));
  }

  private words(line: Suggestion): (Node | string)[] {
    if (line.kind === "category") {
      const kind = line.column === "cluster" ? "cluster" : "prototype";
      return [
        tag(kind),
        isolated(shortened(line.label, LABEL), "main"),
        el("span", { class: "quiet" }, count(line.count)),
      ];
    }
    if (line.kind === "all") {
      const words = `Show ${counted(line.rows.length, "structure")} with “${shortened(line.query, 30)}”`;
      return [icon("M3 4h10M3 8h10M3 12h6"), el("span", { class: "main" }, words)];
    }
    const { columns } = this.state;
    const text = (name: string): string => shortened(columns.get(name).text(line.row), LABEL);
    return [
      formula(text("formula")),
      isolated(text("structure_id"), "main quiet"),
      isolated(text("prototype"), "quiet"),
    ];
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "ArrowDown") this.choose(this.chosen + 1);
    else if (event.key === "ArrowUp") this.choose(this.chosen - 1);
    else if (event.key === "Enter") this.enter();
    else if (event.key === "Escape") this.escape();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private choose(place: number): void {
    if (this.lines.length === 0) return;
    this.chosen = (place + this.lines.length) % this.lines.length;
    for (const [i, option] of [...this.list.children].entries()) {
      option.setAttribute("aria-selected", String(i === this.chosen));
    }
    const option = this.list.children[this.chosen];
    option.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", option.id);
  }

  /** Without a choice: the category of this very name, all structures or the only one, or the first line. */
  private enter(): void {
    this.refresh();
    const exact = this.lines.find(
      (line) => line.kind === "category" && this.names(line).includes(this.input.value.trim()),
    );
    const line =
      this.lines[this.chosen] ?? exact ?? this.lines.find((one) => one.kind !== "category") ?? this.lines[0];
    if (line !== undefined) this.take(line);
  }

  private names({ column, code }: { column: string; code: number }): string[] {
    const { labels, stored } = this.state.columns.get(column);
    return [labels[code], stored[code]];
  }

  private refresh(): void {
    if (this.chosen < 0) this.update();
  }

  private escape(): void {
    if (!this.list.hidden) this.close();
    else if (this.input.value !== "") this.input.value = "";
    else this.input.blur();
  }

  private take(line: Suggestion): void {
    if (line.kind === "structure") this.go.structure(line.row);
    else if (line.kind === "category") this.go.category(line.column, line.code);
    else this.go.all(line.rows, line.query);
    this.close();
  }
}

function tag(kind: string): HTMLElement {
  return el("span", { class: "tag" }, kind);
}
