/** Reference numbers of papers against this code: which files are understood, and one verdict a file. */
import { readdir } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { readSafetensors } from "../../data/safetensors-file.js";
import { fail } from "../../tensor/index.js";
import { alphaBn } from "./alpha-bn.js";
import { bnOnly } from "./bn-only.js";
import { type Check, GoldenCase } from "./case.js";
import { diagnostics } from "./diagnostics.js";
import { encoderBlock } from "./encoder-block.js";
import { fedwon } from "./fedwon.js";
import { gpt2 } from "./gpt2.js";
import { graphTransformerKinds } from "./graph-transformer.js";
import { ibnNet } from "./ibn-net.js";
import { languageModel } from "./language-model.js";
import { layerNormCases } from "./layer-norm.js";
import { normFunctions } from "./norm-functions.js";
import { patchClassifier } from "./patch-classifier.js";
import { recurrentCells } from "./recurrent.js";
import { weightCompander } from "./weight-compander.js";
import { weightStandardization } from "./weight-standardization.js";

/** A kind of file, known by its tensors and metadata, never by its name. */
export interface GoldenKind {
  readonly matches: (file: GoldenCase) => boolean;
  readonly run: (file: GoldenCase) => Promise<void>;
}

const placements: readonly GoldenKind[] = [diagnostics, encoderBlock, languageModel];

/** By paper: the folder a file lies in. */
const kinds: Readonly<Record<string, readonly GoldenKind[]>> = {
  "peri-ln": placements,
  "mix-ln": placements,
  "layer-norm-scaling": placements,
  "layer-norm": [layerNormCases, recurrentCells],
  "graph-transformer": graphTransformerKinds,
  "pre-rms-norm": [normFunctions, gpt2, patchClassifier],
  "alpha-bn": alphaBn,
  "bn-only": bnOnly,
  fedwon,
  "ibn-net": ibnNet,
  "weight-compander": weightCompander,
  "weight-standardization": weightStandardization,
};

export const goldenPapers: readonly string[] = Object.keys(kinds);

export type Verdict = "passed" | "failed" | "not built";

export interface GoldenResult {
  /** paper/case */
  readonly name: string;
  readonly verdict: Verdict;
  /** The check closest to, or furthest beyond, its tolerance. */
  readonly worst?: Check;
  readonly checks: number;
  readonly problem?: string;
}

/** Every `<paper>/<case>.safetensors` below a folder, in order. Throws where there is none. */
export async function goldenFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() =>
    fail("file", `golden: ${folder} cannot be read; expected a folder of <paper>/<case>.safetensors`),
  );
  const files = names.filter((name) => name.endsWith(".safetensors")).sort();
  if (files.length === 0) fail("file", `golden: ${folder} holds no <paper>/<case>.safetensors`);
  return files.map((name) => join(folder, name));
}

export async function runGolden(path: string, folder: string): Promise<GoldenResult> {
  const name = relative(folder, path)
    .split(sep)
    .join("/")
    .replace(/\.safetensors$/, "");
  try {
    const { tensors, metadata } = await readSafetensors(path);
    const file = new GoldenCase(tensors, metadata);
    const kind = kinds[basename(dirname(path))]?.find(({ matches }) => matches(file));
    if (!kind) return { name, verdict: "not built", checks: 0 };
    await kind.run(file);
    return judge(name, file);
  } catch (error) {
    // Whatever a broken file leads to is this file's failure; the others still run.
    return { name, verdict: "failed", checks: 0, problem: error instanceof Error ? error.message : String(error) };
  }
}

function judge(name: string, file: GoldenCase): GoldenResult {
  const { checks, unused } = file;
  const worst = checks.reduce<Check | undefined>((a, b) => (a && !(ratio(b) > ratio(a)) ? a : b), undefined);
  const problem =
    unused.length > 0 ? `not checked: ${unused.slice(0, 5).join(", ")}${unused.length > 5 ? ", …" : ""}` : undefined;
  const passed = !problem && checks.length > 0 && checks.every((check) => ratio(check) <= 1);
  return {
    name,
    verdict: passed ? "passed" : "failed",
    checks: checks.length,
    ...(worst && { worst }),
    ...(problem && { problem }),
  };
}

/** NaN is worse than anything. */
const ratio = ({ error, tolerance }: Check): number =>
  Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / tolerance;
