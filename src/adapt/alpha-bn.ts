/**
 * Batch norms for data that changed after training, without labels and without the training data.
 *
 * α-BN mixes the statistics of training (s) with those of the batch at hand (t):
 *
 *   μ = a μ_s + (1 − a) μ_t;   σ² = a σ²_s + (1 − a) σ²_t;   y = γ (x − μ) / √(σ² + ε) + β
 *
 * a, the `sourceWeight`, is 1 for ordinary inference and 0 for test-time normalisation. Running statistics never change.
 *
 * Core goes on from there: after each batch one step of an unsupervised loss on the gains and biases alone, which looks at
 * how often classes are predicted together (Tent's loss, the entropy, is the baseline):
 *
 *   P = softmax(Z / T);   R = Pᵀ P;   R̃ = R / rowsum(R);   L = 1 − trace(R̃) / C
 *
 * Source: "Test-time Batch Statistics Calibration for Covariate Shift", 2021. No code of the authors is public: α-BN is
 * unambiguous but for the direction of α, and the Core loss is a reconstruction after Minimum Class Confusion, so the loss
 * is a value. Tent: "Tent: Fully Test-Time Adaptation by Entropy Minimization", 2020.
 */
import {
  type AnyModule,
  BatchNorm,
  channelMoments,
  clone,
  freeze,
  type Module,
  Norm,
  rewrite,
  warn,
} from "../nn/index.js";
import { adam, type Optimizer } from "../optim/index.js";
import { type CompileOptions, compile } from "../runtime/index.js";
import {
  fail,
  grad,
  inference,
  NDArray,
  stopGradient,
  structureChanged,
  type Tensor,
  Variable,
} from "../tensor/index.js";

/** a: a number, one per layer, a function of the batch's size, or N₀ / (N₀ + batch). */
export type SourceWeight = number | readonly number[] | ((batch: number) => number) | { readonly prior: number };

export interface AlphaBNOptions {
  /** Default 0.9, meant for batches of one; 0.5 to 0.7 for 8, 0.1 to 0.3 for 64 and more. */
  readonly sourceWeight?: SourceWeight;
  /** The batch's variance over n ("biased", default) or n − 1 values. */
  readonly targetVariance?: "biased" | "unbiased";
  /** Whether gradients pass through the batch's statistics ("through", default) or take them for constants. */
  readonly statisticsGradient?: "through" | "stop";
}

export class AlphaBatchNorm extends Norm {
  readonly weight: Variable | undefined; // [C]
  readonly bias: Variable | undefined; // [C]
  readonly running_mean: Variable; // [C]
  readonly running_var: Variable; // [C]
  /** a as a variable, where it is one number: `layer.source_weight.set(0.5)` needs no new trace or export. */
  readonly source_weight: Variable | undefined;
  override readonly width: number;
  override readonly axis: BatchNorm["axis"];
  readonly eps: number;

  constructor(
    source: BatchNorm,
    private readonly weightOf: number | ((batch: number) => number),
    private readonly options: Omit<AlphaBNOptions, "sourceWeight"> = {},
  ) {
    super();
    ({ weight: this.weight, bias: this.bias, running_mean: this.running_mean, running_var: this.running_var } = source);
    ({ width: this.width, axis: this.axis, eps: this.eps } = source);
    this.source_weight =
      typeof weightOf === "number"
        ? new Variable(NDArray.from(checkedWeight(weightOf), "float32"), { trainable: false })
        : undefined;
  }

