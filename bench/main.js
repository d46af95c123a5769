#!/usr/bin/env node
/**
 * The GPT training step against PyTorch (where `python3` has it) and against this machine's own matrix product, and
 * decoding (decode.js), as ratios in one run: all sides take turns, so that a machine that slows down slows down for all.
 *
 *   npm run bench -- [--only step|decode|vision|norms] [--size small|medium] [--rounds 3] [--steps 8] [--threads N] [--json file]
 *
 * `vision` (vision.js) is networks on images and graphs against PyTorch and TensorFlow.js, in Node and Chromium; `norms`
 * (norms.js) what each norm costs, and what folding saves.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compile, defaultBackend, grad, NDArray, nn, optim } from "../dist/index.js";
import { matmulRate } from "../dist/train/matmul-rate.js";
import { decodeBench, decodeLines } from "./decode.js";
import { normBench, normLines } from "./norms.js";
import { visionBench, visionLines } from "./vision.js";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    steps: { type: "string", default: "8" },
    threads: { type: "string" },
    json: { type: "string" },
    only: { type: "string" },
    size: { type: "string", default: "small" },
  },
});
const [rounds, steps] = [Number(options.rounds), Number(options.steps)];
if (options.threads) process.env.LAYERWISE_THREADS = options.threads;
const parts = ["step", "decode", "vision", "norms"];
if (options.only !== undefined && !parts.includes(options.only))
  throw new Error(`--only: expected one of ${parts.join(", ")}, got ${options.only}`);
const wants = (part) => options.only === undefined || options.only === part;
const here = fileURLToPath(new URL(".", import.meta.url));
const cache = fileURLToPath(new URL("../.bench", import.meta.url));

/** `medium` has 25 million parameters. */
const gptSizes = {
  small: { layers: 6, width: 384, heads: 6, context: 256, batch: 8, vocabulary: 512 },
  medium: { layers: 12, width: 416, heads: 8, context: 256, batch: 8, vocabulary: 512 },
};
if (!Object.hasOwn(gptSizes, options.size))
  throw new Error(`--size: expected ${Object.keys(gptSizes).join(" or ")}, got ${options.size}`);
const size = gptSizes[options.size];

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const spread = (numbers) => `${Math.min(...numbers).toFixed(0)}–${Math.max(...numbers).toFixed(0)}`;

/** Milliseconds of each call after the first few. */
async function time(call, count, warmUp) {
  const milliseconds = [];
  for (let i = 0; i < count + warmUp; i++) {
    const start = performance.now();
    await call();
    if (i >= warmUp) milliseconds.push(performance.now() - start);
  }
  return milliseconds;
}

async function trainingStep() {
  const { layers, width, heads, context, batch, vocabulary } = size;
  const started = performance.now();
  const model = nn.gpt({
    layers,
    width,
    heads,
    context,
    vocabulary,
    norm: "layer",
    mlp: "gelu",
    positions: "learned",
    bias: true,
  });
  const optimizer = optim.adamW(model.parameters(), { learningRate: 1e-3 });
  const step = compile(({ tokens, targets }) => {
    const loss = nn.crossEntropy(model.apply(tokens), targets);
    optimizer.update(grad(loss, model.parameters()));
    return { loss };
  });
  const ids = Int32Array.from({ length: batch * context }, (_, i) => (i * 7919) % vocabulary);
  const feeds = {
    tokens: new NDArray(ids, [batch, context], "int32"),
    targets: new NDArray(
      ids.map((id) => (id * 31 + 7) % vocabulary),
      [batch, context],
      "int32",
    ),
  };
  const { model: onnx } = await step.prepare(feeds);
  const startUp = performance.now() - started;
  const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
  const gflops = (model.flopsPerToken() * batch * context) / 1e9;
  return { run: () => step(feeds), startUp, parameters, gflops, nodes: onnx.graph.node.length };
}

/** Debian's PyTorch uses whatever BLAS is installed; the reference one is 18 times slower, which would be no contest. */
function openBlas() {
  const installed = "/usr/lib/x86_64-linux-gnu/openblas-pthread";
  if (existsSync(join(installed, "libblas.so.3"))) return installed;
  const unpacked = join(cache, "blas", installed);
  if (existsSync(join(unpacked, "libblas.so.3"))) return unpacked;
  mkdirSync(cache, { recursive: true });
  if (spawnSync("apt-get", ["download", "libopenblas0-pthread"], { cwd: cache }).status !== 0) return undefined;
  const deb = readdirSync(cache).find((name) => name.startsWith("libopenblas0-pthread") && name.endsWith(".deb"));
  return deb && spawnSync("dpkg", ["-x", deb, "blas"], { cwd: cache }).status === 0 ? unpacked : undefined;
}

/** A python3 that has PyTorch, if there is one. */
const findPython = () =>
  ["/usr/bin/python3", "python3"].find((name) => spawnSync(name, ["-c", "import torch"]).status === 0);

/**
 * PyTorch as this machine runs it and, where OPENBLAS_CORETYPE makes OpenBLAS take other kernels than it would choose
 * itself, once more with its own choice.
 */
