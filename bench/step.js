/**
 * The GPT training step against PyTorch, TensorFlow.js and jax-js in Node, against this machine's own matrix product and against what
 * its silicon could do at best.
 * The JavaScript peers are compared at a smaller batch, which we run, too: TensorFlow.js's memory ends at 4 GiB.
 */
import { join } from "node:path";
import * as layerwise from "../dist/index.js";
import { coresIn } from "../dist/runtime/cores.js";
import { matmulRate } from "../dist/train/matmul-rate.js";
import { gptSizes, gptStep, sizeArguments, titleOf } from "./gpt.js";
import { packaged, pytorch, runNode } from "./peers.js";
import { clocksNow, cpuinfoText, siliconPeak } from "./silicon.js";
import { guarded, inTurns, median, ratio, summary, timed } from "./statistics.js";

const smallBatch = 2;
const here = (name) => JSON.stringify(join(import.meta.dirname, name));

/** How each package is made ready in Node; it leaves `library`. */
const ready = {
  tfjs: `import * as library from "@tensorflow/tfjs";
    import "@tensorflow/tfjs-backend-wasm";
    await library.setBackend("wasm");`,
  "jax-js": `import * as library from "@jax-js/jax";
    await library.init("wasm");`,
};

const scriptOf = (peer, size, steps) => `${ready[peer]}
  import { gptStep } from ${here(`peers/${peer === "tfjs" ? "tfjs" : "jax"}-gpt.js`)};
  import { reportStep } from ${here("peers/report-step.js")};
  await reportStep(gptStep, library, ${JSON.stringify(size)}, ${steps});`;

/** Our step as a side, at one batch. */
function ourSide(size, steps) {
  const own = gptStep(layerwise, size);
  return { ...own, run: async () => median(await timed(own.step, steps, 2)) };
}

/** `{ name, version, label?, against, run }` or `{ name, problem }` of each; `run` gives milliseconds a step. */
function peerSides(size, { steps, threads }) {
  const torch = pytorch();
  const args = ["--steps", steps, "--threads", threads, ...sizeArguments(size)];
  const pythons = (torch.variants ?? []).map(({ label, run }) => ({
    ...{ name: torch.name, version: torch.version, label, against: "layerwise" },
    run: (info) => median(Object.assign(info, run("pytorch-gpt.py", args)).stepMilliseconds),
  }));
  const small = { ...size, batch: smallBatch };
  const packages = ["tfjs", "jax-js"].map((peer) => {
    const { folder, ...about } = packaged(peer);
    const script = scriptOf(peer, small, Math.min(steps, 3));
    const label = `WebAssembly, one thread, ${smallBatch} rows`;
    return about.problem
      ? about
      : {
          ...{ ...about, label, against: "small batch" },
          run: (info) => median(Object.assign(info, runNode(script, { folder, title: about.name })).times),
        };
  });
  return [...(torch.problem ? [torch] : pythons), ...packages];
}

/** The rate of this machine's products; the clocks right after them are added to `clocks`. */
async function productRate(clocks) {
  const rate = await matmulRate({}, 23);
  clocks.push(...clocksNow());
  return rate;
}

async function measureSize(key, { turns, steps, threads, clocks }) {
  const size = gptSizes[key];
  const [ours, small] = [ourSide(size, steps), ourSide({ ...size, batch: smallBatch }, steps)];
  const peers = peerSides(size, { steps, threads }).map((peer) => ({ ...peer, info: {} }));
  const { sides, problems } = guarded(
    Object.fromEntries(peers.flatMap(({ run, info }, i) => (run ? [[i, () => run(info)]] : []))),
  );
  const own = { matmul: () => productRate(clocks), layerwise: ours.run, "small batch": small.run };
  const values = await inTurns({ ...own, ...sides }, turns, `training step, ${key}`);
  await Promise.all([ours.release(), small.release()]);
  const step = summary(values.layerwise);
  const matmul = Math.max(...values.matmul) / 1e9;
  const achieved = ours.gflops / (step.median / 1000);
  return {
    ...{ title: titleOf(size), parameters: ours.parameters, step, smallBatch: summary(values["small batch"]) },
    ...{ gflops: achieved, matmul, ofMatmul: achieved / matmul },
    peers: peers.map(({ run, info, against, ...about }, i) => {
      if (!run || problems[i]) return { ...about, ...(problems[i] && { problem: problems[i] }) };
      const figures = { step: summary(values[i]), ratio: ratio(values[i], values[against]) };
      return { ...about, ...figures, ...checked(info, ours) };
    }),
  };
}

/** A peer that trains another model would be no comparison. */
function checked({ parameters, matmulGflops }, ours) {
  if (parameters !== ours.parameters) throw new Error(`a peer has ${parameters} parameters, we ${ours.parameters}`);
  return matmulGflops === undefined ? {} : { matmul: matmulGflops };
}

export async function stepBench(options) {
  const sizes = {};
  const clocks = [];
  for (const key of options.sizes) sizes[key] = await measureSize(key, { ...options, clocks });
  return { smallBatch, silicon: siliconOf(Object.values(sizes), clocks, options), sizes };
}

/** The silicon's peak, which no product of this run may exceed, ours or a peer's. */
function siliconOf(sizes, clocks, { threads, silicon: told }) {
  const products = sizes.flatMap(({ matmul, peers }) => [matmul, ...peers.map((peer) => peer.matmul ?? 0)]);
  const cpuinfo = cpuinfoText();
  return siliconPeak({ cpuinfo, cores: coresIn(cpuinfo), threads, clocks, product: Math.max(...products), told });
}
