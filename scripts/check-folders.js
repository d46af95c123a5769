// Folders of src depend on folders to their left in this list, never to their right. Prints every import that breaks
// the rule as file:line and exits with 1. The entry points (src/*.ts) stand right of everything.
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const order = [
  "tensor",
  "compile",
  "runtime",
  "nn",
  "models",
  "optim",
  "objectives",
  "data",
  "train",
  "inspect",
  "compress",
  "adapt",
  "applications",
  "catalogue",
  "studies",
  "report",
  "cli",
];

// `import … from "x"`, `export … from "x"`, `import "x"`, `import("x")`, in code and in types.
const specifier = /(?:\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"'\n]+)\1/g;

/** Violations in one file: `file` is relative to src with forward slashes ("nn/linear.ts"). */
export function violations(file, text) {
  const found = [];
  const own = file.includes("/") ? file.split("/")[0] : undefined;
  const say = (index, message) => found.push(`src/${file}:${text.slice(0, index).split("\n").length}: ${message}`);
  if (own && !order.includes(own))
    return [`src/${file}: folder "${own}" is not in the list of scripts/check-folders.js`];
  for (const { index, 2: target } of text.matchAll(specifier)) {
    const resolved = resolve(file, target);
    if (resolved === undefined || !own || quoted(text, index)) continue;
    const folder = resolved.includes("/") ? resolved.split("/")[0] : undefined;
    if (resolved.startsWith("..")) say(index, `imports ${target}, outside src`);
    else if (!folder) say(index, `imports ${target}, an entry point`);
    else if (order.indexOf(folder) > order.indexOf(own)) say(index, `${own} must not import ${folder} (${target})`);
    else if (!order.includes(folder)) say(index, `imports ${target}, a folder that is not in the list`);
  }
  return found;
}

/** An import that an example in a comment or in an error message shows, rather than makes. */
function quoted(text, index) {
  const before = text.slice(text.lastIndexOf("\n", index) + 1, index);
  return /^\s*(\*|\/\/|\/\*)/.test(before) || /["'`]/.test(before);
}

/** A path relative to src; undefined for packages. `#host` is the runtime's file for this host. */
function resolve(file, target) {
  if (target === "#host") return "runtime/host";
  if (target === "layerwise") return "index";
  return target.startsWith(".") ? posix.normalize(posix.join(posix.dirname(file), target)) : undefined;
}

function main() {
  const src = fileURLToPath(new URL("../src", import.meta.url));
  const files = readdirSync(src, { recursive: true })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => /\.tsx?$/.test(name));
  const broken = files.flatMap((file) => violations(file, readFileSync(`${src}/${file}`, "utf8")));
  for (const line of broken) console.error(line);
  console.log(`${files.length} files, ${broken.length} imports against the folder order`);
  if (broken.length > 0) process.exitCode = 1;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) main();
