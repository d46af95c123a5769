import { fail } from "../tensor/errors.js";
import { nearest } from "../tensor/nearest.js";
import type { Paper } from "./paper.js";
import * as entries from "./papers/index.js";

/** The ids of the catalogue, as a type. */
export type PaperId = (typeof entries)[keyof typeof entries]["id"];

/** All papers, newest first, then by title. */
export const papers: readonly Paper<PaperId>[] = Object.values(entries).sort(
  (a, b) => b.year - a.year || a.title.localeCompare(b.title, "en"),
);

const byId = new Map<string, Paper<PaperId>>(papers.map((paper) => [paper.id, paper]));

/**
 * The entry of a paper.
 * @throws LayerwiseError "argument" for an unknown id, naming the nearest known one.
 */
export function paper(id: PaperId | (string & {})): Paper<PaperId> {
  return byId.get(id) ?? fail("argument", `paper: no paper has the id ${JSON.stringify(id)}${hint(id)}`);
}

function hint(id: string): string {
  const near = nearest(id, [...byId.keys()]);
  return near ? `; did you mean "${near}"?` : "; `layerwise papers` lists all ids";
}
