/** Light and dark. */

import { byId } from "./dom";
import type { State, Theme } from "./state";

/** Follows the system until the button is pressed. */
export function startTheme(state: State): void {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const toggle = byId("theme");
  let chosen = false;
  const set = (theme: Theme): void => {
    state.theme = theme;
    document.documentElement.dataset.theme = theme;
    toggle.setAttribute("aria-pressed", String(theme === "dark"));
    state.emit("look");
  };
  toggle.addEventListener("click", () => {
    chosen = true;
    set(state.theme === "dark" ? "light" : "dark");
  });
  dark.addEventListener("change", () => {
    if (!chosen) set(dark.matches ? "dark" : "light");
  });
  set(dark.matches ? "dark" : "light");
}
