/** Experiments that measure what papers claim. */

import { fail } from "../tensor/errors.js";
import { nearest } from "../tensor/nearest.js";
import { paperStudies } from "./paper-studies.js";
import type { PaperStudy } from "./study.js";

export {
  angularCsv,
  historyCsv,
  type LabEvent,
  Laboratory,
  type Progress,
  placementTitles,
  type Scale,
  type TrainedRun,
} from "./laboratory.js";
export { paperReport, placementStudy, type RunDescription } from "./placement.js";
export { compareRecurrent, lossAround, type RecurrentRun, type RecurrentTextOptions } from "./recurrent-text.js";
export { fullScale, quickScale } from "./scale.js";

/** The study of a paper. Throws for a paper that has none, naming those that do. */
export function paperStudy(id: string): PaperStudy {
  const ids = paperStudies.map(({ paper }) => paper);
  const near = nearest(id, ids);
  const hint = near === undefined ? "" : ` (did you mean "${near}"?)`;
  return (
    paperStudies.find(({ paper }) => paper === id) ??
    fail("argument", `reproduce: there is no study of "${id}"${hint}; papers with one: ${ids.join(", ")}`)
  );
}
