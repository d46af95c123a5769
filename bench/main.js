#!/usr/bin/env node
/**
 * Measures layerwise against its peers on this machine, part by part: `--help` says which there are. Results are kept as JSON,
 * by part: one that is measured again replaces its own figures and no others.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { gptSizes } from "./gpt.js";
import { cache } from "./peers.js";
import { asText, writeReadme } from "./report.js";

const help = `npm run bench -- [options]

Measures on this machine, in turns with the peers that it can install or find:

  step      a GPT's training step: PyTorch, TensorFlow.js and jax-js in Node, this machine's matrix product and silicon
  startup   trace and compile of that step, the way to the first one, peak memory: PyTorch
  recipe    nanoGPT's recipe for characters: PyTorch, same text and split
  browser   a small GPT's training step in Chromium, WebAssembly and WebGPU, from an empty page: TensorFlow.js, jax-js
  decode    tokens a second: transformers.js, PyTorch, what memory allows; the memory of loading
  vision    networks on images and graphs: PyTorch, TensorFlow.js
  norms     what each norm costs
  gpu       a GPT's training step by WebGPU in Node, float32 and float16: PyTorch by CUDA; with LAYERWISE_GPU=1 alone,
            which lets Chromium's pages use the GPU, too

Options:
  --only <parts>    these alone, e.g. step,browser; the others keep what is recorded
  --size <size>     small or medium alone (default: both)
  --rounds <n>      turns (default 3)
  --steps <n>       steps of each side in a turn (default 8)
  --threads <n>     of layerwise and PyTorch (default: the machine's cores)
  --silicon <n>     GFLOP/s that the cores could do at best, where the bench cannot know it
  --text <file>     what the recipe learns (default: the type declarations of Node)
  --json <file>     where results are kept (default .bench/bench.json)
  --readme          draw README.md's tables from what is recorded, after measuring
  --quick           one turn of few steps, to see that everything runs; kept in .bench/quick.json
  --help

Examples:
  npm run bench                                     everything, about an hour on two cores
  npm run bench -- --quick                          everything, a few minutes
  npm run bench -- --only recipe --text input.txt   the recipe, on a text of yours
  npm run bench -- --only step --size small --rounds 5
  npm run bench -- --only decode --readme           one part anew, in the README, too
  npm run bench -- --only none --readme             the README from what is recorded, nothing measured
`;

const { values: options } = parseArgs({
  options: {
    ...{ rounds: { type: "string" }, steps: { type: "string" }, threads: { type: "string" } },
    ...{
      silicon: { type: "string" },
      only: { type: "string" },
      size: { type: "string" },
      text: { type: "string" },
      json: { type: "string" },
    },
    ...{ readme: { type: "boolean" }, quick: { type: "boolean" }, help: { type: "boolean" } },
  },
});

/** Each part's file is imported when its turn comes: the engine reads LAYERWISE_THREADS as it starts. */
const parts = {
  step: async (plan) => (await import("./step.js")).stepBench(plan),
  startup: async (plan) => (await import("./startup.js")).startupBench(plan),
  recipe: async (plan) => (await import("./recipe.js")).recipeBench(plan),
  browser: async (plan) => (await import("./browser.js")).browserBench(plan),
  decode: async (plan) => (await import("./decode.js")).decodeBench(plan),
  vision: async (plan) => (await import("./vision.js")).visionBench(plan),
  norms: async (plan) => (await import("./norms.js")).normBench(plan),
  gpu: async (plan) => (await import("./gpu.js")).gpuBench(plan),
};

function chosen(option, value, known) {
  if (value === "none") return [];
  const names = value?.split(",") ?? known;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`--${option}: expected ${known.join(", ")}, got ${unknown}`);
  return names;
}

function count(option, fallback) {
  const value = Number(options[option] ?? fallback);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${option}: expected a whole number from 1, got ${options[option]}`);
  return value;
}

function siliconTold() {
  const gflops = Number(options.silicon);
  if (!(gflops > 0 && Number.isFinite(gflops)))
    throw new Error(`--silicon: expected GFLOP/s, a number above 0, got ${options.silicon}`);
  return gflops;
}

/** The command as others can give it: a text by its name alone. */
function command() {
  const given = process.argv.slice(2).map((word) => (word.includes("/") ? basename(word) : word));
  return ["npm run bench", ...(given.length > 0 ? ["--", ...given] : [])].join(" ");
}

const quick = options.quick ?? false;

async function planOf(threads) {
  const sizes = chosen("size", options.size, Object.keys(gptSizes).slice(0, 2));
  return {
    ...{ turns: count("rounds", quick ? 1 : 3), steps: count("steps", quick ? 1 : 8), threads, quick },
    sizes: quick && !options.size ? ["small"] : sizes,
    ...(options.text && { text: options.text }),
    ...(options.silicon !== undefined && { silicon: siliconTold() }),
    ...(quick && { recipeSteps: 50 }),
  };
}

async function measure(names, file) {
  if (options.threads) process.env.LAYERWISE_THREADS = `${count("threads")}`;
  const { defaultBackend } = await import("../dist/index.js");
  const { threads, engine, version } = (await defaultBackend()).description;
  const about = { machine: `${cpus()[0]?.model.trim()}, ${threads} threads`, engine: `${engine} ${version}` };
  const plan = await planOf(threads);
  process.stdout.write(`${about.machine}; Node ${process.versions.node}, ${about.engine}\n`);
  for (const part of names) {
    const result = await parts[part](plan);
    process.stdout.write(`\n${asText(part, result)}\n`);
    const date = new Date().toISOString();
    const turns = result.turns ?? plan.turns;
    keep(file, part, { date, ...about, node: process.versions.node, turns, command: command(), result });
  }
}

const read = (file) => {
  const known = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  return { parts: known.parts ?? {} };
};

/** At once: what is measured stays, whatever the next part does. */
function keep(file, part, entry) {
  const results = read(file);
  results.parts[part] = entry;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}

if (options.help) process.stdout.write(help);
else {
  const file = options.json ?? join(cache, quick ? "quick.json" : "bench.json");
  const usual = Object.keys(parts).filter((name) => name !== "gpu" || process.env.LAYERWISE_GPU);
  const names = options.only === undefined ? usual : chosen("only", options.only, Object.keys(parts));
  if (names.length > 0) await measure(names, file);
  if (options.readme) writeReadme(join(import.meta.dirname, "../README.md"), read(file));
  process.exit(0); // engines' threads are no reason to stay
}
