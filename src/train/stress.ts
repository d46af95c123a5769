/**
 * How easily a model's gradients explode: gradient ascent on all weights to make the gradient itself large, on one batch.
 *
 *   g = d loss / d θ,   θ ← θ + lr · d‖g‖ / dθ
 *
 * A network whose norms hold keeps ‖g‖ small; one without them passes 1e8 within a few steps.
 * Source: "Evolving Normalization-Activation Layers", 2020, section 3.4.
 */
import type { AnyModule } from "../nn/index.js";
import { compile, type Feed } from "../runtime/index.js";
import { grad, type Tensor, training } from "../tensor/index.js";

export interface StressOptions {
  readonly model: AnyModule;
  readonly loss: (inputs: Readonly<Record<string, Tensor>>) => Tensor;
  readonly batch: Readonly<Record<string, Feed>>;
  /** Default 0.1. */
  readonly learningRate?: number;
  /** Default 100. */
  readonly steps?: number;
  /** Gradient norm at which a model counts as unstable (default 1e8). */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface StressResult {
  readonly stable: boolean;
  /** ‖g‖ and the loss before every update; where it ended early, up to the one beyond the limit. */
  readonly gradientNorms: readonly number[];
  readonly losses: readonly number[];
}

/** Changes the model's weights: give it a clone, or one that is not needed any more. */
export async function stressTest(options: StressOptions): Promise<StressResult> {
  const { model, loss: lossOf, batch, learningRate = 0.1, steps = 100, limit = 1e8, signal } = options;
  const parameters = model.parameters();
  const step = compile((inputs: Record<string, Tensor>) => {
    const loss = training(() => lossOf(inputs));
    const norm = grad(loss, parameters)
      .map((g) => g.square().sum())
      .reduce((a, b) => a.add(b))
      .sqrt();
    for (const [i, direction] of grad(norm, parameters).entries())
      parameters[i]?.assign(parameters[i].add(direction.mul(learningRate)));
    return { loss, norm };
  });
  const [gradientNorms, losses]: [number[], number[]] = [[], []];
  let stable = true;
  for (let i = 0; i < steps && stable; i++) {
    signal?.throwIfAborted();
    const { loss, norm } = await step(batch as Record<string, Feed>);
    gradientNorms.push(norm.item());
    losses.push(loss.item());
    stable = norm.item() <= limit;
  }
  await step.release();
  return { stable, gradientNorms, losses };
}