function pytorch(python, threads) {
  if (!python) return [];
  const blas = openBlas();
  const { OPENBLAS_CORETYPE: kernels, OPENBLAS_L2_SIZE: _, ...free } = process.env;
  const variants = kernels
    ? [
        [`OpenBLAS as set here: ${kernels} kernels`, process.env],
        ["OpenBLAS's own choice of kernels", free],
      ]
    : [["OpenBLAS", free]];
  return variants.map(([label, variables]) => {
    const env = { ...variables, ...(blas && { LD_LIBRARY_PATH: blas }) };
    const run = () => {
      const sizes = ["--layers", size.layers, "--width", size.width, "--heads", size.heads].map(String);
      const args = [
        join(here, "peers/pytorch-gpt.py"),
        "--steps",
        String(steps),
        "--threads",
        String(threads),
        ...sizes,
      ];
      const result = spawnSync(python, args, { env, encoding: "utf8" });
      if (result.status !== 0) throw new Error(`PyTorch's benchmark failed: ${result.stderr}`);
      return JSON.parse(result.stdout);
    };
    return { label, run, times: [] };
  });
}

const backend = await defaultBackend();
const { threads, engine, version } = backend.description;
const python = findPython();
const about = {
  date: new Date().toISOString(),
  machine: `${cpus()[0]?.model.trim()}, ${threads} threads`,
  engine: `${engine} ${version}`,
  node: process.versions.node,
};
process.stdout.write(`${about.machine}; Node ${about.node}, ${about.engine}\n\n`);
const step = wants("step") ? await stepBench() : undefined;
if (step) process.stdout.write(`${step.lines.join("\n")}\n\n`);
const blas = python && openBlas();
const peer = python && { path: python, env: { ...process.env, ...(blas && { LD_LIBRARY_PATH: blas }) } };
const decode = wants("decode") ? await decodeBench({ rounds, threads, cache, python: peer }) : undefined;
if (decode) process.stdout.write(`${decodeLines(decode).join("\n")}\n\n`);
const vision = wants("vision") ? await visionBench({ rounds, threads, cache, python: peer }) : undefined;
if (vision) process.stdout.write(`${visionLines(vision).join("\n")}\n\n`);
const norms = wants("norms") ? await normBench({ rounds }) : undefined;
if (norms) process.stdout.write(`${normLines(norms).join("\n")}\n`);
mkdirSync(cache, { recursive: true });
writeFileSync(
  options.json ?? join(cache, "bench.json"),
  `${JSON.stringify({ ...about, ...step?.result, ...(decode && { decode }), ...(vision && { vision }), ...(norms && { norms }) }, null, 2)}\n`,
);

async function stepBench() {
  const ours = await trainingStep();
  const peers = pytorch(python, threads);
  const times = { ours: [], matmul: [] };
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    times.matmul.push(await matmulRate({}, 23));
    times.ours.push(...(await time(ours.run, steps, 3)));
    for (const peer of peers) {
      peer.info = peer.run();
      peer.times.push(...peer.info.stepMilliseconds);
    }
  }
  const rate = (gflops, milliseconds) => gflops / (milliseconds / 1000);
  const matmul = Math.max(...times.matmul) / 1e9;
  const achieved = rate(ours.gflops, median(times.ours));
  const result = {
    step: {
      median: median(times.ours),
      spread: spread(times.ours),
      gflops: achieved,
      nodes: ours.nodes,
      parameters: ours.parameters,
      startUp: ours.startUp,
    },
    matmul,
    ofMatmul: achieved / matmul,
    pytorch: peers.map(({ label, info, times: own }) => ({
      label,
      version: info.version,
      blas: info.blas,
      median: median(own),
      spread: spread(own),
      matmul: info.matmulGflops,
      ratio: median(own) / median(times.ours),
    })),
    residentMegabytes: process.memoryUsage().rss / 2 ** 20,
  };
  const lines = [
    `GPT training step: ${size.layers} layers, width ${size.width}, context ${size.context}, batch ${size.batch}, ${(ours.parameters / 1e6).toFixed(1)} M parameters, AdamW`,
    "",
    `layerwise     ${result.step.median.toFixed(0)} ms a step (${result.step.spread}), ${achieved.toFixed(0)} GFLOP/s, ${ours.nodes} nodes, ${ours.startUp.toFixed(0)} ms to build and compile`,
    `this matmul   ${matmul.toFixed(0)} GFLOP/s (1024 × 1024, same run): the step runs at ${(100 * result.ofMatmul).toFixed(0)} % of it`,
    ...(result.pytorch.length === 0
      ? ["PyTorch       not installed (on Debian: apt-get install python3-torch)"]
      : result.pytorch.map(
          (p) =>
            `PyTorch       ${p.median.toFixed(0)} ms a step (${p.spread}), version ${p.version}, ${p.label} (its matmul: ${p.matmul.toFixed(0)} GFLOP/s): layerwise is ${p.ratio.toFixed(2)} times as fast`,
        )),
  ];
  return { result, lines };
}
