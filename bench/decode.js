/**
 * Tokens a second of the generator (float32, 8 and 4 bits) against transformers.js on the same model exported, against a
 * plain loop in PyTorch, and against what the machine's memory allows: a token reads every matrix once. All take turns
 * within one run. Peers that are not installed are said to be skipped.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { exportFolder } from "../dist/applications/export-files.js";
import { savePretrained } from "../dist/data/pretrained-files.js";
import { compile, NDArray } from "../dist/index.js";
import { Generator, generatorTypes, gpt } from "../dist/models/index.js";
import { Variable } from "../dist/tensor/index.js";

export const decodeSize = {
  layers: 8,
  width: 768,
  heads: 12,
  vocabulary: 32000,
  context: 1024,
  prompt: 32,
  tokens: 64,
};
/** Bytes of a weight; 8 and 4 bits have a float32 scale for every 32. */
const bytesOf = { fp32: 4, q8: 1 + 4 / 32, q4: 0.5 + 4 / 32 };

/** Gives bytes a second that the engine's threads read from memory at best, in sums over 256 MB. */
function memoryReader() {
  const [rows, columns] = [4096, 16384];
  const data = new Variable(new NDArray(new Float32Array(rows * columns).fill(1), [rows, columns], "float32"));
  const sums = compile(() => ({ sums: data.sum(-1) }));
  return async () => {
    const start = performance.now();
    await sums({});
    return (rows * columns * 4000) / (performance.now() - start);
  };
}

const prompt = Array.from({ length: decodeSize.prompt }, (_, i) => i + 5);

/** Tokens a second after the first. */
async function ourRate(generator) {
  let [first, count] = [0, 0];
  for await (const _ of generator.stream([prompt], { maxNewTokens: decodeSize.tokens }))
    if (++count === 1) first = performance.now();
  return ((count - 1) * 1000) / (performance.now() - first);
}

/** The same model in transformers.js, for each type; nothing where the package is missing. */
async function transformersJs(folder) {
  const { AutoModelForCausalLM, env, Tensor } = await import("@huggingface/transformers").catch(() => ({}));
  if (!AutoModelForCausalLM) return undefined;
  env.allowRemoteModels = false;
  env.localModelPath = `${folder}/`;
  const ids = new Tensor("int64", BigInt64Array.from(prompt, BigInt), [1, prompt.length]);
  const attention_mask = new Tensor("int64", new BigInt64Array(prompt.length).fill(1n), [1, prompt.length]);
  const models = {};
  for (const dtype of generatorTypes) models[dtype] = await AutoModelForCausalLM.from_pretrained("exported", { dtype });
  const time = async (model, n) => {
    const start = performance.now();
    await model.generate({ inputs: ids, attention_mask, max_new_tokens: n, min_new_tokens: n, do_sample: false });
    return performance.now() - start;
  };
  return async (dtype) => {
    const one = await time(models[dtype], 1);
    return ((decodeSize.tokens - 1) * 1000) / ((await time(models[dtype], decodeSize.tokens)) - one);
  };
}

/** How much memory a process needs to load the checkpoint, and to write with it, in a process of its own. */
function loadPeak(folder, threads) {
  if (process.platform !== "linux") return undefined;
  const script = join(import.meta.dirname, "load-peak.js");
  const result = spawnSync(process.execPath, [script, folder], {
    env: { ...process.env, LAYERWISE_THREADS: String(threads) },
    encoding: "utf8",
  });
  if (result.status !== 0) throw new Error(`the load benchmark failed: ${result.stderr}`);
  return JSON.parse(result.stdout);
}

