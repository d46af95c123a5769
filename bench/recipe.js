/**
 * nanoGPT's recipe for characters, ours and PyTorch's: the same model, text, split, schedule and optimiser, each run in a process
 * of its own, in turns. Timed is the training from the model's building on, without import and evaluation.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { text } from "../dist/index.js";
import { gptSizes, titleOf } from "./gpt.js";
import { cache, pytorch, runFile } from "./peers.js";
import { inTurns, ratio, summary } from "./statistics.js";

const { vocabulary: _, ...size } = gptSizes.characters;
const recipe = {
  ...size,
  ...{ steps: 2000, warmup: 100, learningRate: 1e-3, least: 1e-4, betas: [0.9, 0.99], weightDecay: 0.1, clip: 1 },
};

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

/** Both sides' run number n has seed n: other first weights and batches in each turn. */
function sidesOf(plan, file, lengths, threads) {
  const torch = pytorch();
  const script = join(import.meta.dirname, "recipe-process.js");
  const seeds = { layerwise: 0, pytorch: 0 };
  const next = (side) => JSON.stringify({ ...plan, seed: ++seeds[side] });
  const split = ["--train-length", lengths.train, "--threads", threads];
  return {
    layerwise: () => runFile(script, [next("layerwise"), file], { LAYERWISE_THREADS: `${threads}` }),
    ...(!torch.problem && {
      pytorch: () => torch.variants[0].run("pytorch-recipe.py", [next("pytorch"), file, ...split]),
    }),
  };
}

export async function recipeBench({ turns, threads, text: path, recipeSteps = recipe.steps }) {
  const { file, title } = path ? { file: path, title: basename(path) } : declarations();
  const plan = { ...recipe, steps: recipeSteps, warmup: Math.min(recipe.warmup, recipeSteps >> 1) };
  const data = await text.open(file, { tokens: "characters", context: plan.context });
  const { vocabulary, lengths } = data;
  const windows = data.windows("validation");
  await data.close();
  const runs = await inTurns(sidesOf(plan, file, lengths, threads), turns, "recipe");
  const of = (side, field) => runs[side].map((run) => run[field]);
  const figures = (side) =>
    Object.fromEntries(["seconds", "loss", "startUp"].map((field) => [field, summary(of(side, field))]));
  const { name, version, problem } = pytorch();
  return {
    ...{ title: titleOf(size), steps: plan.steps, text: title, vocabulary, lengths, windows },
    layerwise: figures("layerwise"),
    pytorch: problem
      ? { name, problem }
      : {
          ...{ name, version, ...figures("pytorch") },
          ratio: ratio(of("pytorch", "seconds"), of("layerwise", "seconds")),
          startRatio: ratio(of("pytorch", "startUp"), of("layerwise", "startUp")),
        },
  };
}
