// The index of all sections, made here and only read in the browser.
import MiniSearch from "minisearch";
import { indexOptions } from "./terms.js";

const excerptOf = (text) => (text.length > 160 ? `${text.slice(0, 160).replace(/\s+\S*$/, "")} …` : text);

/** @param {{ path: string, title: string, sections: import("./markdown.js").Section[] }[]} pages */
export function searchIndex(pages) {
  const index = new MiniSearch(indexOptions);
  const documents = pages.flatMap(({ path, title, sections }) =>
    sections.map(({ id, title: heading, text, opening, depth }) => ({
      title: heading,
      page: title,
      text,
      address: depth === 1 ? path : `${path}#${id}`,
      excerpt: excerptOf(opening),
    })),
  );
  index.addAll(documents.map((item, id) => ({ id, ...item })));
  // A string in a script rather than a file to fetch; JSON is valid in a string literal once it is one itself.
  return `window.layerwiseIndex = ${JSON.stringify(JSON.stringify(index)).replaceAll("</", "<\\/")};\n`;
}