/** `python`: how PyTorch is started, `{ path, env }`, where it is installed. */
export async function decodeBench({ rounds, threads, cache, python }) {
  const { prompt: _, tokens, ...shape } = decodeSize;
  const folder = join(cache, "decode");
  const model = gpt({ ...shape, seed: 1 });
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await savePretrained(model, join(folder, "plain"));
  await exportFolder(join(folder, "plain"), join(folder, "exported"), { dtypes: generatorTypes });
  const sides = {};
  for (const dtype of generatorTypes) {
    const generator = new Generator(model, { dtype });
    sides[`layerwise ${dtype}`] = () => ourRate(generator);
  }
  const theirs = await transformersJs(folder);
  if (theirs) for (const dtype of generatorTypes) sides[`transformers.js ${dtype}`] = () => theirs(dtype);
  if (python)
    sides["PyTorch fp32"] = () => {
      const args = [join(import.meta.dirname, "peers/pytorch-decode.py"), "--threads", String(threads)];
      const result = spawnSync(python.path, args, { env: python.env, encoding: "utf8" });
      if (result.status !== 0) throw new Error(`PyTorch's decode benchmark failed: ${result.stderr}`);
      return JSON.parse(result.stdout).tokensPerSecond;
    };
  for (const [name, run] of Object.entries(sides)) if (!name.startsWith("PyTorch")) await run(); // PyTorch warms up itself
  const rates = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  const readMemory = memoryReader();
  const memory = [];
  const turns = 3 * rounds; // short ones: half a second a side
  for (let round = 0; round < turns; round++) {
    process.stderr.write(`decode, turn ${round + 1} of ${turns}\n`);
    for (let i = 0; i < 6; i++) memory.push(await readMemory());
    // Nobody is always the first one after something else.
    const names = Object.keys(sides);
    const first = (round * 2) % names.length;
    for (const name of [...names.slice(first), ...names.slice(0, first)]) rates[name].push(await sides[name]());
  }
  const peak = loadPeak(join(folder, "plain"), threads);
  if (existsSync(folder)) rmSync(folder, { recursive: true });
  const read = Object.fromEntries(generatorTypes.map((dtype) => [dtype, model.matmulParameters() * bytesOf[dtype]]));
  return { size: decodeSize, rates, bytesPerToken: read, memory: Math.max(...memory), peak };
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const best = (numbers) => Math.max(...numbers);
const spread = (numbers) => `${Math.min(...numbers).toFixed(0)}–${Math.max(...numbers).toFixed(0)}`;

/** What is printed. */
export function decodeLines({ size, rates, bytesPerToken, memory, peak }) {
  const row = (name, text) => `${name.padEnd(22)}${text}`;
  const lines = Object.entries(rates).map(([name, own]) => {
    const dtype = name.split(" ").at(-1);
    const ours = rates[`layerwise ${dtype}`];
    const times = (of) => (of(ours) / of(own)).toFixed(2);
    const told = `${median(own).toFixed(0)} tokens a second (${spread(own)})`;
    if (!name.startsWith("layerwise"))
      return row(name, `${told}: layerwise is ${times(median)} times as fast (${times(best)} at best)`);
    const bound = memory / bytesPerToken[dtype];
    const share = ((100 * median(own)) / bound).toFixed(0);
    const read = (bytesPerToken[dtype] / 1e6).toFixed(0);
    return row(name, `${told}; ${read} MB a token: ${share} % of what memory allows (${bound.toFixed(0)})`);
  });
  const missing = ["transformers.js", "PyTorch"].filter(
    (peer) => !Object.keys(rates).some((name) => name.startsWith(peer)),
  );
  const share = (bytes) => `${(bytes / peak.weights).toFixed(2)} times the weights`;
  return [
    `Decoding: ${size.layers} layers, width ${size.width}, vocabulary ${size.vocabulary}, ${size.tokens} tokens after ${size.prompt}, one row`,
    "",
    ...lines,
    ...missing.map((peer) => row(peer, "skipped: not installed")),
    row("fp16", "skipped: the engine has no float16 products on the CPU and would widen every weight"),
    row("memory", `${(memory / 1e9).toFixed(1)} GB a second read by this engine's sums (same run)`),
    row(
      "peak memory",
      peak
        ? `${share(peak.loaded)} (${(peak.weights / 1e6).toFixed(0)} MB) to load a checkpoint, ${share(peak.written)} to write with it`
        : "skipped: read from Linux alone",
    ),
  ];
}
