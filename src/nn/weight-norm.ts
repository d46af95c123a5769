/**
 * Weight normalisation: the length of a layer's filters apart from their direction,
 *
 *   w = g v / ‖v‖,   ‖v‖ over all axes but the first (a filter each), g [out, 1, …], first ‖v‖: the function stays
 *
 * v is what the layer stores. As torch.nn.utils.weight_norm with its default dim 0, which in a transposed convolution counts
 * inputs, not outputs. Source: "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
 * Networks", 2016.
 */
import { fail, NDArray, type Tensor, Variable } from "../tensor/index.js";
import { type AnyModule, Module } from "./module.js";
import { parametrize, type Weighted } from "./parametrization.js";

export class WeightNorm extends Module {
  readonly g: Variable; // [out, 1, …]

  constructor(g: NDArray) {
    super();
    this.g = new Variable(g);
  }

  override forward(v: Tensor): Tensor {
    const rest = v.shape.flatMap((_, axis) => (axis === 0 ? [] : [axis]));
    return v.mul(this.g.div(v.square().sum(rest, { keepDims: true }).sqrt()));
  }
}

/**
 * Weight normalisation of all layers with a weight that the query matches (default: all). Changes the model and gives it
 * back; the function stays, and `bake` makes the model an ordinary one again. Throws for a filter of zeros, which has no
 * direction.
 */
export async function weightNorm<M extends AnyModule>(
  model: M,
  { query = "**" }: { readonly query?: string } = {},
): Promise<M> {
  const lengths = new Map<Weighted, NDArray>();
  const chosen: [string, Weighted][] = [];
  parametrize(model, query, (layer, path) => {
    chosen.push([path, layer]);
    return undefined;
  });
  for (const [path, layer] of chosen) lengths.set(layer, filterLengths(await layer.weight.data(), path));
  parametrize(model, query, (layer) => new WeightNorm(lengths.get(layer) as NDArray));
  return model;
}

function filterLengths(weight: NDArray, path: string): NDArray {
  const [outputs = 0, ...rest] = weight.shape;
  const size = weight.size / outputs;
  const lengths = Array.from({ length: outputs }, (_, o) => {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += weight.at(o * size + i) ** 2;
    return Math.sqrt(sum);
  });
  const empty = lengths.indexOf(0);
  if (empty >= 0)
    fail(
      "argument",
      `weightNorm: filter ${empty} of ${path || "the layer"} is all zeros and has no direction; initialise it first`,
    );
  return NDArray.from(lengths, "float32", [outputs, ...rest.map(() => 1)]);
}
