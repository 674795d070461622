/** Panels of which one is seen (tabs; the left and right arrow keys go from one to the next). */

import { byId, el } from "./dom";

export interface Tab {
  id: string;
  title: string;
  element: HTMLElement;
}

export class Tabs {
  private readonly list = byId("tabs");
  private readonly panels = byId("panels");
  private readonly buttons: HTMLButtonElement[];

  constructor(
    private readonly tabs: Tab[],
    private readonly opened: () => void,
  ) {
    this.buttons = tabs.map((tab) => this.button(tab));
    this.list.replaceChildren(...this.buttons);
    for (const tab of tabs) {
      const attributes = {
        role: "tabpanel",
        id: `panel-${tab.id}`,
        "aria-labelledby": `tab-${tab.id}`,
        class: "panel",
      };
      this.panels.append(el("div", attributes, tab.element));
    }
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.show(tabs[0].id);
  }

  show(id: string): void {
    this.tabs.forEach((tab, i) => {
      const chosen = tab.id === id;
      this.buttons[i].setAttribute("aria-selected", String(chosen));
      this.buttons[i].tabIndex = chosen ? 0 : -1;
      this.panels.children[i].toggleAttribute("hidden", !chosen);
    });
  }

  /** Show a number, or any short text, beside a title. */
  setBadge(id: string, text: string): void {
    const badge = this.buttons[this.tabs.findIndex((tab) => tab.id === id)].querySelector(".badge");
    if (badge !== null) badge.textContent = text;
  }

  private button(tab: Tab): HTMLButtonElement {
    const onclick = (): void => {
      this.show(tab.id);
      this.opened();
    };
    const attributes = {
      type: "button",
      role: "tab",
      id: `tab-${tab.id}`,
      "aria-controls": `panel-${tab.id}`,
      onclick,
    };
    return el("button", attributes, tab.title, el("span", { class: "badge" }));
  }

  private key(event: KeyboardEvent): void {
    const at = this.buttons.findIndex((one) => one === document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined || at < 0) return;
    const next = (at + step + this.tabs.length) % this.tabs.length;
    this.buttons[next].focus();
    this.show(this.tabs[next].id);
    event.preventDefault();
    event.stopPropagation();
  }
}
