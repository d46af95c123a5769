// One page of the site around its text.
import { escapeHtml } from "./highlight.js";
import { relative } from "./links.js";

/**
 * @param {import("./contents.js").Page} page
 * @param {{ html: string, sections: import("./markdown.js").Section[] }} rendered
 * @param {readonly import("./contents.js").Page[]} pages all that are in the list
 */
export function pageHtml(page, { html, sections }, pages) {
  const to = (path) => escapeHtml(relative(page.path, path));
  const title = page.path === "index.html" ? "layerwise" : `${page.title} · layerwise`;
  const about =
    /<p>(.*?)<\/p>/s
      .exec(html)?.[1]
      .replace(/<[^>]*>/g, "")
      .replace(/\s+/g, " ") ?? page.title;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<meta name="description" content="${about.slice(0, 200).replaceAll('"', "&quot;")}">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%23440154' d='M1 10h14v4H1z'/%3E%3Cpath fill='%2321918c' d='M1 6h14v3H1z'/%3E%3Cpath fill='%23b8a800' d='M1 2h14v3H1z'/%3E%3C/svg%3E">
<link rel="stylesheet" href="${to("style.css")}">
<script src="${to("site.js")}"></script>
</head>
<body>
<a class="skip" href="#site-text">To the text</a>
<header>
<a class="name" href="${to("index.html")}">layerwise</a>
<div role="search"><input id="site-search" type="search" placeholder="Search  /" aria-label="Search the documentation" role="combobox" aria-expanded="false" aria-controls="site-results" aria-autocomplete="list" autocomplete="off" spellcheck="false"><div id="site-results" role="listbox" aria-label="Results" hidden></div></div>
<button id="site-theme" type="button" aria-label="Switch between light and dark">◐</button>
</header>
<div class="columns">
<details id="site-menu"><summary>All pages</summary>
<nav aria-label="Pages">${navigation(page, pages, to)}</nav></details>
<main id="site-text">
${html}${around(page, pages, to)}</main>
${contents(page, sections)}</div>
</body>
</html>
`;
}

function navigation(page, pages, to) {
  const groups = [...new Set(pages.map(({ group }) => group))];
  const item = ({ path, label }) =>
    `<li><a href="${to(path)}"${path === page.path ? ' aria-current="page"' : ""}>${escapeHtml(label)}</a></li>`;
  return groups
    .map(
      (group) =>
        `<h2>${group}</h2><ul>${pages
          .filter((other) => other.group === group)
          .map(item)
          .join("")}</ul>`,
    )
    .join("");
}

/** The pages before and after it in its group. */
function around(page, pages, to) {
  const group = pages.filter((other) => other.group === page.group);
  const place = group.findIndex(({ path }) => path === page.path);
  if (place < 0) return "";
  const link = (other, rel) =>
    other ? `<a rel="${rel}" href="${to(other.path)}">${escapeHtml(other.label)}</a>` : "<span></span>";
  return `<footer>${link(group[place - 1], "prev")}${link(group[place + 1], "next")}</footer>\n`;
}

function contents({ group }, sections) {
  const shown = sections.filter(({ depth }) => depth === 2 || (depth === 3 && group !== "Papers"));
  if (shown.length < 2) return "";
  const items = shown.map(
    ({ depth, id, title }) => `<li class="depth-${depth}"><a href="#${escapeHtml(id)}">${escapeHtml(title)}</a></li>`,
  );
  return `<aside aria-label="On this page"><h2>On this page</h2><ul>${items.join("")}</ul></aside>\n`;
}
