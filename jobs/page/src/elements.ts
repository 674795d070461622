/** Facts about chemical elements that pictures of structures need. */

const SYMBOLS = (
  "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr " +
  "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb " +
  "Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm"
).split(" ");

/** Covalent radii in hundredths of Å: B. Cordero et al., Dalton Trans. 2832 (2008). */
const RADII = (
  "20 31 28 128 96 84 76 71 66 57 58 166 141 121 111 107 105 102 106 203 176 170 160 153 139 139 132 " +
  "126 124 132 122 122 120 119 120 120 116 220 195 190 175 164 154 147 146 142 139 145 144 142 139 139 " +
  "138 139 140 244 215 207 204 203 201 199 198 198 196 194 192 192 189 190 187 187 175 170 162 151 144 " +
  "141 136 136 132 145 146 148 140 150 150 260 221 215 206 200 196 190 187 180 169"
)
  .split(" ")
  .map(Number);

const NONMETALS = new Set("H He B C N O F Ne Si P S Cl Ar Ge As Se Br Kr Sb Te I Xe At Rn".split(" "));

const PLACE = new Map(SYMBOLS.map((symbol, place) => [symbol, place]));

/** The element that the name of a species begins with, `X` where that is none. */
export function elementOf(species: string): string {
  const symbol = /^[A-Z][a-z]?/.exec(species)?.[0] ?? "X";
  if (PLACE.has(symbol)) return symbol;
  return PLACE.has(symbol[0]) ? symbol[0] : "X";
}

/** In Å. */
export function covalentRadius(element: string): number {
  return (RADII[PLACE.get(element) ?? 0] ?? 150) / 100;
}

export function isMetal(element: string): boolean {
  return !NONMETALS.has(element);
}
