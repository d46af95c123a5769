// Code as HTML with classes; the page's style sheet gives them colours in light and dark.
import core from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import css from "highlight.js/lib/languages/css";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

const languages = { bash, css, javascript, json, python, typescript, xml, yaml };
for (const [name, language] of Object.entries(languages)) core.registerLanguage(name, language);
const aliases = { sh: "bash", js: "javascript", mjs: "javascript", ts: "typescript", html: "xml", py: "python" };

export const escapeHtml = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** Languages that are not known here, and plain text, are only escaped. */
export function highlight(code, language) {
  const name = aliases[language] ?? language;
  return name in languages ? core.highlight(code, { language: name }).value : escapeHtml(code);
}

/** Types in highlighted code, not in its comments, become links; `link` gives the address of a name, or undefined. */
export const linkNames = (html, link) =>
  html.replace(
    /(<span class="hljs-(?:comment|string)">[\s\S]*?<\/span>|<[^>]*>|&\w+;)|\b[A-Z]\w+\b/g,
    (name, markup) => {
      const address = markup ? undefined : link(name);
      return address ? `<a href="${address}">${name}</a>` : name;
    },
  );
