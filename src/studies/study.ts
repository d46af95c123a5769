/** What a study is to the command line and to other studies. */

import type { PaperId } from "../catalogue/catalogue.js";
import type { Claim } from "../catalogue/claim.js";
import type { Laboratory } from "./laboratory.js";
import type { Fact, Section } from "./study-report.js";

/** The study of one paper: its claims measured, and the pictures that show them. */
export interface PaperStudy {
  readonly paper: PaperId;
  readonly title: string;
  /** What it found, in a sentence or two, from its claims. */
  readonly summary: (claims: readonly Claim[]) => string;
  run(context: StudyContext): Promise<Findings>;
  /** What its size cannot show. */
  readonly limits: readonly string[];
}

/** What a study is given: how much to do, and whom to tell. */
export interface StudyContext {
  /** To be seen working in well under a minute; decides little. */
  readonly quick: boolean;
  /** One run of each side per seed. */
  readonly seeds: readonly number[];
  /** Updates of each model where someone asked for a number; else the study's own. */
  readonly steps?: number;
  /** Checked at every step: a study stops when it is aborted. */
  readonly signal?: AbortSignal;
  readonly progress: (event: StudyEvent) => void;
  /** The language models of the placement studies, on the text that the user gave. */
  laboratory(): Promise<Laboratory>;
}

export interface Findings {
  /** What was run: data, model, steps, seeds. */
  readonly setup: readonly Fact[];
  readonly claims: readonly Claim[];
  readonly sections: readonly Section[];
}

export type StudyEvent = StudyStep | StudyRun;

/** One run is under way. */
export interface StudyStep {
  readonly kind: "step";
  /** Which run: "Pre-LN, seed 0". */
  readonly title: string;
  readonly step: number;
  readonly steps: number;
  readonly loss?: number;
  /** As written: "12,000 tok/s". */
  readonly rate?: string;
}

/** One run is done. */
export interface StudyRun {
  readonly kind: "run";
  readonly title: string;
  readonly seconds: number;
  /** What it came to, the most important first: "accuracy 0.912". */
  readonly facts: readonly string[];
}

/** Twice the seeds that were asked for, where a run takes seconds; what was asked for when it is only to be seen working. */
export const twiceTheSeeds = ({ quick, seeds }: StudyContext): readonly number[] =>
  quick ? seeds : Array.from({ length: 2 * seeds.length }, (_, i) => i);

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
