/** LayerNorm, RMSNorm and CRMSNorm of one array, centred and compressed: the identities Pre-RMSNorm rests on. */
import { compress, crmsNorm, layerNorm, type Module, rmsNorm } from "../../nn/index.js";
import { type NDArray, type Tensor, tensor } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { namedGradients, runOnce } from "./run-once.js";

export const normFunctions: GoldenKind = {
  matches: (file) => file.has("x", "loss_weights", "centred", "compressed", "layer_norm.0"),
  run: async (file) => {
    const x = file.take("x");
    const d = x.shape.at(-1) as number;
    const { centred, compressed } = await prepare(x);
    file.compare("centred", centred);
    file.compare("compressed", compressed);
    for (let i = 0; `eps.${i}` in file.metadata; i++) {
      const eps = file.number(`eps.${i}`);
      const plain = { eps, affine: false };
      await compareNorm(file, `layer_norm.${i}`, layerNorm(d, plain), x, "grad_x");
      await compareNorm(file, `rms_norm_of_centred.${i}`, rmsNorm(d, plain), centred, "grad");
      await compareNorm(file, `crms_norm_of_compressed.${i}`, crmsNorm(d - 1, plain), compressed, "grad");
      await compareNorm(file, `rms_norm_of_x.${i}`, rmsNorm(d, plain), x, "grad");
    }
  },
};

async function prepare(values: NDArray): Promise<{ centred: NDArray; compressed: NDArray }> {
  const results = await runOnce({ x: values }, ({ x }) => {
    const centred = (x as Tensor).sub((x as Tensor).mean(-1, { keepDims: true }));
    return { centred, compressed: compress(centred) };
  });
  return results as { centred: NDArray; compressed: NDArray };
}

async function compareNorm(
  file: GoldenCase,
  name: string,
  norm: Module,
  values: NDArray,
  gradient: string,
): Promise<void> {
  const lossWeights = tensor(file.take("loss_weights"));
  const results = await runOnce({ x: values }, ({ x }) => {
    const y = norm.apply(x as Tensor);
    const weights = lossWeights.slice({ axis: -1, start: 0, end: y.dim(-1) });
    return { y, ...namedGradients(y.mul(weights).sum(), norm, { x: x as Tensor }) };
  });
  file.compare(name, results.y as NDArray);
  file.compare(`${name}.${gradient}`, results["grad.x"] as NDArray);
}
