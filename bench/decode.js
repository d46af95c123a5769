/**
 * Tokens a second of the generator (float32, 8 and 4 bits) against transformers.js on the same model exported, against a
 * plain loop in PyTorch, and against what the machine's memory allows: a token reads every matrix once. All take turns
 * within one run. Peers that are not installed are said to be skipped.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { exportFolder } from "../dist/applications/export-files.js";
import { savePretrained } from "../dist/data/pretrained-files.js";
import { compile, NDArray } from "../dist/index.js";
import { Generator, generatorTypes, gpt } from "../dist/models/index.js";
import { Variable } from "../dist/tensor/index.js";
import { cache, pytorch, runFile } from "./peers.js";
import { bestSetting, inTurns, ratio, summary } from "./statistics.js";

const decodeSize = {
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
  return runFile(script, [folder], { LAYERWISE_THREADS: String(threads) });
}

/** With the kernels of one setting; the best one counts. */
const torchRate =
  (threads) =>
  ({ run }) =>
    run("pytorch-decode.py", ["--threads", threads]).tokensPerSecond;

const pytorchSide = "PyTorch fp32";

/** Rates by `<side> <type>`, PyTorch's in each of its settings; all but PyTorch, which does so itself, are warmed up. */
async function sidesOf(model, folder, threads) {
  const sides = {};
  for (const dtype of generatorTypes) {
    const generator = new Generator(model, { dtype });
    sides[`layerwise ${dtype}`] = () => ourRate(generator);
  }
  const theirs = await transformersJs(folder);
  if (theirs) for (const dtype of generatorTypes) sides[`transformers.js ${dtype}`] = () => theirs(dtype);
  for (const run of Object.values(sides)) await run();
  const torch = pytorch();
  if (!torch.problem) sides[pytorchSide] = () => torch.variants.map(torchRate(threads));
  return sides;
}

/** Of each type: our rate, the peers' and how many times theirs ours is, bytes read for a token, and the rate they allow. */
function figures(values, model, memory) {
  const peersOf = (dtype) =>
    Object.keys(values).filter((name) => name.endsWith(` ${dtype}`) && !name.startsWith("layer"));
  return Object.fromEntries(
    generatorTypes.map((dtype) => {
      const ours = values[`layerwise ${dtype}`];
      const bytes = model.matmulParameters() * bytesOf[dtype];
      const peers = peersOf(dtype).map((name) => [
        name.split(" ")[0],
        { rate: summary(values[name]), ratio: ratio(ours, values[name]) },
      ]);
      return [dtype, { rate: summary(ours), bytes, bound: memory / bytes, peers: Object.fromEntries(peers) }];
    }),
  );
}

export async function decodeBench({ turns, threads }) {
  const { prompt: _, tokens, ...shape } = decodeSize;
  const folder = join(cache, "decode");
  const model = gpt({ ...shape, seed: 1 });
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await savePretrained(model, join(folder, "plain"));
  await exportFolder(join(folder, "plain"), join(folder, "exported"), { dtypes: generatorTypes });
  const sides = await sidesOf(model, folder, threads);
  const readMemory = memoryReader();
  let memory = 0;
  const best = async () => {
    for (let i = 0; i < 6; i++) memory = Math.max(memory, await readMemory());
  };
  const shortTurns = 3 * turns; // half a second a side
  const values = await inTurns({ memory: best, ...sides }, shortTurns, "decode");
  if (values[pytorchSide]) values[pytorchSide] = bestSetting(values[pytorchSide], Math.max);
  const peak = loadPeak(join(folder, "plain"), threads);
  rmSync(folder, { recursive: true });
  const { name, version, variants, problem } = pytorch();
  const label = variants?.length > 1 ? `the best of ${variants.length} settings` : undefined;
  const peers = { "transformers.js": versionOf("@huggingface/transformers"), [name]: { version, label, problem } };
  return { turns: shortTurns, size: decodeSize, types: figures(values, model, memory), memory, peak, peers };
}

function versionOf(name) {
  const file = join(import.meta.dirname, "../node_modules", name, "package.json");
  return existsSync(file) ? { version: JSON.parse(readFileSync(file, "utf8")).version } : { problem: "not installed" };
}
