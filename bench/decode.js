/**
 * Tokens a second, one text at a time: our generator on a checkpoint and on exported files, transformers.js on the same
 * files, PyTorch on the same architecture, and the bound that memory sets: the weights that a token reads, over the rate
 * at which this machine reads memory. All take turns in one run.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { exportTypes } from "../dist/applications/export-program.js";
import { openDecoder } from "../dist/applications/open-decoder.js";
import { compile, exportFolder, NDArray, nn, savePretrained } from "../dist/index.js";
import { median, spread } from "./numbers.js";

const size = { layers: 8, width: 768, heads: 12, vocabulary: 32000, context: 512 };
const [promptLength, newTokens] = [32, 64];
const prompt = Array.from({ length: promptLength }, (_, i) => i + 5);
const types = ["fp32", "fp16", "q8", "q4"];

/** Tokens a second after the first new one. */
async function ours(generator) {
  let [first, n] = [0, 0];
  for await (const _ of generator.stream([prompt], { maxNewTokens: newTokens }))
    if (n++ === 0) first = performance.now();
  return ((n - 1) * 1000) / (performance.now() - first);
}

async function transformersJs(folder) {
  const library = await import("@huggingface/transformers").catch(() => undefined);
  if (!library) return undefined;
  const { AutoModelForCausalLM, env, Tensor } = library;
  env.allowRemoteModels = false;
  env.localModelPath = join(folder, "..");
  const ids = new Tensor("int64", BigInt64Array.from(prompt, BigInt), [1, promptLength]);
  const attention_mask = new Tensor("int64", new BigInt64Array(promptLength).fill(1n), [1, promptLength]);
  return async (dtype) => {
    const model = await AutoModelForCausalLM.from_pretrained("exported", { dtype });
    const took = async (n) => {
      const start = performance.now();
      await model.generate({ inputs: ids, attention_mask, max_new_tokens: n, min_new_tokens: n, do_sample: false });
      return performance.now() - start;
    };
    await took(4);
    return async () => {
      const short = await took(1);
      return ((newTokens - 1) * 1000) / ((await took(newTokens)) - short);
    };
  };
}

/** Bytes a second at which a sum over an array larger than all caches reads it. */
async function memoryRate() {
  const n = 2 ** 26;
  const x = new NDArray(new Float32Array(n).fill(1), [4, n / 4], "float32");
  const sum = compile(({ x }) => ({ y: x.sum() }));
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 8; i++) {
    const start = performance.now();
    await sum({ x });
    best = Math.min(best, performance.now() - start);
  }
  await sum.release();
  return (4 * n) / (best / 1000);
}

export async function decodeBench({ rounds, cache, python, threads, environment }) {
  const folder = join(cache, "decode");
  const exported = join(folder, "exported");
  mkdirSync(folder, { recursive: true });
  const model = nn.gpt({ ...size, seed: 1 });
  await savePretrained(model, join(folder, "checkpoint"));
  await exportFolder(join(folder, "checkpoint"), exported, { dtypes: types });
  const entries = [
    {
      label: "layerwise, checkpoint",
      dtype: "fp32",
      run: (
        (g) => () =>
          ours(g)
      )(new nn.Generator(model)),
    },
  ];
  for (const dtype of types) {
    const { source } = await openDecoder(exported, dtype);
    const generator = new nn.Generator(source);
    entries.push({ label: "layerwise, exported", dtype, run: () => ours(generator) });
  }
  const theirs = await transformersJs(exported);
  if (theirs) for (const dtype of types) entries.push({ label: "transformers.js", dtype, run: await theirs(dtype) });
  else process.stderr.write("transformers.js: not installed, skipped\n");
  if (python) {
    const script = new URL("peers/pytorch-decode.py", import.meta.url).pathname;
    const run = () => {
      const result = spawnSync(python, [script, "--tokens", String(newTokens), "--threads", String(threads)], {
        env: environment,
        encoding: "utf8",
      });
      if (result.status !== 0) throw new Error(`PyTorch's benchmark failed: ${result.stderr}`);
      return JSON.parse(result.stdout).tokensPerSecond;
    };
    entries.push({ label: "PyTorch", dtype: "fp32", run });
  } else process.stderr.write("PyTorch: not installed, skipped\n");
  for (const entry of entries) await entry.run();
  const rates = entries.map(() => []);
  const reading = [];
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`decode: round ${round + 1} of ${rounds}\n`);
    reading.push(await memoryRate());
    for (const [i, { run }] of entries.entries()) rates[i].push(await run());
  }
  // The embedding is looked up, one row of it.
  const embedding = { fp32: 4, fp16: 2, q8: 4, q4: 4 };
  const bytes = Object.fromEntries(
    types.map((dtype) => [
      dtype,
      statSync(join(exported, "onnx", `model${exportTypes[dtype]}.onnx`)).size -
        size.vocabulary * size.width * embedding[dtype],
    ]),
  );
  const rate = Math.max(...reading);
  const results = entries.map(({ label, dtype }, i) => ({
    label,
    dtype,
    tokensPerSecond: median(rates[i]),
    spread: spread(rates[i]),
    // In 16 bits the engine widens the weights once, when it loads them.
    ofByteBound: median(rates[i]) / (rate / (dtype === "fp16" ? bytes.fp32 : bytes[dtype])),
  }));
  const memory = {
    load: peakOf(join(folder, "checkpoint")),
    save: peakOf(join(folder, "checkpoint"), join(folder, "saved")),
  };
  return { size, promptLength, newTokens, memoryRate: rate, bytes, results, memory };
}

/** The most memory that loading a checkpoint (and saving it) takes beside what Node takes, over its weights. */
function peakOf(...folders) {
  const script = new URL("load.js", import.meta.url).pathname;
  const { status, stdout } = spawnSync(process.execPath, [script, ...folders], { encoding: "utf8" });
  if (status !== 0) return undefined; // no /proc here
  const { peak, bytes } = JSON.parse(stdout);
  return peak / bytes;
}

export function decodeText({ size: s, memoryRate: rate, bytes, results, memory }) {
  const first = (label, dtype) => results.find((r) => r.label === label && r.dtype === dtype)?.tokensPerSecond;
  return [
    "",
    `Decoding: ${s.layers} layers, width ${s.width}, vocabulary ${s.vocabulary}; this machine reads ${(rate / 1e9).toFixed(1)} GB/s`,
    "",
    ...results.map(({ label, dtype, tokensPerSecond, spread: range, ofByteBound }) => {
      const other = label === "layerwise, exported" ? first("transformers.js", dtype) : undefined;
      const torch = label.startsWith("layerwise") && dtype === "fp32" ? first("PyTorch", "fp32") : undefined;
      const against = [
        other && `${(tokensPerSecond / other).toFixed(2)} times transformers.js`,
        torch && `${(tokensPerSecond / torch).toFixed(2)} times PyTorch`,
      ].filter(Boolean);
      return `${label.padEnd(22)} ${dtype.padEnd(5)} ${tokensPerSecond.toFixed(0).padStart(4)} tokens/s (${range}), ${(100 * ofByteBound).toFixed(0)} % of the byte bound (${(bytes[dtype] / 1e6).toFixed(0)} MB a token)${against.length ? `: ${against.join(", ")}` : ""}`;
    }),
    ...(memory.load
      ? [
          `Loading takes ${memory.load.toFixed(2)} times the bytes of the weights at most, loading and saving ${memory.save.toFixed(2)} times`,
        ]
      : []),
  ];
}
