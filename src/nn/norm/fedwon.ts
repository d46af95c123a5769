/**
 * A network without norms, for federated learning over several domains: every norm is taken out, every convolution uses
 * scaled standardised weights and has a bias, linear layers stay as they are,
 *
 *   Ŵᵢ = γ gᵢ (Wᵢ − μᵢ) / √max(σ²ᵢ N, ε);   y = conv(x, Ŵ) + b          N: fan-in, ε = 1e-4, γ = √(2 / (1 − 1/π)) for ReLU
 *   θ ← Σₖ (nₖ / Σ n) θₖ                                                  nothing but plain averages (`federated`)
 *
 * so that there are no statistics that describe one domain only. γ is that of the network's activation, in every convolution,
 * the first one too. Not the same function as before: train it anew. `bake` makes plain convolutions for inference.
 *
 * Source: "FedWon: Triumphing Multi-domain Federated Learning Without Normalization", 2023. There is no public code: the
 * constants are those of normaliser-free networks. Whether its residual networks have their blocks, too, is not known: here they
keep their own; `NormFreeBlock` is the other one, for deep networks.
 */
import { fail, NDArray, Variable } from "../../tensor/index.js";
import { Conv1d, Conv2d, ConvTranspose2d } from "../convolution.js";
import { type AnyModule, rewrite } from "../module.js";
import type { Weighted } from "../parametrization.js";
import { Identity } from "../sequential.js";
import { putAt } from "../surgery.js";
import { warn } from "../warn.js";
import { layersBeforeNorms } from "./before-norms.js";
import { activates, Norm } from "./norm.js";
import {
  ScaledWeightStandardization,
  type ScaledWeightStandardizationOptions,
} from "./scaled-weight-standardization.js";

export interface RemoveNormsOptions extends ScaledWeightStandardizationOptions {
  /** Standardise the convolutions (default true); false only takes the norms out: the control of the paper. */
  readonly standardize?: boolean;
}

/**
 * Changes the model and gives it back. Convolutions that no norm is known to follow are standardised, too, with a warning.
 * Throws, with the model as it was, where there is no convolution, for filters of fan-in 1 (1 × 1 depthwise), transposed
 * convolutions, convolutions with another parametrisation, and norms that have their activation inside.
 */
export function removeNorms<M extends AnyModule>(
  model: M,
  { standardize = true, ...options }: RemoveNormsOptions = {},
): M {
  const modules = [...model.namedModules()] as [string, unknown][];
  const convolutions = modules.filter((entry): entry is [string, Conv1d | Conv2d] => isConvolution(entry[1]));
  check(modules, convolutions, standardize);
  const followed = layersBeforeNorms(model);
  const alone = convolutions.filter(([, layer]) => !followed.has(layer)).map(([path]) => path || "the model itself");
  if (standardize && alone.length > 0)
    warn(`removeNorms: no norm is known to follow ${alone.join(", ")}; standardised all the same`);
  // Made before anything is changed: a constructor may refuse its options.
  const made = convolutions.map(([, layer]) => standardize && new ScaledWeightStandardization(layer, options));
  for (const [i, [path, layer]] of convolutions.entries()) {
    const standardization = made[i];
    if (standardization) layer.parametrizations.push(standardization);
    const bias = path ? `${path}.bias` : "bias";
    if (!layer.bias) putAt(model, bias, new Variable(NDArray.zeros([layer.outputs]), { name: bias }));
  }
  return rewrite(model, (module) => ((module as unknown) instanceof Norm ? (new Identity() as AnyModule) : undefined));
}

const isConvolution = (module: unknown): boolean => module instanceof Conv1d || module instanceof Conv2d;

function check(
  modules: readonly [string, unknown][],
  convolutions: readonly [string, Weighted][],
  standardize: boolean,
): void {
  if (convolutions.length === 0)
    fail("conversion", "removeNorms: the model has no convolution whose weights could take the norms' place");
  for (const [path, module] of modules) {
    if (activates(module))
      fail(
        "conversion",
        `removeNorms: ${path} is norm and activation in one; build the model with "batch" norms and an activation instead`,
      );
    if (standardize && module instanceof ConvTranspose2d)
      fail("conversion", `removeNorms: ${path} is a transposed convolution, whose filters are not rows of its weight`);
  }
  if (!standardize) return;
  for (const [path, { weight, parametrizations }] of convolutions) {
    if (parametrizations.length > 0)
      fail("conversion", `removeNorms: ${path} has a parametrisation already; bake it or leave it out first`);
    if (weight.size === weight.dim(0))
      fail("conversion", `removeNorms: the filters of ${path} have a fan-in of 1, and so no variance`);
  }
}
