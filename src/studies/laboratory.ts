/**
 * Where the placement studies get their trained models from. A run is asked for by (placement, recipe, seed) and made
 * once, so five papers that compare with Pre-LN share one Pre-LN.
 */
import type { TextData } from "../data/text.js";
import { type Batch, diagnosticsCsv, type LayerDiagnostics, layerDiagnostics } from "../inspect/index.js";
import { type GPT, gpt } from "../models/index.js";
import { initialize, swiglu } from "../nn/index.js";
import { adam, globalNorm } from "../optim/index.js";
import { compile, type Program } from "../runtime/index.js";
import { crossEntropy, grad, NDArray, type Tensor, training, Variable } from "../tensor/index.js";
import { schedule } from "../train/schedule.js";
import type { StudyEvent } from "./study.js";
import type { Fact } from "./study-report.js";

export const placementKeys = ["pre", "post", "peri", "output", "mix", "lns"] as const;
export type PlacementKey = (typeof placementKeys)[number];
export const placementTitles: Record<PlacementKey, string> = {
  pre: "Pre-LN",
  post: "Post-LN",
  peri: "Peri-LN",
  output: "Output-LN",
  mix: "Mix-LN",
  lns: "LayerNorm Scaling",
};

/** How a model is started and trained; as the papers say, rescaled to small models. */
export interface Recipe {
  readonly name: string;
  readonly learningRate: number;
  readonly std: number;
}
/** Matrices N(0, 0.07): the papers' 0.02 at width 768 and more, rescaled to width 64 (Mix-LN, LayerNorm Scaling). */
export const standard: Recipe = { name: "standard", learningRate: 3e-3, std: 0.07 };
/** A learning rate three times too high, matrices N(0, 0.02) (Peri-LN). */
export const high: Recipe = { name: "high learning rate", learningRate: 1e-2, std: 0.02 };

export interface Scale {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly hidden: number;
  readonly context: number;
  readonly batch: number;
  readonly steps: number;
  readonly seeds: readonly number[];
  /** Seeds of statistics at initialisation, which cost no training. */
  readonly initialSeeds: readonly number[];
}

export interface TrainedRun {
  readonly placement: PlacementKey;
  readonly recipe: Recipe;
  readonly seed: number;
  /** Training loss of every step, nats per token; null where it was not finite. */
  readonly losses: readonly (number | null)[];
  /** Gradient norm over all parameters, every step. */
  readonly gradientNorms: readonly number[];
  /** Every per-layer diagnostic of one fixed batch while it trained, the first before any step. */
  readonly history: readonly { readonly step: number; readonly layers: LayerDiagnostics }[];
  readonly validationLoss: number;
  readonly bitsPerByte: number;
  /** After the last step. */
  readonly layers: LayerDiagnostics;
  readonly seconds: number;
}

export interface LaboratoryOptions {
  readonly data: TextData;
  /** What the text is, for people. */
  readonly label: string;
  readonly scale: Scale;
  readonly progress?: (event: StudyEvent) => void;
  readonly signal?: AbortSignal;
}

type TokenInputs = { readonly tokens: Tensor; readonly targets: Tensor };

interface Bench {
  readonly model: GPT;
  readonly learningRate: Variable;
  readonly step: Program<TokenInputs, { loss: Tensor; norm: Tensor }>;
  readonly evaluate: Program<TokenInputs, { loss: Tensor }>;
  reset(recipe: Recipe, seed: number): void;
}

export class Laboratory {
  readonly #runs = new Map<string, Promise<TrainedRun>>();
  readonly #benches = new Map<PlacementKey, Bench>();
  #queue: Promise<unknown> = Promise.resolve();
  readonly runs: TrainedRun[] = [];
  readonly data: TextData;
  readonly scale: Scale;
  readonly signal: AbortSignal | undefined;
  readonly #label: string;
  readonly #progress: (event: StudyEvent) => void;

  constructor({ data, label, scale, progress = () => {}, signal }: LaboratoryOptions) {
    this.data = data;
    this.scale = scale;
    this.signal = signal;
    this.#label = label;
    this.#progress = progress;
  }

