// Builds the documentation as a folder of pages that need no server: guides, papers and the reference, with a search.
//
//   node scripts/site/main.js [folder]          after a build; default: site/
//
// Fails, after writing everything, when a link in a page leads nowhere.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { pagesOfFiles } from "./contents.js";
import { linker, relative, sourcePage } from "./links.js";
import { render } from "./markdown.js";
import { reference } from "./reference.js";
import { searchIndex } from "./search-index.js";
import { styleSheet } from "./style.js";
import { pageHtml } from "./template.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const output = resolve(process.argv[2] ?? join(root, "site"));
const { pages: apiPages, names } = reference();
const api = apiPages.map((page) => ({
  ...page,
  source: page.path,
  label: page.label ?? page.title,
  group: "Reference",
}));
const pages = inOrder([...pagesOfFiles(), ...api]);
const links = linker(pages);

rmSync(output, { recursive: true, force: true });
const indexed = pages.map((page) => ({ ...page, ...write(page) }));
// Source pages are not searched: what they export is in the reference. Those of folders link to further files.
for (const [source, path] of links.sources) write(sourcePage(source, path));
save("style.css", styleSheet);
save("search-index.js", searchIndex(indexed));
save("site.js", await client());

console.log(`${output}: ${pages.length} pages and ${links.sources.size} of sources; open index.html`);
if (links.dead.length > 0) {
  console.error([...new Set(links.dead)].join("\n"));
  process.exitCode = 1;
}

function write(page) {
  const rendered = render(page.markdown, {
    link: links.on(page),
    name: (name) => {
      const address = names.get(name);
      return address && relative(page.path, address);
    },
    api: page.path.startsWith("api/"),
  });
  save(page.path, pageHtml(page, rendered, pages));
  return rendered;
}

function save(path, text) {
  mkdirSync(dirname(join(output, path)), { recursive: true });
  writeFileSync(join(output, path), text);
}

async function client() {
  const entry = fileURLToPath(new URL("client.js", import.meta.url));
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2022",
    write: false,
  });
  return outputFiles[0].text;
}

function inOrder(all) {
  const groups = ["Begin", "Use it", "Extend it", "Reference", "Papers", "Project"];
  return groups.flatMap((group) => all.filter((page) => page.group === group));
}
