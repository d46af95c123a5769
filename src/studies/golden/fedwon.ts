/** Scaled standardised convolutions and adaptive gradient clipping; federated rounds are not built. */
import { Conv2d, ScaledWeightStandardization } from "../../nn/index.js";
import { adaptiveClip } from "../../optim/index.js";
import { type NDArray, type Tensor, tensor, Variable } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { namedGradients, runOnce } from "./run-once.js";

export const kinds: readonly GoldenKind[] = [
  { matches: (file) => file.has("effective_weight", "gain", "x", "grad_out"), run: convolution },
  { matches: (file) => file.names.some((name) => name.endsWith(".clipped")), run: clipping },
];

async function convolution(file: GoldenCase): Promise<void> {
  const [outputs, perGroup, ...kernel] = file.take("weight").shape as [number, number, ...number[]];
  const groups = file.number("groups");
  const layer = new Conv2d(perGroup * groups, outputs, kernel, {
    bias: file.has("bias"),
    stride: file.number("stride"),
    padding: file.number("padding"),
    groups,
  });
  const standardize = new ScaledWeightStandardization(layer, {
    gamma: file.number("gamma"),
    eps: file.number("eps"),
    epsMode: file.text("formula").includes("max(") ? "floor" : "inside",
  });
  layer.loadStateDict(file.takeAll("", (name) => name === "weight" || name === "bias"));
  standardize.gain.set(file.take("gain"));
  layer.parametrizations.push(standardize);
  const upstream = tensor(file.take("grad_out"));
  const results = await runOnce({ x: file.take("x") }, ({ x }) => {
    const out = layer.apply(x as Tensor);
    const gradients = namedGradients(out.mul(upstream).sum(), layer, { x: x as Tensor });
    return { out, effective_weight: standardize.apply(layer.weight), ...gradients };
  });
  for (const [name, value] of Object.entries(results)) file.compare(name.replace("parametrizations.0.", ""), value);
}

async function clipping(file: GoldenCase): Promise<void> {
  const options = { clipping: file.number("clipping"), eps: file.number("eps") };
  for (const name of file.names.filter((own) => file.has(`${own}.grad`, `${own}.clipped`))) {
    const W = new Variable(file.take(name), { name });
    const { clipped } = await runOnce({ g: file.take(`${name}.grad`) }, ({ g }) => ({
      clipped: adaptiveClip([g as Tensor], [W], options)[0] as Tensor,
    }));
    file.compare(`${name}.clipped`, clipped as NDArray);
  }
}
