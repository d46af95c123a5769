/** Experiments that measure what papers claim. */

import { type PaperId, papers } from "../catalogue/catalogue.js";
import { fail } from "../tensor/errors.js";
import { nearest } from "../tensor/nearest.js";
import type { PaperStudy } from "./study.js";

export { angularCsv, historyCsv, Laboratory, placementTitles, type Scale, type TrainedRun } from "./laboratory.js";
export { paperReport, placementStudy, type RunDescription } from "./placement.js";
export { compareRecurrent, lossAround, type RecurrentRun, type RecurrentTextOptions } from "./recurrent-text.js";
export { fullScale, quickScale } from "./scale.js";
export type { PaperStudy, StudyContext, StudyEvent, StudyRun, StudyStep } from "./study.js";

/** The papers that have a study, in the catalogue's order. */
export const studied: readonly PaperId[] = papers.filter(({ study }) => study !== undefined).map(({ id }) => id);

/** The study of a paper: `papers/<id>.ts`. Throws for a paper that has none, naming those that do. */
export async function paperStudy(id: string): Promise<PaperStudy> {
  if (!studied.some((paper) => paper === id)) {
    const near = nearest(id, studied);
    const hint = near === undefined ? "" : ` (did you mean "${near}"?)`;
    fail("argument", `reproduce: there is no study of "${id}"${hint}; papers with one: ${studied.join(", ")}`);
  }
  const { study } = (await import(/* @vite-ignore */ `./papers/${id}.js`)) as { readonly study: PaperStudy };
  return study;
}
