/**
 * Pre-RMSNorm and Pre-CRMSNorm: a Pre-LN model with cheaper norms and the same function. Every reader of the stream
 * starts with LayerNorm, which removes the mean; so the mean is redundant:
 *
 *   0. fold each norm's gain and bias into its readers:   W ← W diag(g),   v ← v + W b
 *   1. recentre every writer over the stream's features:  W ← W − W̄,       v ← v − v̄;   LN(x) = RMS(x) for zero-mean x
 *   2. drop the stream's last entry, −Σ of the others:    writers W[:d−1],  readers W[:, :d−1] − W[:, d−1];   RMS → CRMS
 *
 * Steps 0 and 1 give Pre-RMSNorm, all three Pre-CRMSNorm; both exact, with the same ε. The stream itself differs by its
 * mean: `decompress` gives it back with mean 0.
 *
 * Source: "Pre-RMSNorm and Pre-CRMSNorm Transformers: Equivalent and Efficient Pre-LN Transformers", 2023.
 */
import { concat, fail, type NDArray, type Tensor } from "../../tensor/index.js";
import { Embedding } from "../embedding.js";
import { Linear } from "../linear.js";
import { Module } from "../module.js";
import { CRMSNorm } from "../norm/crms-norm.js";
import { LayerNorm } from "../norm/layer-norm.js";
import { RMSNorm } from "../norm/rms-norm.js";
import { changeVariable, clone, putAt, valueAt } from "../surgery.js";
import { compareModels } from "./compare-models.js";
import { foldAffine } from "./fold.js";
import { proveStream } from "./prove-stream.js";
import type { ResidualStream, StreamModel } from "./stream.js";
import { dropLast, recentre, subtractLast } from "./stream-algebra.js";

export interface ConversionOptions {
  /** Run both models and refuse when they differ (default true). */
  readonly verify?: boolean;
  /** What to run them on (default: the model's own example). */
  readonly input?: NDArray;
  /** Largest difference allowed, relative to the largest output (default 1e-4). */
  readonly tolerance?: number;
}

export interface PreRMSNormOptions extends ConversionOptions {
  /** Fold gains and biases into the readers (default true); else they stay behind the RMSNorm, and a tied head tied. */
  readonly foldAffine?: boolean;
}

export interface ConversionReport {
  /** Norms whose gain or bias was folded, by path. */
  readonly folded: readonly string[];
  /** Variables that were recentred, by path. */
  readonly recentred: readonly string[];
  /** Whether a tied head had to get a matrix of its own. */
  readonly untied: boolean;
  readonly parameters: { readonly before: number; readonly after: number };
  /** max |difference| of the outputs, and relative to the largest output; absent without `verify`. */
  readonly difference?: { readonly absolute: number; readonly relative: number };
}

export interface Conversion<M> {
  readonly model: M;
  readonly report: ConversionReport;
}

/**
 * A copy with RMSNorms in place of LayerNorms. Throws, with the reason, for models that are not Pre-LN with LayerNorm
 * over one axis, whose stream is read without a norm, or whose outputs differ afterwards.
 */
export async function toPreRMSNorm<M extends StreamModel>(
  model: M,
  options: PreRMSNormOptions = {},
): Promise<Conversion<M>> {
  const { foldAffine: fold = true } = options;
  const copy = await clone(model);
  const { stream, folded } = await removeMeans(copy, fold);
  for (const { norm } of stream.readers) putAt(copy, norm, rmsOf(valueAt(copy, norm) as LayerNorm));
  return verified(
    model,
    copy,
    { folded, recentred: stream.writers.map(({ path }) => path), untied: fold && model.residualStream().tied },
    options,
  );
}

/** A copy whose stream is one entry narrower, with CRMSNorms. Throws as `toPreRMSNorm`. */
export async function toPreCRMSNorm<M extends StreamModel>(
  model: M,
  options: ConversionOptions = {},
): Promise<Conversion<M>> {
  const copy = await clone(model);
  const { stream, folded } = await removeMeans(copy, true);
  for (const { path, axis } of stream.writers) await changeVariable(copy, path, (w) => dropLast(w, axis));
  for (const { norm, linears } of stream.readers) {
    putAt(copy, norm, new CRMSNorm(stream.width - 1, { eps: (valueAt(copy, norm) as LayerNorm).eps }));
    for (const linear of linears) await changeVariable(copy, `${linear}.weight`, (W) => subtractLast(W, 1));
  }
  if (stream.start) putAt(copy, stream.start, new ZeroMean((valueAt(copy, stream.start) as ZeroMean).module, true));
  return verified(
    model,
    copy,
    { folded, recentred: stream.writers.map(({ path }) => path), untied: model.residualStream().tied },
    options,
  );
}

/**
 * The same parameters, trained through RMSNorms: writers subtract their mean as they are used, so the function of the
 * parameters, their gradients and every optimiser's path are those of the Pre-LN model, up to rounding. (Training the
 * weights of `toPreRMSNorm` is not: they drift from zero mean.) Changes the model in place. Throws as `toPreRMSNorm`,
 * and for dropout on what is added to the stream, which has no zero mean.
 */
