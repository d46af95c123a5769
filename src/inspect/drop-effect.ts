/**
 * What a block is worth: the loss without it minus the loss with it. One program has a switch for every block, so
 * nothing is rebuilt and the model itself is never changed; a scaled norm keeps its own factor.
 *
 *   Δ(l) = loss(model without block l) - loss(model);   positive = the block helps
 *
 * Source: "The Curse of Depth in Large Language Models", 2025.
 */
import { compile } from "../runtime/index.js";
import { crossEntropy, fail, NDArray, noTarget, type Tensor, where } from "../tensor/index.js";
import { type Batch, checkBatch, type ResidualStack, remember } from "./stack.js";

type Block = { apply(x: Tensor): Tensor };

/** A scalar to judge a model by, from logits [batch, tokens, vocabulary] and targets [batch, tokens]; default: the loss. */
export type Metric = (logits: Tensor, targets: Tensor) => Tensor;

const gatedPrograms = remember((model: ResidualStack) => remember((metric: Metric) => gatedProgram(model, metric)));

const gatedProgram = (model: ResidualStack, metric: Metric) =>
  compile(({ tokens, targets, keep }: { tokens: Tensor; targets: Tensor; keep: Tensor }) => {
    const [embedded] = model.hiddenStates(tokens) as [Tensor];
    const blocks = model.model.layers as readonly Block[];
    const last = blocks.reduce(
      (x, block, l) => where(keep.slice({ start: l, end: l + 1 }).greater(0), block.apply(x), x),
      embedded,
    );
    return { loss: metric(model.readout(last), targets) };
  });

const meanCrossEntropy: Metric = (logits, targets) => crossEntropy(logits, targets);

export interface DropEffect {
  readonly loss: number;
  readonly lossWithout: readonly number[];
  /** lossWithout - loss, per block. */
  readonly delta: readonly number[];
}

/**
 * Mean over batches, each weighted by its number of targets. Throws where blocks share parameters (dropping one use
 * drops none), or the metric is not finite.
 */
export async function dropEffect(
  model: ResidualStack,
  batches: readonly Batch[],
  { metric = meanCrossEntropy }: { readonly metric?: Metric } = {},
): Promise<DropEffect> {
  const { layers } = model.model;
  if (batches.length === 0) fail("argument", "dropEffect: expected at least one batch");
  for (const batch of batches) checkBatch("dropEffect", batch);
  const variables = layers.flatMap((layer) => [...layer.namedVariables().values()]);
  if (new Set(variables).size < variables.length)
    fail("argument", "dropEffect: some blocks share their weights, so dropping one is not defined");
  const loss = (without: number) => meanMetric(model, batches, without, metric);
  const full = await loss(-1);
  const lossWithout: number[] = [];
  for (const l of layers.keys()) lossWithout.push(await loss(l));
  return { loss: full, lossWithout, delta: lossWithout.map((v) => v - full) };
}

async function meanMetric(
  model: ResidualStack,
  batches: readonly Batch[],
  without: number,
  metric: Metric,
): Promise<number> {
  const keep = NDArray.from(model.model.layers.map((_, l) => Number(l !== without)));
  let [sum, count] = [0, 0];
  for (const { tokens, targets } of batches) {
    const weight = targets.toNumbers().filter((target) => target !== noTarget).length;
    sum += weight * (await gatedPrograms(model)(metric)({ tokens, targets, keep })).loss.item();
    count += weight;
  }
  if (!Number.isFinite(sum))
    fail(
      "numeric",
      `dropEffect: the metric ${without < 0 ? "of the whole model" : `without model.layers.${without}`} is not finite`,
    );
  return sum / count;
}
