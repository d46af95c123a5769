// Which pages there are, from which files, in which order.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { papers } from "../../dist/catalogue/index.js";

const root = new URL("../../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");

/** Guides in the order in which one reads them; what else is in docs follows the last of "Use it". */
const guides = {
  Begin: ["first-program", "concepts"],
  "Use it": [
    "train-a-language-model",
    "fine-tune-a-checkpoint",
    "look-inside-it",
    "ship-it-to-a-web-page",
    "choose-a-norm",
  ],
  "Extend it": ["write-an-operation", "write-a-module", "write-a-norm", "write-a-placement"],
};

/**
 * @typedef {object} Page
 * @property {string} path where it is below the site's root
 * @property {string} source the file that its links are relative to
 * @property {string} title
 * @property {string} label its title in the list of pages
 * @property {string} group
 * @property {string} markdown
 */

/** @returns {Page[]} */
export function pagesOfFiles() {
  const named = new Set(Object.values(guides).flat());
  const present = readdirSync(new URL("docs", root))
    .filter((file) => file.endsWith(".md"))
    .map((file) => file.slice(0, -3));
  const more = present.filter((name) => !named.has(name));
  const files = Object.entries(guides).flatMap(([group, names]) =>
    [...names, ...(group === "Use it" ? more : [])]
      .filter((name) => present.includes(name))
      .map((name) => file(`docs/${name}.md`, `${name}.html`, group)),
  );
  // scripts/paper-pages.js says where one is missing.
  const done = papers.filter(({ id }) => existsSync(new URL(`docs/papers/${id}.md`, root)));
  const shortest = new Set(["Deep", "The"]);
  const labelOf = (title) => {
    const [head] = title.split(":");
    return head.length < title.length && !shortest.has(head) ? head : title;
  };
  return [
    { ...file("README.md", "index.html", "Begin"), label: "Overview" },
    ...files,
    { ...file("docs/papers/README.md", "papers/index.html", "Papers"), label: "All papers" },
    ...done.map(({ id, title }) => ({
      ...file(`docs/papers/${id}.md`, `papers/${id}.html`, "Papers"),
      label: labelOf(title),
    })),
    { ...file("CONTRIBUTING.md", "contributing.html", "Project") },
    { ...file("CHANGELOG.md", "changelog.html", "Project") },
    { ...file("LOG.md", "log.html", "Project") },
  ];
}

function file(source, path, group) {
  const markdown = read(source);
  const title = /^# (.+)$/m.exec(markdown)?.[1];
  if (!title) throw new Error(`${source}: expected a heading "# …" for the page's title`);
  return { path, source, title, label: title, group, markdown };
}
