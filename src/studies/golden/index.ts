/** Reference numbers of papers against this code: which files are understood, and one verdict a file. */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { papers } from "../../catalogue/catalogue.js";
import { readSafetensors } from "../../data/safetensors-file.js";
import { fail } from "../../tensor/index.js";
import { type Check, GoldenCase } from "./case.js";

/** A kind of file, known by its tensors and metadata, never by its name. */
export interface GoldenKind {
  readonly matches: (file: GoldenCase) => boolean;
  readonly run: (file: GoldenCase) => Promise<void>;
}

/** What is understood of a paper's files: `<paper>.ts` beside this module; nothing where there is none. */
async function kindsOf(paper: string): Promise<readonly GoldenKind[]> {
  if (!papers.some(({ id }) => id === paper)) return [];
  // Sources run as they are in tests, with another ending.
  const built = ["js", "ts"].some((ending) => existsSync(new URL(`./${paper}.${ending}`, import.meta.url)));
  if (!built) return [];
  return ((await import(/* @vite-ignore */ `./${paper}.js`)) as { readonly kinds: readonly GoldenKind[] }).kinds;
}

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
    const kind = (await kindsOf(basename(dirname(path)))).find(({ matches }) => matches(file));
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
