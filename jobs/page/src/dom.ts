/** Building elements. Text from data only ever becomes text nodes and attribute values, never markup. */

type Child = Node | string | null | undefined | false;
type Value = string | number | boolean | null | undefined | EventListener;

/** An element; `on…` values are listeners, `true` is an empty attribute, `false` and null are none. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  append(element, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag: string, attributes: Record<string, Value> = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS(SVG, tag);
  setAttributes(element, attributes);
  append(element, children);
  return element;
}

function setAttributes(element: Element, attributes: Record<string, Value>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

function append(element: Element, children: Child[]): void {
  for (const child of children)
    if (child !== null && child !== undefined && child !== false) element.append(child);
}

/** An element of the template. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`The page has no element ${id}.`);
  return element;
}

/** A text that keeps its writing direction to itself. */
export function isolated(text: string, className?: string): HTMLElement {
  return el("bdi", { class: className }, text);
}

/** A formula with its numbers as subscripts. */
export function formula(text: string): HTMLElement {
  const node = el("bdi", { class: "formula" });
  for (const part of text.split(/(\d+(?:\.\d+)?)/)) {
    if (part === "") continue;
    node.append(/^\d/.test(part) ? el("sub", {}, part) : part);
  }
  return node;
}

/** A paragraph; words between backquotes are code. */
export function sentence(className: string, text: string): HTMLElement {
  const words = text.split("`").map((part, i) => (i % 2 === 1 ? el("code", {}, part) : part));
  return el("p", { class: className }, ...words);
}

/** A stroked icon of 16 × 16 units; `d` is the path. */
export function icon(d: string): SVGElement {
  return svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, svg("path", { d }));
}

export function button(label: string, onclick: EventListener, ...children: Child[]): HTMLButtonElement {
  const named = children.length > 0;
  return el(
    "button",
    { type: "button", onclick, "aria-label": named ? label : null, title: named ? label : null },
    ...(named ? children : [label]),
  );
}
