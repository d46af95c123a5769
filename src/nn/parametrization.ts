/**
 * What a layer computes with instead of the numbers it stores: W′ = f(W), differentiated through, and put in W's place for
 * good when training is over.
 *
 *   parametrize(model, "**.conv*", () => weightStandardization());   …   await bake(model)
 *
 * One mechanism for standardised, normalised, bounded and companded weights; several on one layer apply in order. Stored
 * names are those of the plain layer, and `parametrizations.0.…` for what a parametrisation learns itself.
 */
import { compile } from "../runtime/index.js";
import { fail, structureChanged, type Tensor, type Variable } from "../tensor/index.js";
import { type AnyModule, Module } from "./module.js";
import { pattern } from "./observe.js";

/** From the stored weight to the one that is used, of the same shape. */
export type Parametrization = Module<[Tensor]>;

/** A layer with one weight that may be parametrised: linear layers, convolutions, embeddings. */
export abstract class Weighted extends Module {
  abstract readonly weight: Variable;
  readonly parametrizations: Parametrization[] = [];
  /** The axis of `weight` that counts output features. */
  readonly outputAxis: number = 0;

  /** W′. */
  protected used(): Tensor {
    return this.parametrizations.reduce<Tensor>((w, parametrization) => parametrization.apply(w), this.weight);
  }
}

/**
 * Put a parametrisation, made for each layer, after those that it has; nothing for a layer that should have none. Changes
 * the model and gives the layers that got one. Throws where the query finds no layer with a weight.
 */
export function parametrize(
  model: AnyModule,
  query: string,
  make: (layer: Weighted, path: string) => Parametrization | undefined,
): Weighted[] {
  const matches = pattern(query);
  const layers = weighted(model).filter(([path]) => matches(path));
  if (layers.length === 0)
    fail(
      "argument",
      `parametrize: no layer with a weight matches "${query}"; there are ${weighted(model)
        .slice(0, 4)
        .map(([path]) => path || "the model itself")
        .join(", ")}`,
    );
  const changed = layers.flatMap(([path, layer]) => {
    const parametrization = make(layer, path);
    if (!parametrization) return [];
    layer.parametrizations.push(parametrization);
    return [layer];
  });
  structureChanged();
  return changed;
}

/** Store the weights that are used, and take the parametrisations away: the same function, an ordinary model. */
export async function bake(model: AnyModule): Promise<void> {
  const layers = weighted(model).filter(([, { parametrizations }]) => parametrizations.length > 0);
  if (layers.length === 0) return;
  const program = compile(() =>
    Object.fromEntries(
      layers.map(([, { weight, parametrizations }], i) => [
        `${i}`,
        parametrizations.reduce<Tensor>((w, parametrization) => parametrization.apply(w), weight),
      ]),
    ),
  );
  const values = await program({});
  await program.release();
  for (const [i, [, layer]] of layers.entries()) {
    const value = values[i] ?? fail("trace", `bake: no value for layer ${i}`);
    layer.weight.set(value);
    layer.parametrizations.length = 0;
  }
  structureChanged();
}

const weighted = (model: AnyModule): [string, Weighted][] =>
  [...model.namedModules()].flatMap(([path, module]) =>
    (module as unknown) instanceof Weighted ? [[path, module as unknown as Weighted]] : [],
  );
