// Bundles the page: dist/page.js (deck.gl, src/), dist/viewer.js (3Dmol.js), dist/page.css, LICENSES.txt.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const MODULES = "node_modules";
/** What the hash in the banner covers, in this order. */
const SOURCES = [
  "build.mjs",
  "package-lock.json",
  "package.json",
  "page.css",
  "tsconfig.json",
  ...readdirSync("src")
    .sort()
    .map((name) => `src/${name}`),
];

/** SHA-256 over each file's path, a zero byte, its content and a zero byte. */
function sourceHash() {
  const hash = createHash("sha256");
  for (const name of SOURCES) hash.update(name).update("\0").update(readFileSync(name)).update("\0");
  return hash.digest("hex");
}

function check(name, text) {
  if (/<\/script|<!--/i.test(text)) throw new Error(`${name} holds text that ends a script element.`);
}

async function bundle(entry, options) {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    charset: "utf8",
    legalComments: "none",
    write: false,
    metafile: true,
    ...options,
  });
  return { text: result.outputFiles[0].text, inputs: Object.keys(result.metafile.inputs) };
}

/** The package folder of a bundled file, such as node_modules/@deck.gl/core. */
function packageOf(input) {
  const parts = input.slice(input.lastIndexOf(`${MODULES}/`) + MODULES.length + 1).split("/");
  return parts.slice(0, parts[0].startsWith("@") ? 2 : 1).join("/");
}

/** 3Dmol.js holds these packages. */
const IN_VIEWER = ["3dmol", "iobuffer", "netcdfjs", "pako", "upng-js"];

function licenceText(name) {
  const folder = join(MODULES, name);
  const file = readdirSync(folder)
    .sort()
    .find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  if (file === undefined) throw new Error(`${name} has no licence text.`);
  return readFileSync(join(folder, file), "utf8").trim();
}

function licences(names) {
  const rule = "=".repeat(100);
  const parts = names.map((name) => {
    const { version, license } = JSON.parse(readFileSync(join(MODULES, name, "package.json"), "utf8"));
    return `${rule}\n${name} ${version} (${license})\n${rule}\n\n${licenceText(name)}\n`;
  });
  return `The files page.js and viewer.js in this folder hold these packages.\n\n${parts.join("\n")}`;
}

const hash = sourceHash();
const page = await bundle("src/page.ts", {
  format: "iife",
  target: "es2022",
  define: { "process.env.NODE_ENV": '"production"' },
  banner: { js: `/* crysift page; sources sha256:${hash}; licences: LICENSES.txt */` },
});
const style = await bundle("page.css", { loader: { ".css": "css" } });
const viewer = readFileSync(join(MODULES, "3dmol/build/3Dmol-min.js"), "utf8").replace(
  /\n?\/\/# sourceMappingURL=.*\s*$/,
  "",
);
check("page.js", page.text);
check("viewer.js", viewer);
const bundled = page.inputs.filter((input) => input.includes(`${MODULES}/`)).map(packageOf);
rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
writeFileSync("dist/page.js", page.text);
writeFileSync("dist/page.css", style.text);
writeFileSync("dist/viewer.js", viewer);
writeFileSync("dist/LICENSES.txt", licences([...new Set([...bundled, ...IN_VIEWER])].sort()));