export function trainAsPreRMSNorm<M extends StreamModel>(model: M): M {
  const stream = convertible(model);
  if (stream.dropout > 0)
    fail(
      "conversion",
      `trainAsPreRMSNorm: dropout ${stream.dropout} on a branch breaks the zero mean of the stream; build the model without it`,
    );
  for (const { path } of stream.writers) {
    const writer = valueAt(model, parentOf(path));
    if (!(writer instanceof Linear || writer instanceof Embedding))
      return fail(
        "conversion",
        `trainAsPreRMSNorm: ${path} is neither a Linear's nor an Embedding's, so it cannot be recentred as it is used`,
      );
    writer.zeroMeanOutput = true;
  }
  for (const { norm } of stream.readers) putAt(model, norm, rmsOf(valueAt(model, norm) as LayerNorm));
  if (stream.start) putAt(model, stream.start, new ZeroMean(valueAt(model, stream.start) as Module));
  return model;
}

/** Without the last entry: [..., d] of zero mean to [..., d − 1]. */
export const compress = (x: Tensor): Tensor => x.slice({ axis: -1, start: 0, end: x.dim(-1) - 1 });
/** With it again: [..., d − 1] to [..., d] of zero mean. */
export const decompress = (c: Tensor): Tensor => concat([c, c.sum(-1, { keepDims: true }).neg()], -1);

/** A module of the start of the stream whose output cannot be recentred in its weights: subtract the mean after it. */
class ZeroMean extends Module {
  constructor(
    readonly module: Module,
    readonly compressed = false,
  ) {
    super();
  }

  override forward(x: Tensor): Tensor {
    const y = this.module.apply(x);
    const centred = y.sub(y.mean(-1, { keepDims: true }));
    return this.compressed ? compress(centred) : centred;
  }
}

/** Steps 0 and 1, in place, all but the exchange of the norms. */
async function removeMeans(model: StreamModel, fold: boolean): Promise<{ stream: ResidualStream; folded: string[] }> {
  const before = convertible(model);
  if (before.tied && fold) await model.untie();
  const stream = model.residualStream();
  const folded: string[] = [];
  if (fold) for (const reader of stream.readers) if (await foldAffine(model, reader)) folded.push(reader.norm);
  for (const { path, axis } of stream.writers) {
    const writer = valueAt(model, parentOf(path));
    // A tied table is the head too, which must stay as it is: its rows are recentred as they are looked up.
    if (stream.tied && writer instanceof Embedding) writer.zeroMeanOutput = true;
    else await changeVariable(model, path, (w) => recentre(w, axis));
  }
  if (stream.start) putAt(model, stream.start, new ZeroMean(valueAt(model, stream.start) as Module));
  return { stream, folded };
}

/** The stream of a model that can be converted. Throws with the reason for all others. */
function convertible(model: StreamModel): ResidualStream {
  if (typeof model.residualStream !== "function")
    fail(
      "conversion",
      `${model.constructor.name} does not say who reads and writes its residual stream (residualStream()), so zero mean cannot be proved`,
    );
  const stream = model.residualStream();
  if (stream.width === 1)
    fail("conversion", "a stream of width 1 has no entry left without its mean; nothing to convert");
  for (const { norm: path } of stream.readers) {
    const norm = valueAt(model, path);
    if (norm instanceof RMSNorm || norm instanceof CRMSNorm)
      fail(
        "conversion",
        `${path} is a ${norm.constructor.name} already: there is no LayerNorm to convert, and its stream need not have mean 0`,
      );
    if (!(norm instanceof LayerNorm))
      fail(
        "conversion",
        `${path} is a ${(norm as object | undefined)?.constructor.name ?? "missing module"}; only LayerNorm removes the mean of each token`,
      );
    if (norm.normalizedShape.length > 1)
      fail(
        "conversion",
        `${path} normalises over ${norm.normalizedShape.length} axes; only a LayerNorm over the last axis alone can become an RMSNorm`,
      );
  }
  proveStream(model, stream);
  return stream;
}

/** The RMSNorm of zero-mean vectors that equals a LayerNorm; gain and bias are the same variables. */
function rmsOf({ normalizedShape, eps, weight, bias }: LayerNorm): RMSNorm {
  const norm = new RMSNorm(normalizedShape[0] as number, { eps, affine: false });
  return Object.assign(norm, { weight, bias });
}

const parentOf = (path: string): string => path.split(".").slice(0, -1).join(".");

async function verified<M extends StreamModel>(
  before: M,
  after: M,
  facts: Pick<ConversionReport, "folded" | "recentred" | "untied">,
  { verify = true, input = before.exampleInput(), tolerance = 1e-4 }: ConversionOptions,
): Promise<Conversion<M>> {
  const count = (model: M) => [...model.namedVariables().values()].reduce((sum, { size }) => sum + size, 0);
  const report = { ...facts, parameters: { before: count(before), after: count(after) } };
  if (!verify) return { model: after, report };
  const difference = await compareModels(before, after, input);
  if (!(difference.relative <= tolerance))
    fail(
      "conversion",
      `the converted model differs by ${difference.relative.toExponential(1)} of its largest output; allowed: ${tolerance}`,
    );
  return { model: after, report: { ...report, difference } };
}
