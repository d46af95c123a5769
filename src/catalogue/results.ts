import { existsSync, readFileSync } from "node:fs";
import { fail } from "../tensor/errors.js";
import type { PaperId } from "./catalogue.js";
import { type Claim, claimProblem } from "./claim.js";

/** The last measured reproduction of a paper, as committed in `src/catalogue/results/<id>.json`. */
export interface Result {
  readonly paper: PaperId;
  readonly study: string;
  /** Day of the run, ISO: "2026-11-25". */
  readonly date: string;
  /** The command that measures it again. */
  readonly command: string;
  /** What it ran on: processor, threads, versions. */
  readonly machine: string;
  /** Cost of the whole study, in seconds of wall-clock time. */
  readonly seconds: number;
  readonly claims: readonly Claim[];
}

/** Where the result of a paper lies: beside this module, in the sources as in the built package. */
export function resultFile(id: PaperId): URL {
  return new URL(`./results/${id}.json`, import.meta.url);
}

/**
 * The last measured result of a paper, or undefined when none is recorded yet.
 * @throws LayerwiseError "file" for a file that is no result.
 */
export function readResult(id: PaperId): Result | undefined {
  const file = resultFile(id);
  if (!existsSync(file)) return undefined;
  return parseResult(readFileSync(file, "utf8"), file.pathname);
}

/** A result from its JSON text; `source` names it in errors. */
export function parseResult(text: string, source: string): Result {
  let result: Result;
  try {
    result = JSON.parse(text) as Result;
  } catch (cause) {
    return fail("file", `${source}: expected JSON, got ${JSON.stringify(text.slice(0, 40))}`, { cause });
  }
  if (typeof result?.paper !== "string" || !Array.isArray(result.claims))
    fail("file", `${source}: expected a result with "paper" and "claims"; record it again with the study's command`);
  for (const claim of result.claims as readonly Claim[]) {
    const problem = claimProblem(claim);
    if (problem) fail("file", `${source}: claim ${JSON.stringify(claim.claim)}: ${problem}`);
  }
  return result;
}

/** The JSON text to commit: stable order, one final newline. */
export function formatResult(result: Result): string {
  return `${JSON.stringify(result, null, 2)}\n`;
}
