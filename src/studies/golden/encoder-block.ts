/** One transformer block: what its sublayers give before and after their norms, its output, and all gradients. */
import {
  bidirectional,
  block,
  causal,
  geluMLP,
  layerNorm,
  observe,
  type Placement,
  placementStrategy,
  positionsValue,
  rmsNorm,
  swiglu,
} from "../../nn/index.js";
import { type Tensor, tensor } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { placementOf } from "./language-model.js";
import { namedGradients, runOnce } from "./run-once.js";

export const encoderBlock: GoldenKind = {
  matches: (file) => file.has("x", "y", "attn_out", "self_attn.q_proj.weight"),
  run: async (file) => {
    const model = load(file);
    const taps = tapsOf(model.placement);
    for (const path of Object.values(taps)) observe(model, path);
    const lossWeights = tensor(file.take("loss_weights"));
    const results = await runOnce({ x: file.take("x") }, ({ x }) => {
      const y = model.apply(x as Tensor);
      return { y, ...namedGradients(y.mul(lossWeights).sum(), model, { x: x as Tensor }) };
    });
    for (const [name, value] of Object.entries(results)) file.compare(name, value);
    for (const [name, path] of Object.entries(taps)) if (results[path]) file.compare(name, results[path]);
  },
};

function load(file: GoldenCase) {
  const [eps, hidden] = [file.number("eps"), file.number("F")];
  const bias = file.flag("bias");
  const [width, heads] = [file.number("d"), file.number("H")];
  const model = block(width, {
    heads,
    bias,
    mask: file.flag("causal") ? causal() : bidirectional(),
    positions: positionsValue(file.flag("rope") ? "rotary" : "none"),
    norm: file.text("norm") === "rms" ? (w) => rmsNorm(w, { eps }) : (w) => layerNorm(w, { eps, bias }),
    mlp: file.text("act") === "swiglu" ? swiglu({ hidden }) : geluMLP({ hidden }),
    placement: placementStrategy(placementOf(file))(0, 1),
  });
  model.loadStateDict(file.takeAll("", (name) => model.namedVariables().has(name)));
  return model;
}

/** Where the file's intermediate values are seen, by the norms the placement has. */
function tapsOf({ attention, mlp }: Placement): Record<string, string> {
  return {
    attn_out: "self_attn:out",
    mlp_out: "mlp:out",
    x_mid: mlp.input ? `${mlp.input}:in` : "mlp:in",
    ...(attention.output && { attn_out_normed: `${attention.output}:out` }),
    ...(mlp.output && { mlp_out_normed: `${mlp.output}:out` }),
  };
}