  override forward(x: Tensor): Tensor {
    const { targetVariance = "biased", statisticsGradient = "through" } = this.options;
    const { mean, variance, count } = channelMoments(x, this.axis);
    const n = count as number;
    if (targetVariance === "unbiased" && n < 2)
      fail("shape", 'α-BN: one value per channel has no unbiased variance; use targetVariance: "biased"');
    const target = targetVariance === "unbiased" ? variance.mul(n / (n - 1)) : variance;
    const [μ, v] = statisticsGradient === "stop" ? [stopGradient(mean), stopGradient(target)] : [mean, target];
    const a = this.source_weight ?? checkedWeight((this.weightOf as (batch: number) => number)(x.dim(0)));
    const mixed = (s: Tensor, t: Tensor): Tensor => t.add(s.sub(t).mul(a));
    const along = (vector: Tensor) =>
      this.axis === -1 ? vector : vector.reshape([1, this.width, ...Array.from({ length: x.rank - 2 }, () => 1)]);
    const inverse = mixed(this.running_var, v).add(this.eps).rsqrt();
    const y = x.sub(along(mixed(this.running_mean, μ))).mul(along(this.weight ? inverse.mul(this.weight) : inverse));
    return this.bias ? y.add(along(this.bias)) : y;
  }
}

function checkedWeight(a: number): number {
  return a >= 0 && a <= 1 ? a : fail("argument", `α-BN: expected a source weight from 0 to 1, got ${a}`);
}

/** A copy of a trained model whose batch norms mix statistics. Throws for a model without batch norms. */
export async function alphaBN<M extends AnyModule>(model: M, options: AlphaBNOptions = {}): Promise<M> {
  const { sourceWeight = 0.9, ...rest } = options;
  const copy = await clone(model);
  let layer = 0;
  const changed = rewrite(copy, (module) => {
    const norm: unknown = module;
    return norm instanceof BatchNorm ? new AlphaBatchNorm(norm, weightFor(sourceWeight, layer++), rest) : undefined;
  });
  if (layer === 0) fail("argument", "alphaBN: the model has no batch norm; were they folded already?");
  if (Array.isArray(sourceWeight) && sourceWeight.length !== layer)
    fail("argument", `alphaBN: ${sourceWeight.length} source weights for ${layer} batch norms`);
  return changed;
}

function weightFor(sourceWeight: SourceWeight, layer: number): number | ((batch: number) => number) {
  if (typeof sourceWeight === "number" || typeof sourceWeight === "function") return sourceWeight;
  if ("prior" in sourceWeight) return (batch) => sourceWeight.prior / (sourceWeight.prior + batch);
  return sourceWeight[layer] ?? 0;
}

export interface CoreOptions {
  /** T (default 1). */
  readonly temperature?: number;
  /** Normalise R by its rows (default true); else L = (Σ R − trace R) / N, which no longer couples samples. */
  readonly rowNormalise?: boolean;
  /** Weigh samples by 1 + exp(−H), scaled to mean 1: Minimum Class Confusion (default false). */
  readonly certainty?: boolean;
}

/** R [C, C], the correlation of classes over a batch of logits [N, C]. */
export function classCorrelation(logits: Tensor, { temperature = 1, certainty = false }: CoreOptions = {}): Tensor {
  if (logits.rank !== 2 || logits.dim(1) < 2)
    fail(
      "shape",
      `coreLoss: expected logits [samples, classes] of at least 2 classes, got [${logits.shape.join(", ")}]`,
    );
  if (!(temperature > 0)) fail("argument", `coreLoss: expected a positive temperature, got ${temperature}`);
  const P = logits.div(temperature).softmax(-1);
  if (!certainty) return P.transpose().matmul(P);
  const entropy = P.mul(P.add(1e-5).log()).sum(-1, { keepDims: true }).mul(-1);
  const w = entropy.mul(-1).exp().add(1);
  return P.mul(stopGradient(w.div(w.mean())))
    .transpose()
    .matmul(P);
}

/** L of the file's head: 0 for one-hot predictions, (C − 1)/C for uniform ones. */
export function coreLoss(logits: Tensor, options: CoreOptions = {}): Tensor {
  const R = classCorrelation(logits, options);
  const C = R.dim(0);
  const normalised = (options.rowNormalise ?? true) ? R.div(R.sum(1, { keepDims: true })) : R;
  const off = normalised.sum().sub(diagonalSum(normalised));
  return off.div((options.rowNormalise ?? true) ? C : logits.dim(0));
}

const diagonalSum = (square: Tensor): Tensor => {
  const n = square.dim(0);
  return square
    .reshape([n * n])
    .slice({ start: 0, end: n * n, step: n + 1 })
    .sum();
};

