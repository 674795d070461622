/** Atoms, neighbours and candidates of single structures. */

import { NO_NAME, NONE, gunzip, readBlock, type Meta, type Structure } from "./data";

export interface Candidate {
  name: string;
  probability: number;
}

export interface Neighbor {
  row: number;
  distance: number;
}

export class StructureSource {
  private readonly members = new Map<number, [number, number]>();
  private readonly cache = new Map<number, Record<string, Structure>>();

  private constructor(
    private readonly meta: Meta,
    private readonly blocks: {
      structures: Uint8Array<ArrayBuffer>;
      neighbors: Uint32Array;
      distances: Float32Array;
      candidates: Uint16Array;
      probabilities: Uint8Array;
    },
    index: Uint32Array,
  ) {
    for (let i = 0; i < index.length; i += 3) this.members.set(index[i], [index[i + 1], index[i + 2]]);
  }

  static async read(meta: Meta): Promise<StructureSource> {
    const block = (name: string | undefined): Promise<ArrayBuffer> =>
      name === undefined ? Promise.resolve(new ArrayBuffer(0)) : readBlock(name);
    const [structures, index, neighbors, distances, candidates, probabilities] = await Promise.all([
      block(meta.structures?.block),
      block(meta.structures?.index),
      block(meta.neighbors?.block),
      block(meta.neighbors?.distances),
      block(meta.candidates?.block),
      block(meta.candidates?.probabilities),
    ]);
    const blocks = {
      structures: new Uint8Array(structures),
      neighbors: new Uint32Array(neighbors),
      distances: new Float32Array(distances),
      candidates: new Uint16Array(candidates),
      probabilities: new Uint8Array(probabilities),
    };
    return new StructureSource(meta, blocks, new Uint32Array(index));
  }

  /** The nearest structures that the page has, the nearest first. */
  neighbors(row: number): Neighbor[] {
    const k = this.meta.neighbors?.k ?? 0;
    const found = [];
    for (let i = row * k; i < (row + 1) * k; i++) {
      const neighbor = this.blocks.neighbors[i];
      if (neighbor !== NONE) found.push({ row: neighbor, distance: this.blocks.distances[i] });
    }
    return found;
  }

  /** The most probable prototypes; those of no probability are left out. */
  candidates(row: number): Candidate[] {
    const { k = 0, names = [] } = this.meta.candidates ?? {};
    const found = [];
    for (let i = row * k; i < (row + 1) * k; i++) {
      const code = this.blocks.candidates[i];
      const probability = this.blocks.probabilities[i] / 255;
      if (code !== NO_NAME && (probability > 0 || found.length === 0))
        found.push({ name: names[code], probability });
    }
    return found;
  }

  /** The atoms of a structure: from the page, else from the server; null where there is neither. */
  async structure(row: number): Promise<Structure | null> {
    const place = this.members.get(row);
    if (place !== undefined) return (await this.member(place))[row];
    if (this.meta.served === false) return null;
    const answer = await fetch(`${this.meta.served.api}/structure/${row}`, { credentials: "same-origin" });
    if (answer.status === 404) return null;
    if (!answer.ok) throw new Error(`The server answered ${answer.status} ${answer.statusText}.`);
    return (await answer.json()) as Structure;
  }

  private async member([offset, length]: [number, number]): Promise<Record<string, Structure>> {
    const known = this.cache.get(offset);
    if (known !== undefined) return known;
    const buffer = await gunzip(this.blocks.structures.slice(offset, offset + length));
    const decoded = JSON.parse(new TextDecoder().decode(buffer)) as Record<string, Structure>;
    this.cache.set(offset, decoded);
    return decoded;
  }
}
