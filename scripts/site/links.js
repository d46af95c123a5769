// Where an address in a file of the repository leads on the site. Files that are no pages get one with their text.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** @param {readonly import("./contents.js").Page[]} pages */
export function linker(pages) {
  const known = new Map(
    pages.flatMap(({ source, path }) => [
      [source, path],
      [path, path],
    ]),
  );
  /** Files of the repository that pages link to, and where they go. */
  const sources = new Map();
  const dead = [];

  const target = (path) => {
    if (known.has(path)) return known.get(path);
    if (!path || path.startsWith("..") || !existsSync(root + path)) return undefined;
    const folder = statSync(root + path).isDirectory();
    const page = `source/${path.replace(/\/$/, "")}${folder ? "/index" : ""}.html`;
    if (!sources.has(path)) sources.set(path, page);
    return page;
  };

  /** For a page: from an address in it to one relative to it. */
  const on = (page) => (address) => {
    if (/^(?:[a-z]+:|#)/.test(address)) return address;
    const [path, hash] = address.split("#");
    const found = target(posix.normalize(posix.join(posix.dirname(page.source), path)));
    if (!found) dead.push(`${page.source}: "${address}" is neither a page nor a file`);
    return found ? `${relative(page.path, found)}${hash ? `#${hash}` : ""}` : address;
  };
  return { on, sources, dead };
}

/** From one page to another, so that the site works from any folder. */
export const relative = (from, to) => posix.relative(posix.dirname(from), to);

const language = (path) => /\.(\w+)$/.exec(path)?.[1] ?? "text";

/** The page of a file or a folder, as Markdown. */
export function sourcePage(source, path) {
  const full = root + source;
  const folder = statSync(full).isDirectory();
  const title = source.replace(/\/$/, "");
  if (folder) {
    const items = readdirSync(full).map(
      (name) => `- [${name}](${posix.join(title, name).slice(posix.dirname(title).length + 1)})`,
    );
    return { path, source: title, title, label: title, group: "", markdown: `# ${title}\n\n${items.join("\n")}\n` };
  }
  const text = readFileSync(full, "utf8");
  // A fence that the text cannot close.
  const fence = "`".repeat(Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length)) + 1);
  const markdown = `# ${title}\n\n${fence}${language(source)}\n${text}\n${fence}\n`;
  return { path, source, title, label: title, group: "", markdown };
}
