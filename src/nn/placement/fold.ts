/**
 * Exact foldings of norms into what surrounds them, for inference.
 *
 *   gain and bias of an input norm:  W(k (g ⊙ z + b)) + v = (W diag(g)) (k z) + (v + k W b)
 *   scale of LayerNorm Scaling:      k (g ⊙ z + b) = (k g) ⊙ z + k b
 *
 * The norm of a Post-LN block cannot be folded (the shortcut reads it too), nor can an output norm.
 */
import { fail, NDArray, Variable } from "../../tensor/index.js";
import type { Block } from "../block.js";
import { Linear } from "../linear.js";
import type { AnyModule } from "../module.js";
import { affineOf } from "../norm/affine.js";
import { LayerNorm } from "../norm/layer-norm.js";
import { RMSNorm } from "../norm/rms-norm.js";
import { Identity } from "../sequential.js";
import { changeVariable, clone, putAt, valueAt } from "../surgery.js";
import type { Placement } from "./placement.js";
import type { StreamModel, StreamReader } from "./stream.js";
import { scaleInputs, timesVector } from "./stream-algebra.js";

/**
 * A copy of a model with LayerNorm Scaling that is an ordinary Pre-LN one with the same function: gain' = k g,
 * bias' = k b. Throws where a scaled norm has no gain.
 */
export async function foldNormScale<M extends Model>(model: M): Promise<M> {
  const copy = await clone(model);
  for (const [path, module] of copy.namedModules()) {
    const block = module as Partial<Block>;
    if (!block.placement) continue;
    for (const { input, scale } of [block.placement.attention, block.placement.mlp]) {
      if (!input || scale === undefined) continue;
      if (!block[input]?.namedVariables().has("weight"))
        fail("conversion", `foldNormScale: ${path}.${input} has no gain to take the scale ${scale}`);
      for (const name of block[input].namedVariables().keys())
        await changeVariable(copy, `${path}.${input}.${name}`, (value) => times(value, scale));
    }
    Object.assign(block, { placement: withoutScale(block.placement) });
  }
  return copy;
}
type Model = Parameters<typeof clone>[0];

const times = (value: NDArray, k: number): NDArray =>
  NDArray.from(
    value.toNumbers().map((x) => x * k),
    "float64",
    value.shape,
  );

function withoutScale({ kind, attention, mlp }: Placement): Placement {
  const [{ scale, ...first }, { scale: second, ...rest }] = [attention, mlp];
  return { kind: scale === undefined && second === undefined ? kind : "pre", attention: first, mlp: rest };
}

/**
 * A copy whose input norms (and final norm) have neither gain nor bias: both are folded into the matrices that read
 * them, and a tied head gets a matrix of its own. Output norms stay. Throws for blocks with norms on the stream.
 */
export async function foldInputNorms<M extends StreamModel>(model: M): Promise<M> {
  const copy = await clone(model);
  await copy.untie();
  for (const reader of copy.readers()) await foldAffine(copy, reader);
  return copy;
}

/** Fold gain and bias of one norm into its readers, in place; the norm itself loses them. Tells whether it had any. */
export async function foldAffine(model: AnyModule, { norm: path, linears, scale = 1 }: StreamReader): Promise<boolean> {
  const { gain, shift, rest } = await partsOf(valueAt(model, path), path);
  const bias = shift?.map((b) => b * scale);
  for (const name of linears) {
    if (bias) await addBias(model, name, bias);
    if (gain) await changeVariable(model, `${name}.weight`, (W) => scaleInputs(W, gain));
  }
  putAt(model, path, rest);
  return Boolean(gain ?? bias);
}

interface Parts {
  readonly gain?: readonly number[] | undefined;
  readonly shift?: readonly number[] | undefined;
  /** What is left of the norm without the two. */
  readonly rest: AnyModule;
}

async function partsOf(norm: unknown, path: string): Promise<Parts> {
  const affine = await affineOf(norm);
  if (affine) return { gain: affine.scale, shift: affine.shift, rest: affine.rest ?? new Identity() };
  if (!(norm instanceof LayerNorm || norm instanceof RMSNorm))
    return fail(
      "conversion",
      `${path}: expected a LayerNorm, an RMSNorm or a norm that is a scale and a shift in inference, got ${(norm as object | undefined)?.constructor.name ?? "nothing"}`,
    );
  const weight = (await norm.weight?.data())?.toNumbers();
  const gain = weight?.map((w) => w + (norm instanceof RMSNorm ? norm.gainOffset : 0));
  return { gain, shift: (await norm.bias?.data())?.toNumbers(), rest: plainNorm(norm) };
}

/** v + W b, from the original W; the bias is made where there was none. */
async function addBias(model: AnyModule, path: string, b: readonly number[]): Promise<void> {
  const linear = valueAt(model, path);
  if (!(linear instanceof Linear)) return fail("conversion", `${path}: expected a Linear that reads the norm`);
  const added = timesVector(await linear.weight.data(), b);
  const v = (await linear.bias?.data())?.toNumbers();
  const sum = added.map((x, i) => x + (v?.[i] ?? 0));
  putAt(
    model,
    `${path}.bias`,
    new Variable(NDArray.from(sum, linear.weight.dtype, [sum.length]), { trainable: linear.weight.trainable }),
  );
}

/** The same statistics without gain and bias. */
function plainNorm(norm: LayerNorm | RMSNorm): LayerNorm | RMSNorm {
  const options = { eps: norm.eps, affine: false };
  return norm instanceof LayerNorm ? new LayerNorm(norm.normalizedShape, options) : new RMSNorm(norm.width, options);
}
