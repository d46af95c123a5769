/**
 * From nothing to the first training step, and the largest resident size while training: every figure from a fresh process, ours
 * and PyTorch's in turns.
 */
import { join } from "node:path";
import { gptSizes, sizeArguments, titleOf } from "./gpt.js";
import { pytorch, runFile } from "./peers.js";
import { inTurns, ratio, summary } from "./statistics.js";

const ours = (size, threads) =>
  runFile(join(import.meta.dirname, "step-process.js"), [JSON.stringify(size)], { LAYERWISE_THREADS: `${threads}` });

const theirs = (torch, size, threads) => {
  const plan = ["--warm-up", 1, "--steps", 2, "--threads", threads];
  return torch.variants[0].run("pytorch-gpt.py", [...plan, ...sizeArguments(size)]);
};

async function measureSize(key, { turns, threads }) {
  const size = gptSizes[key];
  const torch = pytorch();
  const sides = {
    layerwise: () => ours(size, threads),
    ...(!torch.problem && { pytorch: () => theirs(torch, size, threads) }),
  };
  const runs = await inTurns(sides, turns, `start-up and memory, ${key}`);
  const of = (name, field) => runs[name].map((run) => run[field]);
  const figures = Object.fromEntries(
    ["weights", "build", "first", "peak"].map((field) => [field, summary(of("layerwise", field))]),
  );
  const peer = runs.pytorch && {
    peak: summary(of("pytorch", "peak")),
    ratio: ratio(of("pytorch", "peak"), of("layerwise", "peak")),
  };
  return { title: titleOf(size), ...figures, ...(peer && { pytorch: peer }) };
}

export async function startupBench(options) {
  const sizes = {};
  for (const key of options.sizes) sizes[key] = await measureSize(key, options);
  const { name, version, problem } = pytorch();
  return { sizes, peer: { name, version, problem } };
}