/** Mean softmax entropy: Tent's loss. */
export function entropyLoss(logits: Tensor): Tensor {
  const logp = logits.logSoftmax(-1);
  return logp.exp().mul(logp).sum(-1).mean().mul(-1);
}

export interface TestTimeOptions extends AlphaBNOptions, CompileOptions {
  /** "core" (default), "tent", or a function of the logits. */
  readonly loss?: "core" | "tent" | ((logits: Tensor) => Tensor);
  /** Of the gains and biases (default Adam at 1e-3). */
  readonly optimizer?: (parameters: readonly Variable[]) => Optimizer;
  /** Updates for every batch (default 1). */
  readonly steps?: number;
  /** Whether a batch is answered by the model before its own updates (default) or after. */
  readonly predict?: "before" | "after";
  /** Start from the trained model again for every batch (default false: go on). */
  readonly episodic?: boolean;
}

export interface TestTimeModel<M> {
  /** The adapted copy. */
  readonly model: M;
  /** Logits of a batch; the gains and biases move on. `loss` is not finite where an update was left out. */
  predict(x: NDArray): Promise<{ readonly logits: NDArray; readonly loss: number }>;
  /** As it was trained: gains, biases and the optimiser's state. */
  reset(): Promise<void>;
  release(): Promise<void>;
}

/**
 * Adapt a classifier while it is used. The original is not touched. Throws as `alphaBN`, and for batch norms without gains.
 */
export async function testTimeAdapt<M extends Module<[Tensor]>>(
  model: M,
  {
    loss = "core",
    optimizer = (parameters) => adam(parameters, { learningRate: 1e-3 }),
    steps = 1,
    predict = "before",
    episodic = false,
    ...options
  }: TestTimeOptions = {},
): Promise<TestTimeModel<M>> {
  const lossOf = loss === "core" ? coreLoss : loss === "tent" ? entropyLoss : loss;
  const { sourceWeight = loss === "tent" ? 0 : 0.9, targetVariance, statisticsGradient, ...engine } = options;
  const copy = await alphaBN(model, {
    sourceWeight,
    ...(targetVariance && { targetVariance }),
    ...(statisticsGradient && { statisticsGradient }),
  });
  freeze(copy);
  const parameters = [...copy.namedModules().values()].flatMap((module) => {
    const norm: unknown = module;
    return norm instanceof AlphaBatchNorm ? [norm.weight, norm.bias].filter((v) => v !== undefined) : [];
  });
  if (parameters.length === 0) fail("argument", "testTimeAdapt: the batch norms have no gains and biases to adapt");
  copy.namedVariables();
  for (const parameter of parameters) parameter.trainable = true;
  structureChanged();
  const own = optimizer(parameters);
  const start = new Map<Variable, NDArray>();
  for (const variable of [...parameters, ...own.state().values()]) start.set(variable, await variable.data());
  const step = compile<{ x: Tensor }, { logits: Tensor; loss: Tensor }>(
    ({ x }) => {
      const logits = inference(() => copy.apply(x)) as Tensor;
      if (logits.dim(0) === 1) warn("testTimeAdapt: a batch of one says little about classes");
      const value = lossOf(logits);
      own.update(grad(value, own.parameters));
      return { logits, loss: value };
    },
    { ...engine, commit: ({ loss: value }) => Number.isFinite((value as NDArray).at(0)) },
  );
  const answer = compile<{ x: Tensor }, { logits: Tensor }>(
    ({ x }) => ({ logits: inference(() => copy.apply(x)) as Tensor }),
    engine,
  );
  const reset = async () => {
    for (const [variable, value] of start) variable.set(value);
  };
  return {
    model: copy,
    async predict(x) {
      if (episodic) await reset();
      let first: { logits: NDArray; loss: NDArray } | undefined;
      for (let i = 0; i < steps; i++) {
        const result = await step({ x });
        first ??= result;
      }
      const { logits } = predict === "after" || !first ? await answer({ x }) : first;
      return { logits, loss: first?.loss.at(0) ?? Number.NaN };
    },
    reset,
    async release() {
      await step.release();
      await answer.release();
    },
  };
}
