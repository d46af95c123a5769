// Markdown to HTML, with the sections of a page as the search and the table of contents want them.
import { Marked } from "marked";
import { escapeHtml, highlight, linkNames } from "./highlight.js";

/**
 * @typedef {object} Section
 * @property {number} depth
 * @property {string} id
 * @property {string} title as plain text
 * @property {string} text what stands below it, as plain text
 * @property {string} opening the first of it: words where there are any, else code
 */

/**
 * @param {string} text
 * @param {object} options
 * @param {(address: string) => string} options.link where an address in the text leads
 * @param {(name: string) => string | undefined} options.name where an exported name is explained
 * @param {boolean} [options.api] a page of the reference: headings of names keep them as ids, code links to types
 * @returns {{ html: string, sections: Section[] }}
 */
export function render(text, { link, name, api = false }) {
  const ids = new Set();
  const sections = [];
  const idOf = (title, depth) => {
    const base = api && depth === 3 ? title : slug(title);
    let id = base;
    for (let i = 1; ids.has(id); i++) id = `${base}-${i}`;
    ids.add(id);
    return id;
  };
  let inLink = false;
  // The name that is being explained, which needs no link to itself.
  let current = "";
  const renderer = {
    heading({ tokens, depth }) {
      const title = plain(tokens);
      const id = idOf(title, depth);
      sections.push({ depth, id, title, text: "", opening: "" });
      current = api && depth === 3 ? title : "";
      const inner = api && depth === 3 ? `<code>${escapeHtml(title)}</code>` : this.parser.parseInline(tokens);
      return `<h${depth} id="${escapeHtml(id)}">${inner}<a class="anchor" href="#${escapeHtml(id)}" aria-label="Link to this section">#</a></h${depth}>\n`;
    },
    code({ text: code, lang = "" }) {
      const [language = ""] = lang.split(" ");
      const file = /file=(\S+)/.exec(lang)?.[1];
      const plainHtml = highlight(code, language);
      const linked = (word) => (word === current.replace(/^.*\./, "") ? undefined : name(word));
      const html = api && language === "ts" ? linkNames(plainHtml, linked) : plainHtml;
      const label = file ? `<figcaption>${escapeHtml(file)}</figcaption>` : "";
      const wrapped = language === "text" ? ' class="text"' : "";
      return `<figure class="code">${label}<pre tabindex="0"${wrapped}><code>${html}</code></pre></figure>\n`;
    },
    codespan({ text: code }) {
      // Lower-case words without a namespace are keys and values as often as they are functions of ours.
      const word = code.replace(/\(.*\)$/, "");
      const address = /\.|^[A-Z]\w/.test(word) ? name(word) : undefined;
      const html = `<code>${escapeHtml(code)}</code>`;
      return address && !inLink ? `<a href="${address}">${html}</a>` : html;
    },
    link({ href, tokens }) {
      inLink = true;
      const inner = this.parser.parseInline(tokens);
      inLink = false;
      return `<a href="${escapeHtml(link(href))}">${inner}</a>`;
    },
    table(token) {
      // As marked draws it, in a box that scrolls on a phone.
      return `<div class="scroll">${tableHtml(token, (tokens) => this.parser.parseInline(tokens))}</div>\n`;
    },
    html: ({ text: raw }) => (raw.startsWith("<!--") ? "" : escapeHtml(raw)),
  };
  const marked = new Marked({ gfm: true, renderer });
  const tokens = marked.lexer(text);
  const html = marked.parser(tokens);
  let i = -1;
  const bodies = sections.map(() => []);
  for (const token of tokens)
    if (token.type === "heading") i++;
    else bodies[i]?.push(token);
  for (const [at, body] of bodies.entries()) {
    const code = body.filter(({ type }) => type === "code");
    sections[at].text = plain(body).trim();
    sections[at].opening = plain(body.filter((token) => !code.includes(token))).trim() || plain(code).trim();
  }
  return { html, sections };
}

const tableHtml = ({ header, rows }, inline) => {
  const cell = (tag) => (item) =>
    `<${tag}${item.align ? ` style="text-align:${item.align}"` : ""}>${inline(item.tokens)}</${tag}>`;
  const row = (tag) => (cells) => `<tr>${cells.map(cell(tag)).join("")}</tr>`;
  return `<table><thead>${row("th")(header)}</thead><tbody>${rows.map(row("td")).join("")}</tbody></table>`;
};

/** The words of tokens, without markup. */
function plain(tokens) {
  return tokens
    .map((token) => {
      if (token.type === "table") return plain([...token.header, ...token.rows.flat()].flatMap((cell) => cell.tokens));
      if (token.type === "list") return token.items.map((item) => plain(item.tokens)).join(" ");
      if (token.type === "html" || token.type === "space") return "";
      return token.tokens ? plain(token.tokens) : (token.text ?? "");
    })
    .join(tokens.some(({ type }) => type === "paragraph" || type === "code") ? " " : "")
    .replace(/\s+/g, " ");
}

/** As GitHub makes ids of headings, so that links work there, too. */
export const slug = (title) =>
  title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replace(/\s/g, "-");
