/** The words of a text for the index and for a query: names also in their parts, "layerNorm" as layer, norm, layernorm. */
export function words(text) {
  return text
    .split(/[^\p{L}\p{N}]+/u)
    .flatMap((word) => {
      const parts = word.split(/(?<=\p{Ll})(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})/u);
      return parts.length > 1 ? [word, ...parts] : [word];
    })
    .map((word) => word.toLowerCase())
    .filter(Boolean);
}

/** How an index is made and read: the same on both sides. */
export const indexOptions = {
  fields: ["title", "page", "text"],
  storeFields: ["title", "page", "address", "excerpt"],
  tokenize: words,
  searchOptions: {
    boost: { title: 4, page: 2 },
    prefix: true,
    fuzzy: (term) => (term.length > 4 ? 0.2 : false),
    combineWith: "AND",
  },
};