  /** What is run here, for a report. */
  setup(): Fact[] {
    const { layers, width, heads, hidden, context, batch, steps, seeds, initialSeeds } = this.scale;
    const { train, validation } = this.data.lengths;
    return [
      {
        label: "Text",
        value: `${this.#label}: ${(train / 1e6).toFixed(1)} MB to train on, ${(validation / 1e6).toFixed(2)} MB held out; bytes as tokens`,
      },
      {
        label: "Model",
        value: `decoder of ${layers} blocks, width ${width}, ${heads} heads, SwiGLU ${hidden}, RMSNorm, rotary positions`,
      },
      {
        label: "Training",
        value: `${steps} steps of ${batch} × ${context} tokens; Adam (0.9, 0.95), cosine to a tenth after a warm-up, no clipping`,
      },
      {
        label: "Learning rates",
        value: "0.003 with matrices N(0, 0.07); 0.01 with N(0, 0.02) where a claim asks for a rate that is too high",
      },
      { label: "Seeds", value: `${seeds.length} trained, ${initialSeeds.length} at initialisation` },
    ];
  }

  /** The trained run, made if it is not there yet; one at a time. */
  train(placement: PlacementKey, recipe: Recipe, seed: number): Promise<TrainedRun> {
    const key = `${placement}/${recipe.name}/${seed}`;
    const known = this.#runs.get(key) ?? this.#after(() => this.#train(placement, recipe, seed));
    this.#runs.set(key, known);
    return known;
  }

  /** One run per seed of the scale. */
  async trainAll(placement: PlacementKey, recipe: Recipe): Promise<TrainedRun[]> {
    const runs: TrainedRun[] = [];
    for (const seed of this.scale.seeds) runs.push(await this.train(placement, recipe, seed));
    return runs;
  }

  /** Batches of held-out text, the same for every run. */
  async validation(count: number): Promise<Batch[]> {
    const batches: Batch[] = [];
    for await (const batch of this.data.batches({ size: this.scale.batch, steps: count, seed: 0, split: "validation" }))
      batches.push(batch);
    return batches;
  }

  async release(): Promise<void> {
    for (const { step, evaluate } of this.#benches.values()) await Promise.all([step.release(), evaluate.release()]);
  }

  #after<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#queue.then(() => {
      this.signal?.throwIfAborted();
      return work();
    });
    this.#queue = next.catch(() => {});
    return next;
  }

  #bench(placement: PlacementKey): Bench {
    const known = this.#benches.get(placement) ?? makeBench(placement, this.scale, this.data.vocabulary);
    this.#benches.set(placement, known);
    return known;
  }

  async #train(placement: PlacementKey, recipe: Recipe, seed: number): Promise<TrainedRun> {
    const { steps, batch: size, context } = this.scale;
    const started = performance.now();
    const title = `${placementTitles[placement]}, ${recipe.name}, seed ${seed}`;
    const { model, learningRate, step, evaluate, reset } = this.#bench(placement);
    reset(recipe, seed);
    const validation = await this.validation(8);
    const factor = schedule.cosine({ steps, warmup: Math.min(30, Math.ceil(steps / 10)), minimum: 0.1 });
    const probes = new Set(Array.from({ length: 13 }, (_, i) => Math.round((i * steps) / 12)));
    const history: { step: number; layers: LayerDiagnostics }[] = [];
    const probe = async (at: number) =>
      history.push({ step: at, layers: await layerDiagnostics(model, validation.slice(0, 1)) });
    const losses: (number | null)[] = [];
    const gradientNorms: number[] = [];
    await probe(0);
    const trainingStarted = performance.now();
    for await (const { tokens, targets } of this.data.batches({ size, steps, seed })) {
      this.signal?.throwIfAborted();
      // The first step of the schedule has factor 0; ours starts at the second, so that every step learns.
      learningRate.set(recipe.learningRate * factor(losses.length + 1));
      const { loss, norm } = await step({ tokens, targets });
      losses.push(Number.isFinite(loss.item()) ? loss.item() : null);
      gradientNorms.push(norm.item());
      const done = losses.length;
      if (probes.has(done)) await probe(done);
      const tokensPerSecond = (done * size * context * 1000) / (performance.now() - trainingStarted);
      const rate = `${Math.round(tokensPerSecond).toLocaleString("en")} tok/s`;
      this.#progress({ kind: "step", title, step: done, steps, loss: loss.item(), rate });
    }
    let sum = 0;
    for (const { tokens, targets } of validation) sum += (await evaluate({ tokens, targets })).loss.item();
    const validationLoss = sum / validation.length;
    const bitsPerByte = validationLoss / Math.LN2 / this.data.bytesPerToken;
    const layers = await layerDiagnostics(model, validation.slice(0, 4));
    const seconds = (performance.now() - started) / 1000;
    const result = {
      placement,
      recipe,
      seed,
      losses,
      gradientNorms,
      history,
      validationLoss,
      bitsPerByte,
      layers,
      seconds,
    };
    this.runs.push(result);
    const variance = layers.variance.at(-1) as number;
    const facts = [
      `val ${validationLoss.toFixed(3)}`,
      `${bitsPerByte.toFixed(2)} bits/byte`,
      `variance ${variance.toPrecision(3)}`,
    ];
    this.#progress({ kind: "run", title, seconds, facts });
    return result;
  }
}

