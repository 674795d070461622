/** The height of the panels under the map. */

import { byId } from "./dom";

const LEAST = 120;
const STEP = 40;

export class Drawer {
  private readonly handle = byId("drawer-handle");
  private readonly toggle = byId("drawer-toggle");
  private height = Math.round(Math.min(320, Math.max(200, window.innerHeight * 0.28)));
  private open = true;

  constructor() {
    this.toggle.addEventListener("click", () => this.setOpen(!this.open));
    this.handle.addEventListener("pointerdown", (event) => this.handle.setPointerCapture(event.pointerId));
    this.handle.addEventListener("pointermove", (event) => {
      if (this.handle.hasPointerCapture(event.pointerId)) this.resize(window.innerHeight - event.clientY);
    });
    this.handle.addEventListener("keydown", (event) => {
      const step = { ArrowUp: STEP, ArrowDown: -STEP }[event.key];
      if (step === undefined) return;
      this.resize(this.height + step);
      event.preventDefault();
    });
    this.apply();
  }

  setOpen(open: boolean): void {
    this.open = open;
    this.apply();
  }

  private resize(height: number): void {
    this.height = Math.min(Math.round(window.innerHeight * 0.7), Math.max(LEAST, Math.round(height)));
    this.open = true;
    this.apply();
  }

  private apply(): void {
    document.documentElement.style.setProperty("--drawer", `${this.height}px`);
    document.documentElement.classList.toggle("drawer-closed", !this.open);
    this.handle.setAttribute("aria-valuenow", String(this.height));
    this.toggle.setAttribute("aria-expanded", String(this.open));
  }
}
