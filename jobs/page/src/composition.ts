/** Chemical formulas as numbers of atoms. */

/** Elements with their numbers, divided by what they have in common; null where it is not a formula. */
export function parse(text: string): Map<string, number> | null {
  const found = new Map<string, number>();
  let read = 0;
  for (const match of text.matchAll(/([A-Z][a-z]?)(\d*\.?\d*)/g)) {
    if (match.index !== read) return null;
    read += match[0].length;
    found.set(match[1], (found.get(match[1]) ?? 0) + (match[2] === "" ? 1 : Number(match[2])));
  }
  if (read !== text.length || found.size === 0) return null;
  const divisor = [...found.values()].reduce(commonDivisor);
  for (const [element, amount] of found) found.set(element, amount / divisor);
  return found;
}

function commonDivisor(a: number, b: number): number {
  if (!Number.isInteger(a) || !Number.isInteger(b)) return 1;
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** The same text for the same composition, whatever the order of its elements. */
export function compositionKey(composition: Map<string, number>): string {
  return [...composition]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flat()
    .join(" ");
}

/** The same text for the same elements. */
export function elementsKey(elements: Iterable<string>): string {
  return [...new Set(elements)].sort().join("-");
}