/** One row per run, step and block: what the heat maps over training show, as numbers. */
export function historyCsv(runs: readonly TrainedRun[]): string {
  const tables = runs.flatMap(({ placement, recipe, seed, history }) =>
    history.map(({ step, layers }) => {
      const [header, ...rows] = diagnosticsCsv(layers).split("\n");
      return { header, rows: rows.map((row) => [placement, recipe.name, seed, step, row].join(",")) };
    }),
  );
  return [`placement,recipe,seed,step,${tables[0]?.header}`, ...tables.flatMap(({ rows }) => rows)].join("\n");
}

/** One row per run, step, gap and block: how far the stream turns from `block`'s input over `gap` blocks. */
export const angularCsv = (runs: readonly TrainedRun[]): string =>
  [
    "placement,recipe,seed,step,gap,block,angular_distance",
    ...runs.flatMap(({ placement, recipe, seed, history }) =>
      history.flatMap(({ step, layers }) =>
        layers.angular.flatMap((row, n) =>
          row.flatMap((distance, l) =>
            distance === null ? [] : [[placement, recipe.name, seed, step, n + 1, l, distance].join(",")],
          ),
        ),
      ),
    ),
  ].join("\n");

/** A Llama-style decoder: RMSNorm, rotary positions, SwiGLU. */
export const buildModel = (
  placement: PlacementKey,
  scale: Omit<Scale, "steps" | "seeds" | "initialSeeds">,
  vocabulary: number,
): GPT =>
  gpt({
    layers: scale.layers,
    width: scale.width,
    heads: scale.heads,
    context: scale.context,
    vocabulary,
    placement,
    norm: "rms",
    positions: "rotary",
    mlp: swiglu({ hidden: scale.hidden }),
  });

/** One model and its programs, used again for every seed: compiling costs as much as fifty steps. */
function makeBench(placement: PlacementKey, scale: Scale, vocabulary: number): Bench {
  const model = buildModel(placement, scale, vocabulary);
  const parameters = model.parameters();
  const learningRate = new Variable(NDArray.zeros([]), { name: "learning rate", trainable: false });
  const optimizer = adam(parameters, { learningRate, betas: [0.9, 0.95] });
  const step = compile(({ tokens, targets }: TokenInputs) => {
    const loss = training(() => crossEntropy(model.apply(tokens), targets));
    const gradients = grad(loss, parameters);
    optimizer.update(gradients);
    return { loss, norm: globalNorm(gradients) };
  });
  const evaluate = compile(({ tokens, targets }: TokenInputs) => ({
    loss: crossEntropy(model.apply(tokens), targets),
  }));
  const gains = parameters
    .filter(({ rank }) => rank === 1)
    .map((gain) => [gain, NDArray.from(new Float32Array(gain.size).fill(1))] as const);
  return {
    model,
    learningRate,
    step,
    evaluate,
    reset({ std }, seed) {
      for (const [gain, ones] of gains) gain.set(ones);
      for (const moment of optimizer.state().values()) moment.set(NDArray.zeros(moment.shape));
      initialize(model, { std, embeddingStd: 0.02, seed });
    },
  };
}
