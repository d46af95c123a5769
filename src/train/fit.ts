/**
 * Training as an async iterator of events: the terminal, the database, a page and a test are equal listeners.
 *
 *   for await (const event of fit({ model, loss, data, optimizer, learningRate: 1e-3, steps: 1000 })) …
 */
import { type AnyModule, planTraining } from "../nn/index.js";
import { clipByGlobalNorm, globalNorm, type Optimizer } from "../optim/index.js";
import { type CompileOptions, compile, getBackend, type Program } from "../runtime/index.js";
import { autocast, fail, grad, NDArray, type Tensor, training, Variable } from "../tensor/index.js";
import type { TrainEvent } from "./events.js";
import { LossScale } from "./loss-scale.js";
import { firstNonFinite } from "./non-finite.js";
import { holdCheckpoints, restore, type Saved, save } from "./resume.js";
import { type Schedule, schedule } from "./schedule.js";

export type Batch = Readonly<Record<string, NDArray>>;

export interface FitOptions {
  readonly model: AnyModule;
  /** The scalar loss of a batch, e.g. `({ tokens, targets }) => crossEntropy(model.apply(tokens), targets)`. */
  readonly loss: (inputs: Readonly<Record<string, Tensor>>) => Tensor;
  /** Batches from number `start` on: the same number always gives the same batch, which is what makes a resume exact. */
  readonly data: (start: number) => AsyncIterable<Batch>;
  readonly optimizer: (parameters: readonly Variable[], learningRate: Variable) => Optimizer;
  /** Peak rate; the schedule's factor multiplies it. */
  readonly learningRate: number;
  /** Default: constant. */
  readonly schedule?: Schedule;
  /** Updates. */
  readonly steps: number;
  /** Batches per update, their gradients averaged (default 1). */
  readonly accumulation?: number;
  /** Largest global gradient norm. */
  readonly clip?: number;
  readonly validation?: () => AsyncIterable<Batch>;
  /** Every so many steps, and at the end (default: only at the end). */
  readonly evaluateEvery?: number;
  /** Bytes a token stands for, to report bits per byte. */
  readonly bytesPerToken?: number;
  /** Where checkpoints go; without it there are none. */
  readonly checkpoints?: string;
  readonly checkpointEvery?: number;
  readonly keep?: number;
  /** Which of the model's variables, by path, checkpoints hold (default all): not those that stay as they were loaded. */
  readonly keepVariable?: (path: string) => boolean;
  /** Go on from the newest whole checkpoint, if there is one. */
  readonly resume?: boolean;
  /** Recorded in checkpoints: what else a run needs to know about itself. */
  readonly notes?: Readonly<Record<string, unknown>>;
  /** A loss that is not finite: end with an error naming where it arose, or pass over the batch (default "stop"). */
  readonly onNonFinite?: "stop" | "skip";
  /** Asks for an end after the running step; everything is saved. */
  readonly signal?: AbortSignal;
  readonly seed?: number;
  /**
   * float16: matrix products and convolutions in half precision (see `autocast`), with a scale for the loss that adapts; weights,
   * moments and all else stay float32 (default float32).
   */
  readonly precision?: "float32" | "float16";
  /** Samples or tokens of one update, for the rate (default: elements of the first input). */
  readonly tokensPerStep?: number;
  /** Share of the machine's rate: floating-point operations of one update, and per second of a matrix product. */
  readonly flops?: { readonly perStep: number; readonly peak: number };
  readonly backend?: CompileOptions["backend"];
  readonly threads?: number;
}

type StepResults = { loss: Tensor; norm: Tensor };
type Inputs = Readonly<Record<string, Tensor>>;

/** Everything that a step needs and a checkpoint keeps. */
export interface Trainer {
  readonly options: FitOptions;
  readonly parameters: readonly Variable[];
  readonly optimizer: Optimizer;
  readonly learningRate: Variable;
  /** Where products are in float16. */
  readonly lossScale: LossScale | undefined;
  readonly update: Program<Inputs, StepResults>;
  /** Adds a batch's gradient to the accumulators. */
  readonly gather: Program<Inputs, { loss: Tensor }> | undefined;
  /** Sums over the micro-batches of a step: gradients and loss; zero between steps. */
  readonly sums: readonly Variable[];
  readonly evaluate: Program<Inputs, { loss: Tensor }>;
}

/**
 * Throws for options that contradict each other, a folder of checkpoints that cannot be written or that another training
 * holds, a checkpoint that does not fit, and (with "stop") a loss that is not finite, naming the module where it arose.
 * Whatever it throws, the checkpoints written so far are whole, and `resume` goes on from the newest.
 */
