/** The residual stream of untrained models: variance after each block, for many seeds and weight scales. */
import { gpt } from "../models/index.js";
import { initialize, swiglu } from "../nn/index.js";
import { compile } from "../runtime/index.js";
import { NDArray, philoxUniform, stack, type Tensor } from "../tensor/index.js";
import type { Laboratory, PlacementKey } from "./laboratory.js";

/** Deeper than the trained models: growth shows with depth. */
export const initialDepth = 24;

export interface InitialVariance {
  readonly std: number;
  readonly seed: number;
  /** V(0..depth) */
  readonly variance: readonly number[];
}

/** One entry per (std, seed); random tokens, embeddings N(0, 1) without a norm on them. */
export async function initialVariance(
  { scale, data, signal }: Laboratory,
  placement: PlacementKey,
  stds: readonly number[],
): Promise<InitialVariance[]> {
  const { width, heads, hidden, context, initialSeeds } = scale;
  const { vocabulary } = data;
  const model = gpt({
    layers: initialDepth,
    width,
    heads,
    context,
    vocabulary,
    placement,
    embedNorm: false,
    mlp: swiglu({ hidden }),
  });
  const measure = compile(({ tokens }: { tokens: Tensor }) => ({
    variance: stack(model.hiddenStates(tokens).map((h) => h.variance(-1).mean())),
  }));
  const results: InitialVariance[] = [];
  for (const seed of initialSeeds) {
    const tokens = NDArray.from(
      philoxUniform({ seed, site: "tokens" }, context).map((u) => Math.floor(u * vocabulary)),
      "int32",
      [1, context],
    );
    for (const std of stds) {
      signal?.throwIfAborted();
      initialize(model, { std, embeddingStd: 1, seed });
      results.push({ std, seed, variance: (await measure({ tokens })).variance.toNumbers() });
    }
  }
  await measure.release();
  return results;
}

/** The values of one depth, per seed, at one std. */
export const atDepth = (results: readonly InitialVariance[], std: number, layer: number): number[] =>
  results.filter((r) => r.std === std).map((r) => r.variance[layer] as number);
