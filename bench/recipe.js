/**
 * nanoGPT's recipe for characters, ours and PyTorch's with every kind of its BLAS kernels: the same model, text, split, schedule and
 * optimiser, each run in a process of its own, in turns. Timed is the training from the model's building on, without import and
 * evaluation.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { hash32 } from "../dist/data/permutation.js";
import { text } from "../dist/index.js";
import { gptSizes, titleOf } from "./gpt.js";
import { cache, pytorch, runFile } from "./peers.js";
import { inTurns, ratio, summary } from "./statistics.js";

const { vocabulary: _, ...size } = gptSizes.characters;
const recipe = {
  ...size,
  ...{ steps: 2000, warmup: 100, learningRate: 1e-3, least: 1e-4, betas: [0.9, 0.99], weightDecay: 0.1, clip: 1 },
};

/** nanoGPT tells the mean loss of this many batches drawn from the validation text (`eval_iters` of its recipe for a CPU). */
const drawnBatches = 20;

/** Where their windows begin: anywhere, as there; by the run's seed, so that both sides read the same ones. */
const drawnStarts = (seed, { batch, context }, length) =>
  Array.from({ length: drawnBatches * batch }, (_, i) => (hash32(seed, i, 0xd7a3) >>> 0) % (length - context));

/** Without --text: as `npm start`, what is installed anyway. */
function declarations() {
  const folder = dirname(createRequire(import.meta.url).resolve("@types/node/package.json"));
  const files = readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(".d.ts"))
    .sort();
  const file = join(cache, "declarations.txt");
  mkdirSync(cache, { recursive: true });
  writeFileSync(file, files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n"));
  return { file, title: "the type declarations of Node (no --text was given)" };
}

/** Each side's run number n has seed n: other first weights and batches in each turn. PyTorch's sides have their labels as names. */
function sidesOf(plan, file, lengths, threads) {
  const script = join(import.meta.dirname, "recipe-process.js");
  const recipes = () => {
    let seed = 0;
    return () => JSON.stringify({ ...plan, seed: ++seed, drawn: drawnStarts(seed, plan, lengths.validation) });
  };
  const split = ["--train-length", lengths.train, "--threads", threads];
  const ours = recipes();
  const theirs = ({ label, run }, next = recipes()) => [
    label,
    () => run("pytorch-recipe.py", [next(), file, ...split]),
  ];
  return {
    layerwise: () => runFile(script, [ours(), file], { LAYERWISE_THREADS: `${threads}` }),
    ...Object.fromEntries((pytorch().variants ?? []).map((variant) => theirs(variant))),
  };
}

export async function recipeBench({ turns, threads, text: path, recipeSteps = recipe.steps }) {
  const { file, title } = path ? { file: path, title: basename(path) } : declarations();
  const plan = { ...recipe, steps: recipeSteps, warmup: Math.min(recipe.warmup, recipeSteps >> 1) };
  const data = await text.open(file, { tokens: "characters", context: plan.context });
  const { vocabulary, lengths } = data;
  const windows = data.windows("validation") - (data.windows("validation") % plan.batch); // whole batches
  await data.close();
  const runs = await inTurns(sidesOf(plan, file, lengths, threads), turns, "recipe");
  const of = (side, field) => runs[side].map((run) => run[field]);
  const figures = (side) =>
    Object.fromEntries(["seconds", "loss", "drawnLoss", "startUp"].map((field) => [field, summary(of(side, field))]));
  const variant = ({ label }) => ({
    ...{ label, ...figures(label) },
    ratio: ratio(of(label, "seconds"), of("layerwise", "seconds")),
    startRatio: ratio(of(label, "startUp"), of("layerwise", "startUp")),
  });
  const { name, version, variants, problem } = pytorch();
  return {
    ...{ title: titleOf(size), steps: plan.steps, text: title, vocabulary, lengths, windows, drawnBatches },
    layerwise: figures("layerwise"),
    pytorch: problem ? { name, problem } : { name, version, variants: variants.map(variant) },
  };
}
