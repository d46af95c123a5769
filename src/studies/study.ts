/** What a study is to the command line and to other studies. */

import type { PaperId } from "../catalogue/catalogue.js";
import type { Claim } from "../catalogue/claim.js";
import type { Laboratory } from "./laboratory.js";
import type { Section } from "./study-report.js";

/** The study of one paper: its claims measured, and the pictures that show them. */
export interface PaperStudy {
  readonly paper: PaperId;
  readonly title: string;
  /** What it found, in a sentence or two, from its claims. */
  readonly summary: (claims: readonly Claim[]) => string;
  run(laboratory: Laboratory): Promise<{ readonly claims: readonly Claim[]; readonly sections: readonly Section[] }>;
  /** What its size cannot show. */
  readonly limits: readonly string[];
}

/** "3 of 4 claims hold, 1 does not." */
export function countVerdicts(claims: readonly Claim[]): string {
  const count = (verdict: Claim["verdict"]) => claims.filter((claim) => claim.verdict === verdict).length;
  const [holds, fails, open] = [count("holds"), count("does not hold"), count("inconclusive")];
  const rest = [
    fails > 0 && `${fails} ${fails === 1 ? "does" : "do"} not`,
    open > 0 && `${open} ${open === 1 ? "is" : "are"} inconclusive`,
  ].filter(Boolean);
  return `${holds} of ${claims.length} claims hold${rest.length > 0 ? `; ${rest.join(", ")}` : ""}.`;
}
