/**
 * Norms that are a scale and a shift per channel in inference, taken into the layer before them:
 *
 *   s ⊙ (W x + b) + t = (diag(s) W) x + (s ⊙ b + t)
 *
 * Exact, and one operation less. A module says what it applies one after another (`chains`); a norm says what it is in
 * inference (`channelAffine`). Neither knows the other.
 */
import { NDArray, Variable } from "../tensor/index.js";
import type { AnyModule } from "./module.js";
import { bake, Weighted } from "./parametrization.js";
import { Identity } from "./sequential.js";
import { changeVariable, clone, putAt } from "./surgery.js";

/** A module that applies some of its modules one after another, with nothing between. */
export interface Chained {
  chains(): readonly (readonly AnyModule[])[];
}

/** A norm that is y = scale · x + shift per channel in inference; undefined where it is not, as it is set. */
export interface ChannelAffine {
  channelAffine(): Promise<{ readonly scale: readonly number[]; readonly shift: readonly number[] } | undefined>;
}

/** A copy for inference, with what could be folded gone, and the paths of the norms that were. */
export async function foldNorms<M extends AnyModule>(model: M): Promise<{ model: M; folded: string[] }> {
  const copy = await clone(model);
  await bake(copy);
  const paths = new Map([...copy.namedModules()].map(([path, module]) => [module, path]));
  const folded: string[] = [];
  for (const module of paths.keys()) {
    if (!("chains" in module)) continue;
    for (const chain of (module as unknown as Chained).chains())
      for (const [i, norm] of chain.entries()) {
        const [layer, path] = [chain[i - 1] as unknown, paths.get(norm)];
        if (!(layer instanceof Weighted) || path === undefined || !("channelAffine" in norm)) continue;
        const affine = await (norm as unknown as ChannelAffine).channelAffine();
        if (!affine || layer.outputAxis !== 0) continue;
        await scaleOutputs(copy, paths.get(layer as unknown as AnyModule) as string, layer, affine);
        putAt(copy, path, new Identity());
        folded.push(path);
      }
  }
  return { model: copy, folded };
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
