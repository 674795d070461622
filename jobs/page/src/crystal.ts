/** Atoms of a cell as a picture shows them: copies on its faces, supercells, bonds, lengths and angles. */

import type { Structure, Vector } from "./data";
import { covalentRadius, elementOf, isMetal } from "./elements";

export interface Atom {
  elem: string;
  x: number;
  y: number;
  z: number;
  serial: number;
  bonds: number[];
  bondOrder: number[];
}

const ON_A_FACE = 1e-3;
/** Bonds are shorter than so many times the sum of the covalent radii. */
const BOND = 1.15;
export const MOST_ATOMS = 4000;

function times(vectors: Vector[], factors: Vector): Vector {
  const sum = (i: 0 | 1 | 2): number =>
    vectors.reduce((total, vector, k) => total + factors[k] * vector[i], 0);
  return [sum(0), sum(1), sum(2)];
}

function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function fractions(lattice: Vector[], position: Vector): Vector {
  const [a, b, c] = lattice;
  const volume = dot(a, cross(b, c));
  const part = (normal: Vector): number => dot(position, normal) / volume;
  return [part(cross(b, c)), part(cross(c, a)), part(cross(a, b))];
}

/** Atoms of `repeats` cells along each periodic vector; those on a face are shown on the opposite one too. */
export function atomsOf(structure: Structure, repeats: number): Atom[] {
  const { lattice, pbc, positions, species } = structure;
  const atoms: Atom[] = [];
  const add = (position: Vector, i: number): void => {
    const [x, y, z] = position;
    atoms.push({ elem: elementOf(species[i]), x, y, z, serial: atoms.length, bonds: [], bondOrder: [] });
  };
  positions.forEach((position, i) => {
    if (lattice === null) {
      add(position, i);
      return;
    }
    const inside = fractions(lattice, position).map((f, k) => (pbc[k] === 1 ? wrapped(f) : f)) as Vector;
    const steps = inside.map((f, k) => images(f, pbc[k] === 1 ? repeats : 1, pbc[k] === 1));
    for (const a of steps[0])
      for (const b of steps[1])
        for (const c of steps[2]) {
          add(times(lattice, [inside[0] + a, inside[1] + b, inside[2] + c]), i);
        }
  });
  bond(atoms);
  return atoms;
}

function wrapped(fraction: number): number {
  const inside = fraction - Math.floor(fraction);
  return inside > 1 - ON_A_FACE ? inside - 1 : inside;
}

function images(fraction: number, repeats: number, periodic: boolean): number[] {
  const last = periodic && Math.abs(fraction) < ON_A_FACE ? repeats : repeats - 1;
  return Array.from({ length: last + 1 }, (_, i) => i);
}

/** Join neighbours; metals are joined to each other only where there is nothing else. */
function bond(atoms: Atom[]): void {
  const metallic = atoms.every((atom) => isMetal(atom.elem));
  const reach = 2 * BOND * Math.max(...atoms.map((atom) => covalentRadius(atom.elem)));
  const cells = new Map<string, Atom[]>();
  const cell = (atom: Atom): Vector => [atom.x, atom.y, atom.z].map((x) => Math.floor(x / reach)) as Vector;
  for (const atom of atoms) {
    const [i, j, k] = cell(atom);
    for (const a of [-1, 0, 1])
      for (const b of [-1, 0, 1])
        for (const c of [-1, 0, 1]) {
          for (const other of cells.get(`${i + a},${j + b},${k + c}`) ?? []) {
            if (metallic || !(isMetal(atom.elem) && isMetal(other.elem))) join(atom, other);
          }
        }
    const key = `${i},${j},${k}`;
    const here = cells.get(key);
    if (here === undefined) cells.set(key, [atom]);
    else here.push(atom);
  }
}

function join(a: Atom, b: Atom): void {
  const limit = BOND * (covalentRadius(a.elem) + covalentRadius(b.elem));
  const distance = Math.hypot(a.x - b.x, a.y - b.y, a.z - b.z);
  if (distance > limit || distance < 0.4) return;
  a.bonds.push(b.serial);
  b.bonds.push(a.serial);
  a.bondOrder.push(1);
  b.bondOrder.push(1);
}

/** The twelve edges of each of the cells, as pairs of points; none where a vector is not periodic. */
export function edgesOf(structure: Structure, repeats: number): [Vector, Vector][] {
  const { lattice, pbc } = structure;
  if (lattice === null) return [];
  const counts = pbc.map((one) => (one === 1 ? repeats : 1));
  const edges: [Vector, Vector][] = [];
  for (let a = 0; a <= counts[0]; a++)
    for (let b = 0; b <= counts[1]; b++)
      for (let c = 0; c <= counts[2]; c++) {
        const from = times(lattice, [a, b, c]);
        if (a < counts[0]) edges.push([from, times(lattice, [a + 1, b, c])]);
        if (b < counts[1]) edges.push([from, times(lattice, [a, b + 1, c])]);
        if (c < counts[2]) edges.push([from, times(lattice, [a, b, c + 1])]);
      }
  return edges;
}

export interface CellShape {
  lengths: Vector;
  angles: Vector;
  volume: number;
}

/** Lengths in Å, angles in degrees, volume in Å³. */
export function cellShape(lattice: [Vector, Vector, Vector]): CellShape {
  const lengths = lattice.map((vector) => Math.hypot(...vector)) as Vector;
  const angle = (i: 0 | 1 | 2, j: 0 | 1 | 2): number => {
    const cosine = dot(lattice[i], lattice[j]) / (lengths[i] * lengths[j]);
    return (Math.acos(Math.min(1, Math.max(-1, cosine))) * 180) / Math.PI;
  };
  const volume = Math.abs(dot(lattice[0], cross(lattice[1], lattice[2])));
  return { lengths, angles: [angle(1, 2), angle(0, 2), angle(0, 1)], volume };
}
