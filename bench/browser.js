/**
 * The training step of a small GPT in Chromium, against TensorFlow.js and jax-js: from an empty page to the first step done, then
 * each further step; on WebAssembly with all threads, and on WebGPU: by SwiftShader, which is software, unless LAYERWISE_GPU is set.
 */
import { join } from "node:path";
import { gptSizes, titleOf } from "./gpt.js";
import { noChromium, openPages, ours, pagesInTurns } from "./pages.js";
import { packaged } from "./peers.js";

/** With --quick a model that SwiftShader trains in a moment. */
const quickSize = { layers: 1, width: 32, heads: 2, context: 16, batch: 2, vocabulary: 65 };
const here = (name) => JSON.stringify(join(import.meta.dirname, name));

const sources = {
  layerwise: (backend, given) => `
    import { autocast, compile, grad, NDArray, nn, optim, setWasmPaths } from "layerwise";
    import { gptStep } from ${here("gpt.js")};
    async function prepare() {
      setWasmPaths(location.origin + "/ort/");
      return gptStep({ autocast, compile, grad, NDArray, nn, optim }, ${given}, { backend: "${backend}" }).step;
    }`,
  tfjs: (backend, given) => `
    import * as tf from "@tensorflow/tfjs-core";
    import "@tensorflow/tfjs-core/dist/register_all_gradients";
    ${
      backend === "wasm"
        ? `import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";`
        : `import "@tensorflow/tfjs-backend-webgpu";`
    }
    import { gptStep } from ${here("peers/tfjs-gpt.js")};
    import { gptTokens } from ${here("gpt.js")};
    async function prepare() {
      ${backend === "wasm" ? `setWasmPaths(location.origin + "/tfjs/"); setThreadsCount(navigator.hardwareConcurrency);` : ""}
      if (!(await tf.setBackend("${backend}"))) throw new Error("the backend does not start");
      await tf.ready();
      return gptStep(tf, ${given}, gptTokens(${given})).step;
    }`,
  "jax-js": (backend, given) => `
    import * as jax from "@jax-js/jax";
    import { gptStep } from ${here("peers/jax-gpt.js")};
    import { gptTokens } from ${here("gpt.js")};
    async function prepare() {
      const devices = await jax.init("${backend}");
      if (!devices.includes("${backend}")) throw new Error("the backend does not start");
      jax.defaultDevice("${backend}");
      return gptStep(jax, ${given}, gptTokens(${given})).step;
    }`,
};

/** Where TensorFlow.js's engine lies; jax-js writes its own. */
const servedBy = (peer, folder) =>
  peer === "tfjs" ? { tfjs: join(folder, "node_modules/@tensorflow/tfjs-backend-wasm/dist") } : {};

/** Sides that are there, as pages. */
function sidesOf(peers, backend, size) {
  const given = JSON.stringify(size);
  return {
    layerwise: { ...ours, source: sources.layerwise(backend, given) },
    ...Object.fromEntries(
      Object.entries(peers)
        .filter(([, { folder }]) => folder)
        .map(([name, { folder }]) => [
          name,
          { folder, source: sources[name](backend, given), served: servedBy(name, folder) },
        ]),
    ),
  };
}

export async function browserBench({ turns, steps, quick }) {
  const size = quick ? quickSize : gptSizes.characters;
  const peers = { tfjs: packaged("tfjs"), "jax-js": packaged("jax-js") };
  const backends = {};
  let chromium;
  for (const backend of ["wasm", "webgpu"]) {
    const sides = sidesOf(peers, backend, size);
    const pages = await openPages(sides, backend);
    if (!pages) return { problem: noChromium };
    chromium = pages.version;
    try {
      const title = `Chromium, ${backend}`;
      backends[backend] = await pagesInTurns(pages, Object.keys(sides), {
        turns,
        count: backend === "webgpu" ? Math.min(steps, 2) : steps,
        title,
      });
    } finally {
      await pages.close();
    }
  }
  const gpu = Boolean(process.env.LAYERWISE_GPU);
  return { title: titleOf(size), chromium, gpu, peers: described(peers), backends };
}

const described = (peers) =>
  Object.fromEntries(Object.entries(peers).map(([key, { folder: _, ...rest }]) => [key, rest]));