export async function* fit(options: FitOptions): AsyncGenerator<TrainEvent> {
  const { steps, accumulation = 1, checkpoints } = options;
  for (const [name, n] of Object.entries({ steps, accumulation }))
    if (!Number.isInteger(n) || n < 1) fail("argument", `fit: ${name} must be a whole number of at least 1, got ${n}`);
  // Before anything is computed: what could not be kept at the end should not be begun.
  const release = checkpoints === undefined ? undefined : await holdCheckpoints(checkpoints);
  try {
    yield* train(options);
  } finally {
    await release?.();
  }
}

async function* train(options: FitOptions): AsyncGenerator<TrainEvent> {
  const { steps, accumulation = 1, evaluateEvery = 0, checkpointEvery = 0, checkpoints, signal, validation } = options;
  const trainer = makeTrainer(options);
  const started = performance.now();
  try {
    let { step, batch } = { step: 0, batch: 0 };
    if (options.resume && checkpoints) {
      const messages: string[] = [];
      const found: Saved | undefined = await restore(trainer, checkpoints, await environment(options), (m) =>
        messages.push(m),
      );
      if (found) [step, batch] = [found.step, found.batch];
      for (const message of messages) yield { kind: "warning", step, message };
    }
    const first = step;
    const iterator = options.data(batch)[Symbol.asyncIterator]();
    let saved = step;
    const checkpoint = async (): Promise<TrainEvent> => {
      saved = step;
      return {
        kind: "checkpoint",
        step,
        path: await save(trainer, checkpoints as string, { step, batch }, await environment(options)),
      };
    };
    const evaluation = async (): Promise<TrainEvent> => evaluateNow(trainer, step);
    try {
      while (step < steps && !signal?.aborted) {
        const begun = performance.now();
        const batches = await take(iterator, accumulation, batch);
        const { loss, norm, rate } = await runStep(trainer, batches, step);
        batch += accumulation;
        if (!Number.isFinite(loss + norm)) {
          // The step was not committed, so what was gathered for it is still there.
          for (const sum of trainer.sums) sum.set(NDArray.zeros(sum.shape, sum.dtype));
          const message = await passedOver(trainer, batches, { step, loss, norm });
          yield { kind: "warning", step, message: `${message}; the batch is passed over` };
        } else trainer.lossScale?.succeeded();
        step++;
        const seconds = (performance.now() - begun) / 1000;
        yield {
          kind: "step",
          step,
          steps,
          loss,
          learningRate: rate,
          gradientNorm: norm,
          seconds,
          ...speed(options, batches, seconds),
          remaining: ((performance.now() - started) / 1000 / (step - first)) * (steps - step),
        };
        if (validation && evaluateEvery > 0 && step % evaluateEvery === 0 && step < steps) yield await evaluation();
        if (checkpoints && checkpointEvery > 0 && step % checkpointEvery === 0) yield await checkpoint();
      }
    } finally {
      await iterator.return?.();
    }
    const isFinished = step >= steps;
    if (validation && isFinished) yield await evaluation();
    if (checkpoints && (saved !== step || step === first)) yield await checkpoint();
    yield {
      kind: "done",
      step,
      reason: isFinished ? "finished" : "interrupted",
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await Promise.all([trainer.update.release(), trainer.evaluate.release(), trainer.gather?.release()]);
  }
}

function makeTrainer(options: FitOptions): Trainer {
  const { model, steps, accumulation = 1, clip, seed = 0, backend, threads, precision } = options;
  const lossOf = lossIn(options);
  const lossScale = precision === "float16" ? new LossScale() : undefined;
  const parameters = model.parameters();
  if (parameters.length === 0) fail("argument", "fit: the model has no trainable parameters; is all of it frozen?");
  const learningRate = new Variable(NDArray.zeros([]), { name: "learning rate", trainable: false });
  const optimizer = options.optimizer(parameters, learningRate);
  const sums =
    accumulation > 1
      ? parameters.map(
          (p) => new Variable(NDArray.zeros(p.shape, p.dtype), { name: `${p.name} gradient`, trainable: false }),
        )
      : [];
  const lossSum = new Variable(NDArray.zeros([]), { name: "loss so far", trainable: false });
  planTraining(model, { steps, accumulation });
  const program: CompileOptions = { seed, ...(backend && { backend }), ...(threads !== undefined && { threads }) };
  const gradientsOf = (inputs: Inputs) => {
    const loss = training(() => lossOf(inputs));
    return { loss, gradients: lossScale ? lossScale.gradients(loss, parameters) : grad(loss, parameters) };
  };
  const update = compile<Inputs, StepResults>(
    (inputs) => {
      let { loss, gradients } = gradientsOf(inputs);
      if (accumulation > 1) {
        loss = lossSum.add(loss).mul(1 / accumulation);
        gradients = gradients.map((g, i) => (sums[i] as Variable).add(g).mul(1 / accumulation));
        for (const sum of [...sums, lossSum]) sum.assign(sum.mul(0));
      }
      const clipped =
        clip === undefined ? { gradients, norm: globalNorm(gradients) } : clipByGlobalNorm(gradients, clip);
      optimizer.update(clipped.gradients);
      return { loss, norm: clipped.norm };
    },
    // A step that is not finite must leave no trace in weights or moments.
    { ...program, commit: ({ loss, norm }) => Number.isFinite((loss as NDArray).item() + (norm as NDArray).item()) },
  );
  const gather =
    accumulation > 1
      ? compile<Inputs, { loss: Tensor }>((inputs) => {
          const { loss, gradients } = gradientsOf(inputs);
          for (const [i, g] of gradients.entries()) (sums[i] as Variable).assign((sums[i] as Variable).add(g));
          lossSum.assign(lossSum.add(loss));
          return { loss };
        }, program)
      : undefined;
  const evaluate = compile<Inputs, { loss: Tensor }>((inputs) => ({ loss: lossOf(inputs) }), program);
  return {
    options,
    parameters,
    optimizer,
    learningRate,
    lossScale,
    update,
    gather,
    sums: [...sums, lossSum],
    evaluate,
  };
}

/** Why an update was left out; throws where it must not be. */
async function passedOver(
  { options, lossScale }: Trainer,
  batches: readonly Batch[],
  { step, loss, norm }: { readonly step: number; readonly loss: number; readonly norm: number },
): Promise<string> {
  if (Number.isFinite(loss) && lossScale?.overflowed())
    return `gradients of step ${step + 1} overflowed in float16: the loss is multiplied by ${lossScale.value} from now on`;
  const place = await placeOf(options, batches);
  const message = `the loss of step ${step + 1} is not finite (loss ${loss}, gradient norm ${norm}): it arose at ${place}`;
  if (options.onNonFinite === "skip") return message;
  return fail(
    "numeric",
    `fit: ${message}; lower the learning rate, clip gradients, or skip such batches with onNonFinite: "skip"`,
  );
}

async function placeOf(options: FitOptions, batches: readonly Batch[]): Promise<string> {
  for (const batch of batches) {
    const place = await firstNonFinite(options.model, lossIn(options), batch, options);
    if (place !== undefined) return place;
  }
  return "the gradient's norm";
}

/** The loss in the precision that is asked for. */
const lossIn = ({ loss, precision }: FitOptions): FitOptions["loss"] =>
  precision === "float16" ? (inputs) => autocast("float16", () => loss(inputs)) : loss;

async function take(iterator: AsyncIterator<Batch>, count: number, position: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  while (batches.length < count) {
    const { value, done } = await iterator.next();
    if (done)
      fail("argument", `fit: the data ended after ${position + batches.length} batches; give more, or fewer steps`);
    batches.push(value as Batch);
  }
  return batches;
}

async function runStep(
  { options, learningRate, update, gather }: Trainer,
  batches: readonly Batch[],
  step: number,
): Promise<{ loss: number; norm: number; rate: number }> {
  const rate = options.learningRate * (options.schedule ?? schedule.constant())(step);
  learningRate.set(rate);
  for (const batch of batches.slice(0, -1)) await gather?.(batch);
  const { loss, norm } = await update(batches.at(-1) as Batch);
  return { loss: loss.item(), norm: norm.item(), rate };
}

/** The mean loss on the validation data, of averaged weights where the optimiser keeps them. */
async function evaluateNow({ options, evaluate, optimizer }: Trainer, step: number): Promise<TrainEvent> {
  const begun = performance.now();
  let [sum, count] = [0, 0];
  await optimizer.swap?.();
  try {
    for await (const batch of options.validation?.() ?? []) {
      sum += (await evaluate(batch)).loss.item();
      count++;
    }
  } finally {
    await optimizer.swap?.();
  }
  if (count === 0) fail("argument", "fit: the validation data is empty");
  const loss = sum / count;
  const bits = options.bytesPerToken && { bitsPerByte: loss / Math.LN2 / options.bytesPerToken };
  return { kind: "evaluation", step, loss, ...bits, seconds: (performance.now() - begun) / 1000 };
}

function speed({ tokensPerStep, flops }: FitOptions, batches: readonly Batch[], seconds: number) {
  const tokens = tokensPerStep ?? batches.reduce((sum, batch) => sum + (Object.values(batch)[0]?.size ?? 0), 0);
  return { tokensPerSecond: tokens / seconds, ...(flops && { utilization: flops.perStep / seconds / flops.peak }) };
}

/** What a run must have in common with the one it goes on from, to give the same bits. */
async function environment({ backend, threads, precision }: FitOptions): Promise<Record<string, unknown>> {
  const { name, description } = await getBackend(backend, threads === undefined ? {} : { threads });
  return { backend: name, ...description, precision: precision ?? "float32" };
}
