/** Layer normalisation over one or more axes, with and without gain and bias: outputs and gradients of numbered cases. */
import { type LayerNorm, layerNorm } from "../../nn/index.js";
import { type Tensor, tensor } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { namedGradients, runOnce } from "./run-once.js";

export const layerNormCases: GoldenKind = {
  // Recurrent cells have step masks and gate matrices instead of numbered cases.
  matches: (file) => casesOf(file).length > 0,
  run: async (file) => {
    for (const name of casesOf(file)) await compareCase(file, name);
  },
};

/** Prefixes of complete cases: "0", "1", "constant". */
const casesOf = (file: GoldenCase): string[] =>
  file.names
    .filter((name) => name.endsWith(".x") && !name.includes("grad."))
    .map((name) => name.slice(0, -2))
    .filter((name) => file.has(`${name}.y`, `${name}.loss_weights`) && `${name}.eps` in file.metadata);

async function compareCase(file: GoldenCase, name: string): Promise<void> {
  const norm = load(file, name);
  const lossWeights = tensor(file.take(`${name}.loss_weights`));
  const results = await runOnce({ x: file.take(`${name}.x`) }, ({ x }) => {
    const y = norm.apply(x as Tensor);
    return { y, ...namedGradients(y.mul(lossWeights).sum(), norm, { x: x as Tensor }) };
  });
  for (const [key, value] of Object.entries(results)) file.compare(`${name}.${key}`, value);
}

/** The norm of a case; without a normalized shape in the metadata, over the last axis. */
function load(file: GoldenCase, name: string): LayerNorm {
  const x = file.take(`${name}.x`);
  const text = file.metadata[`${name}.normalized_shape`];
  const shape = text ? (JSON.parse(text) as number[]) : [x.shape.at(-1) as number];
  const weights = file.takeAll(`${name}.`, (key) => key === "weight" || key === "bias");
  const norm = layerNorm(shape, {
    eps: file.number(`${name}.eps`),
    affine: weights.has("weight"),
    bias: weights.has("bias"),
  });
  norm.loadStateDict(weights);
  return norm;
}
