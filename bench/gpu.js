/**
 * The GPT training step on a GPU: ours by WebGPU in Node, products in float32 and float16, against PyTorch's by CUDA where that is
 * installed. Only with LAYERWISE_GPU: without a GPU WebGPU is software here, which bench/browser.js measures.
 */
import { join } from "node:path";
import { gptSizes, sizeArguments, titleOf } from "./gpt.js";
import { pytorch, runFile } from "./peers.js";
import { guarded, inTurns, median, ratio, summary } from "./statistics.js";

const precisions = ["float32", "float16"];

const ours = (size, precision, steps) => () =>
  median(
    runFile(join(import.meta.dirname, "gpu-process.js"), [JSON.stringify({ size, precision, steps })]).stepMilliseconds,
  );

const theirs = (size, precision, steps) => () => {
  const plan = ["--device", "cuda", "--steps", steps, ...(precision === "float16" ? ["--half"] : [])];
  return median(pytorch().variants[0].run("pytorch-gpt.py", [...plan, ...sizeArguments(size)]).stepMilliseconds);
};

async function measureSize(key, { turns, steps }) {
  const size = gptSizes[key];
  const torch = pytorch();
  const all = precisions.flatMap((precision) => [
    [`layerwise, ${precision}`, ours(size, precision, steps)],
    ...(torch.problem ? [] : [[`PyTorch, ${precision}`, theirs(size, precision, steps)]]),
  ]);
  const { sides, problems } = guarded(Object.fromEntries(all));
  const runs = await inTurns(sides, turns, `GPU, ${key}`);
  const figures = all.map(([name]) => {
    if (problems[name]) return { name, problem: problems[name] };
    const own = runs[name.replace("PyTorch", "layerwise")];
    return { name, step: summary(runs[name]), ...(own !== runs[name] && { ratio: ratio(runs[name], own) }) };
  });
  return { title: titleOf(size), figures };
}

export async function gpuBench(options) {
  if (!process.env.LAYERWISE_GPU) return { problem: "LAYERWISE_GPU is not set: it says that this machine has a GPU" };
  const sizes = {};
  for (const key of options.sizes) sizes[key] = await measureSize(key, options);
  return { sizes };
}
