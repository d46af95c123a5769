import { Conv2d, foldNorms, Lambda, PRepBN, Sequential, SimplifiedLinearAttention } from "../../nn/index.js";
import { inference, type NDArray, type Tensor, training } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import { compareFold } from "./fold-into-linear.js";
import type { GoldenKind } from "./index.js";
import { namedGradients, runOnce } from "./run-once.js";
import { runEval, runStacked } from "./stacked.js";

const prepbn: GoldenKind = {
  matches: (file) => file.has("x", "w", "y", "lambda", "alpha", "bn.weight"),
  async run(file) {
    const isRMS = file.has("rms.weight");
    const norm = new PRepBN(file.number("channels"), {
      step: file.number("step"),
      warm: file.number("warm"),
      r0: file.number("r0"),
      base: isRMS ? "rms" : "layer",
      lnEps: file.number(isRMS ? "eps_rms" : "ln_eps"),
      bnEps: file.number(isRMS ? "eps_bn" : "bn_eps"),
      bnMomentum: file.number("bn_momentum"),
      accumulation: file.metadata.accumulation === undefined ? 1 : file.number("accumulation"),
    });
    const base = isRMS ? file.takeAll("rms.") : file.takeAll("ln.");
    const named = (prefix: string, values: ReadonlyMap<string, NDArray>) =>
      [...values].map(([name, value]): [string, NDArray] => [`${prefix}.${name}`, value]);
    norm.loadStateDict(
      new Map([...named("ln", base), ...named("bn", file.takeAll("bn.")), ["alpha", file.take("alpha")]]),
      { strict: false },
    );
    await runStacked(file, norm, {
      real: file.has("valid") ? file.take("valid") : undefined,
      gradient: (name) => `grad_${name.replace(".", "_")}`,
      state: (name) => name.replace("bn.", ""),
      before: async () => ({ lambda: await norm.progress() }),
    });
    await runEval(file, norm);
    await compareMerged(file, norm);
    await compareFold(file, norm);
    await compareConvolution(file, norm);
  },
};

async function compareMerged(file: GoldenCase, norm: PRepBN): Promise<void> {
  if (!file.has("merged_bn.weight")) return;
  const merged = await (await norm.mergeToBatchNorm()).stateDict();
  for (const name of ["weight", "bias"]) file.compare(`merged_bn.${name}`, merged.get(name) as NDArray);
}

/** A convolution before the norm, its output as tokens. */
async function compareConvolution(file: GoldenCase, norm: PRepBN): Promise<void> {
  if (!file.has("conv.W")) return;
  const W = file.take("conv.W");
  const conv = new Conv2d(W.shape[1] as number, W.shape[0] as number, file.number("conv_kernel"), {
    stride: file.number("conv_stride"),
  });
  conv.weight.set(W);
  conv.bias?.set(file.take("conv.b"));
  const onImages = new PRepBN(norm.width, { step: norm.total, bnEps: norm.bn.eps, axis: 1 });
  onImages.loadStateDict(await norm.stateDict());
  const { model } = await foldNorms(new Sequential(conv, onImages));
  const folded = await model.stateDict();
  file.compare("conv.W_fused", folded.get("0.weight") as NDArray);
  file.compare("conv.b_fused", folded.get("0.bias") as NDArray);
  const tokens = new Sequential(
    model,
    new Lambda((x) => x.reshape([x.dim(0), x.dim(1), x.dim(2) * x.dim(3)]).transpose([0, 2, 1])),
  );
  const { y } = await runOnce({ x: file.take("conv.x") }, ({ x }) => ({
    y: inference(() => tokens.apply(x as Tensor)),
  }));
  file.compare("conv.y", y as NDArray);
}

const attention: GoldenKind = {
  matches: (file) => file.has("x", "w", "y", "p.positional_encoding", "p.dwc.weight"),
  async run(file) {
    const layer = new SimplifiedLinearAttention({
      dim: file.number("dim"),
      heads: file.number("heads"),
      height: file.number("height"),
      width: file.number("width"),
      kernel: file.number("kernel"),
    });
    layer.loadStateDict(file.takeAll("p."));
    const results = await runOnce({ x: file.take("x"), w: file.take("w") }, (inputs) => {
      const { x, w } = inputs as { x: Tensor; w: Tensor };
      const y = training(() => layer.apply(x));
      return { y, ...namedGradients(y.mul(w).sum(), layer, { x }) };
    });
    for (const [name, value] of Object.entries(results)) file.compare(name === "grad.x" ? "grad_x" : name, value);
  },
};

export const kinds = [prepbn, attention];
