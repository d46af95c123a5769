import { PowerNorm } from "../../nn/index.js";
import { NDArray } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import { compareFold } from "./fold-into-linear.js";
import type { GoldenKind } from "./index.js";
import { realOf, runEval, runStacked } from "./stacked.js";

/** The released code: layer-scale, warm-up, masks. */
const released: GoldenKind = {
  matches: (file) => file.has("x", "w", "y", "running_phi", "ema_gz", "init.running_phi"),
  async run(file) {
    const norm = new PowerNorm(file.number("channels"), {
      groups: file.number("group_num"),
      alphaFwd: file.number("alpha_fwd"),
      alphaBkw: file.number("alpha_bkw"),
      eps: file.number("eps"),
      warmupIters: file.number("warmup_iters"),
    });
    load(norm, file);
    // Time comes first in these files, before the batch; padding is [batch, token].
    const real = realOf(file);
    await runStacked(file, norm, { real: real && swapped(real) });
    await runEval(file, norm);
    await compareFold(file, norm);
  },
};

/** The algorithms as the paper has them. */
const paper: GoldenKind = {
  matches: (file) => file.has("x", "w", "y", "running_phi") && ["pn", "pnv"].includes(file.metadata.kind ?? ""),
  async run(file) {
    const alpha = file.number("alpha");
    const norm = new PowerNorm(file.number("channels"), {
      variant: file.text("kind") === "pn" ? "pn" : "pn-v",
      groups: 0,
      alphaFwd: alpha,
      alphaBkw: alpha,
      eps: file.number("eps"),
      warmupIters: 0,
      backwardScale: "running",
    });
    load(norm, file);
    await runStacked(file, norm, {
      state: (name) => (name === "ema_gz" ? "nu" : name),
      // ν = (1 − α′) Λ
      read: (name, value) => (name === "ema_gz" ? times(value, 1 - alpha) : value),
    });
    await runEval(file, norm);
  },
};

function load(norm: PowerNorm, file: GoldenCase): void {
  const values = new Map([["weight", file.take("weight")], ["bias", file.take("bias")], ...file.takeAll("init.")]);
  norm.loadStateDict(values, { strict: false });
}

const times = (array: NDArray, factor: number): NDArray =>
  NDArray.from(
    array.toNumbers().map((value) => value * factor),
    "float32",
    array.shape,
  );

/** [S, A, B] to [S, B, A]. */
function swapped(array: NDArray): NDArray {
  const [S = 0, A = 0, B = 0] = array.shape;
  const from = Array.from({ length: array.size }, (_, i) => {
    const [s, b, a] = [Math.floor(i / (A * B)), Math.floor(i / A) % B, i % A];
    return array.at((s * A + a) * B + b);
  });
  return NDArray.from(from, array.dtype, [S, B, A]);
}

export const kinds = [released, paper];
