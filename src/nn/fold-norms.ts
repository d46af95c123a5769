/**
 * Norms that are a scale and a shift per channel in inference, taken into the layer before them, or behind them:
 *
 *   s ⊙ (W x + b) + t = (diag(s) W) x + (s ⊙ b + t)          W (s ⊙ x + t) + b = (W diag(s)) x + (W t + b)
 *
 * Exact, and one operation less. A module says what it applies one after another (`chains`); a norm says what it is in
 * inference (`channelAffine`). Neither knows the other.
 */
import { LayerwiseError, NDArray, Variable } from "../tensor/index.js";
import { Linear } from "./linear.js";
import type { AnyModule } from "./module.js";
import { type Affine, affineOf, ChannelScale } from "./norm/affine.js";
import { Norm } from "./norm/norm.js";
import { bake, Weighted } from "./parametrization.js";
import { foldAffine } from "./placement/fold.js";
import type { ReadableStream, StreamReader } from "./placement/stream.js";
import { Identity } from "./sequential.js";
import { changeVariable, clone, putAt, valueAt } from "./surgery.js";

/** A module that applies some of its modules one after another, with nothing between. */
export interface Chained {
  chains(): readonly (readonly AnyModule[])[];
}

/**
 * A copy for inference in which norms with running statistics are gone: taken into the layer before them or, where that
 * has none or is not linear, into the linear layers that alone read them (a tied head gets a matrix of its own). A norm
 * that folds into neither, like one on the residual stream, becomes one multiplication and one addition per channel.
 * `folded` has the paths of the norms that are gone. Exact in inference; norms that compute from their input stay.
 */
export async function foldNorms<M extends AnyModule>(model: M): Promise<{ model: M; folded: string[] }> {
  const copy = await clone(model);
  await bake(copy);
  const folded = [...(await foldChains(copy)), ...(await foldReaders(copy))];
  for (const [path, norm] of copy.namedModules()) {
    const affine = await affineOf(norm);
    if (affine && !affine.rest && norm instanceof Norm && norm.width !== undefined)
      putAt(copy, path, new ChannelScale(norm.width, affine, norm.axis));
  }
  return { model: copy, folded };
}

async function foldChains(model: AnyModule): Promise<string[]> {
  const paths = new Map([...model.namedModules()].map(([path, module]) => [module, path]));
  const folded: string[] = [];
  for (const module of paths.keys()) {
    if (!("chains" in module)) continue;
    for (const chain of (module as unknown as Chained).chains())
      for (const [i, norm] of chain.entries()) {
        const affine = await affineOf(norm);
        const [before, after, path] = [chain[i - 1] as unknown, chain[i + 1] as unknown, paths.get(norm)];
        if (!affine || affine.rest || path === undefined) continue;
        const at = (layer: unknown) => paths.get(layer as AnyModule) as string;
        if (before instanceof Weighted && before.outputAxis === 0)
          await scaleOutputs(model, at(before), before, affine);
        // Into a convolution behind it would not be exact: its padding is not shifted.
        else if (after instanceof Linear) await foldAffine(model, { norm: path, linears: [at(after)] });
        else continue;
        putAt(model, path, new Identity());
        folded.push(path);
      }
  }
  return folded;
}

/** In models that say which linear layers read each norm. */
async function foldReaders(model: AnyModule): Promise<string[]> {
  const affine = new Map<string, Affine>();
  for (const { norm } of readersOf(model)) {
    const parts = await affineOf(valueAt(model, norm));
    if (parts) affine.set(norm, parts);
  }
  if (affine.size === 0) return [];
  // Only an untied head is among the readers of the last norm.
  await (model as unknown as ReadableStream).untie();
  for (const reader of readersOf(model)) if (affine.has(reader.norm)) await foldAffine(model, reader);
  return [...affine].flatMap(([path, { rest }]) => (rest ? [] : [path]));
}

function readersOf(model: AnyModule): readonly StreamReader[] {
  if (!("readers" in model)) return [];
  try {
    return (model as unknown as ReadableStream).readers();
  } catch (error) {
    // Norms on the stream have other readers than linear layers.
    if (error instanceof LayerwiseError && error.code === "conversion") return [];
    throw error;
  }
}

async function scaleOutputs(
  model: AnyModule,
  path: string,
  layer: Weighted,
  { scale, shift }: { readonly scale: readonly number[]; readonly shift: readonly number[] },
): Promise<void> {
  const at = (name: string) => (path ? `${path}.${name}` : name);
  const perOutput = layer.weight.size / scale.length;
  await changeVariable(model, at("weight"), (w) =>
    NDArray.from(
      w.toNumbers().map((value, i) => value * (scale[Math.floor(i / perOutput)] as number)),
      "float64",
      w.shape,
    ),
  );
  const bias: unknown = Reflect.get(layer, "bias");
  const old = bias instanceof Variable ? (await bias.data()).toNumbers() : scale.map(() => 0);
  const next = old.map((b, c) => b * (scale[c] as number) + (shift[c] as number));
  putAt(model, at("bias"), new Variable(NDArray.from(next, "float32"), { name: at("bias") }));
}
