// Writes src/catalogue/papers/index.ts from the files beside it: one line per paper, by its id. With --check it changes
// nothing and exits with 1 when the file is not what it would write.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const folder = new URL("../src/catalogue/papers/", import.meta.url);
const index = new URL("index.ts", folder);
const ids = readdirSync(folder)
  .map((name) => name.replace(/\.ts$/, ""))
  .filter((name) => name !== "index")
  .sort();
const line = (id) => {
  const [, name] = /export const (\w+) = entry\(/.exec(readFileSync(new URL(`${id}.ts`, folder), "utf8")) ?? [];
  if (!name) throw new Error(`src/catalogue/papers/${id}.ts: expected \`export const … = entry({\``);
  return `export { ${name} } from "./${id}.js";`;
};
const text = `// Written by scripts/catalogue-index.js: a paper's file is its whole entry.\n${ids.map(line).join("\n")}\n`;

if (!process.argv.includes("--check")) writeFileSync(index, text);
else if (readFileSync(index, "utf8") !== text) {
  console.error("src/catalogue/papers/index.ts: out of date; run `node scripts/catalogue-index.js`");
  process.exit(1);
} else console.log(`src/catalogue/papers/index.ts: ${ids.length} papers`);
