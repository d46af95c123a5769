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
import { crossEntropy, fail, grad, type NDArray, stack, type Tensor, type Variable } from "../tensor/index.js";
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

/** Squared length of each tensor: the host adds them up, in float64. */
const squares = (gradients: readonly Tensor[]): Tensor => stack(gradients.map((g) => g.square().sum()));

const statisticsProgram = remember((model: ResidualStack) =>
  compile(({ tokens, targets }: { tokens: Tensor; targets: Tensor }) => {
    const states = model.hiddenStates(tokens);
    const loss = crossEntropy(model.readout(states.at(-1) as Tensor), targets);
    const inputs = states.slice(0, -1);
    const gradients = grad(loss, [...inputs, ...parametersOf(model).flat()]);
    return {
      loss,
      variance: stack(states.map((h) => h.variance(-1))), // [L + 1, batch, tokens]
      maximum: stack(states.map((h) => h.abs().max())),
      inputSquares: squares(gradients.slice(0, inputs.length)),
      parameterSquares: squares(gradients.slice(inputs.length)),
    };
  }),
);

const parametersOf = (model: ResidualStack): Variable[][] =>
  model.model.layers.map((layer) => [...layer.namedVariables().values()]);

/** Throws for an empty batch. */
export async function layerStatistics(model: ResidualStack, { tokens, targets }: Batch): Promise<LayerStatistics> {
  checkBatch("layerStatistics", { tokens, targets });
  const results = await statisticsProgram(model)({ tokens, targets });
  const squared = results.parameterSquares.toNumbers();
  return {
    loss: results.loss.item(),
    variance: rows(results.variance).map((ofTokens) => sum(ofTokens) / ofTokens.length),
    maximum: results.maximum.toNumbers(),
    gradientNorm: parametersOf(model).map((block) => Math.sqrt(sum(squared.splice(0, block.length)))),
    inputGradientNorm: results.inputSquares.toNumbers().map(Math.sqrt),
  };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** An array cut along its first axis. */
function rows(array: NDArray): number[][] {
  const values = array.toNumbers();
  const count = array.shape[0] as number;
  return Array.from({ length: count }, (_, i) =>
    values.slice((i * array.size) / count, ((i + 1) * array.size) / count),
  );
}

/** Variance and largest |value| of the stream after each block. */
export async function residualStats(
  model: ResidualStack,
  batch: Batch,
): Promise<Pick<LayerStatistics, "variance" | "maximum">> {
  const { variance, maximum } = await layerStatistics(model, batch);
  return { variance, maximum };
}

/** Gradient norm of each block's parameters, averaged over batches. Throws where there is none. */
export async function gradNormByLayer(model: ResidualStack, batches: readonly Batch[]): Promise<number[]> {
  if (batches.length === 0) fail("argument", "gradNormByLayer: expected at least one batch");
  const all = await Promise.all(batches.map((batch) => layerStatistics(model, batch)));
  return model.model.layers.map((_, l) => sum(all.map(({ gradientNorm }) => gradientNorm[l] as number)) / all.length);
}
