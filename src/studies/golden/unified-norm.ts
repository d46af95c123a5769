import { UnifiedNorm } from "../../nn/index.js";
import { compareFold } from "./fold-into-linear.js";
import type { GoldenKind } from "./index.js";
import { realOf, runEval, runStacked } from "./stacked.js";

const layer: GoldenKind = {
  matches: (file) => file.has("x", "w", "y", "buffer_x2", "buffer_gz", "ema_gz"),
  async run(file) {
    const norm = new UnifiedNorm(file.number("channels"), {
      windowSize: [file.number("window_fp"), file.number("window_bp")],
      warmupIters: file.number("warmup_iters"),
      outlierFiltration: file.flag("outlier_filtration"),
      eps: file.number("eps"),
      momentum: file.number("momentum"),
    });
    norm.loadStateDict(
      new Map([["weight", file.take("weight")], ["bias", file.take("bias")], ...file.takeAll("init.")]),
      {
        strict: false,
      },
    );
    await runStacked(file, norm, { real: realOf(file) });
    await runEval(file, norm);
    await compareFold(file, norm);
  },
};

export const kinds = [layer];
