/**
 * Per-layer numbers of one batch, with one backward pass: how large the residual stream is after each block, and how
 * strong the gradient is at each block. Cheap enough to ask every few steps of a training run.
 *
 *   variance V(l) = mean over tokens of the population variance over features of h_l,   l = 0..L
 *   maximum      = max |h_l|: a "massive activation" is one far above the rest
 *   gradientNorm = ‖∂loss/∂θ_l‖₂ over all parameters of block l
 *   inputGradientNorm = ‖∂loss/∂h_l‖₂, the gradient that reaches the block's input
 *
 * Sources: "Peri-LN", 2025; "Mix-LN", 2024; "The Curse of Depth in Large Language Models", 2025.
 */
import { compile } from "../runtime/index.js";
import { crossEntropy, grad, stack, type Tensor } from "../tensor/index.js";
import { type Batch, checkBatch, type ResidualStack, remember } from "./stack.js";

export interface LayerStatistics {
  readonly loss: number;
  /** L + 1 values each: the embedding's, then each block's. */
  readonly variance: readonly number[];
  readonly maximum: readonly number[];
  /** L values each. */
  readonly gradientNorm: readonly number[];
  readonly inputGradientNorm: readonly number[];
}

const norm = (gradients: readonly Tensor[]): Tensor =>
  stack(gradients.map((g) => g.square().sum()))
    .sum()
    .sqrt();

const statisticsProgram = remember((model: ResidualStack) =>
  compile(({ tokens, targets }: { tokens: Tensor; targets: Tensor }) => {
    const states = model.hiddenStates(tokens);
    const loss = crossEntropy(model.readout(states.at(-1) as Tensor), targets);
    const parameters = model.model.layers.map((layer) => [...layer.namedVariables().values()]);
    const inputs = states.slice(0, -1);
    const gradients = grad(loss, [...inputs, ...parameters.flat()]);
    const ofBlocks = gradients.slice(inputs.length);
    return {
      loss,
      variance: stack(states.map((h) => h.variance(-1).mean())),
      maximum: stack(states.map((h) => h.abs().max())),
      inputGradientNorm: stack(inputs.map((_, l) => norm([gradients[l] as Tensor]))),
      gradientNorm: stack(parameters.map((block) => norm(ofBlocks.splice(0, block.length)))),
    };
  }),
);

/** Throws for an empty batch. */
export async function layerStatistics(model: ResidualStack, batch: Batch): Promise<LayerStatistics> {
  checkBatch("layerStatistics", batch);
  const { loss, variance, maximum, gradientNorm, inputGradientNorm } = await statisticsProgram(model)({
    tokens: batch.tokens,
    targets: batch.targets,
  });
  return {
    loss: loss.item(),
    variance: variance.toNumbers(),
    maximum: maximum.toNumbers(),
    gradientNorm: gradientNorm.toNumbers(),
    inputGradientNorm: inputGradientNorm.toNumbers(),
  };
}

/** Variance and largest |value| of the stream after each block. */
export async function residualStats(
  model: ResidualStack,
  batch: Batch,
): Promise<Pick<LayerStatistics, "variance" | "maximum">> {
  const { variance, maximum } = await layerStatistics(model, batch);
  return { variance, maximum };
}

/** Gradient norm of each block's parameters, averaged over batches. */
export async function gradNormByLayer(model: ResidualStack, batches: readonly Batch[]): Promise<number[]> {
  const all = await Promise.all(batches.map((batch) => layerStatistics(model, batch)));
  const [first] = all;
  return (first?.gradientNorm ?? []).map(
    (_, l) => all.reduce((sum, s) => sum + (s.gradientNorm[l] as number), 0) / all.length,
  );
}
