/** Operations that compute nothing and steer the gradient: stop it, redirect it, replace it. */
import { presentPrecision } from "./autocast.js";
import { fail } from "./errors.js";
import { formatShape, sameShape } from "./shape.js";
import { defineSingle, Tensor } from "./tensor.js";

type None = Record<string, never>;

const makeStop = defineSingle<None>({
  name: "stopGradient",
  infer: ([x]) => x as Tensor,
  flops: () => 0,
  lower: ({ bind, inputs }) => bind(inputs[0] as string),
});
/** The value of x, as a constant to derivatives. */
export const stopGradient = (x: Tensor): Tensor => makeStop([x], {});

const makeStraightThrough = defineSingle<None>({
  name: "straightThrough",
  infer: ([value, path]) => {
    const [v, p] = [value as Tensor, path as Tensor];
    if (!sameShape(v.shape, p.shape) || v.dtype !== p.dtype)
      fail(
        "shape",
        `straightThrough: value ${v.dtype}${formatShape(v.shape)} and path ${p.dtype}${formatShape(p.shape)} must agree`,
      );
    return v;
  },
  gradient: ({ gradient }) => [undefined, gradient],
  flops: () => 0,
  lower: ({ bind, inputs }) => bind(inputs[0] as string),
});
/** The value of `value`, the gradient of `path`: e.g. `straightThrough(x.round(), x)` (Estimating or Propagating Gradients Through Stochastic Neurons, 2013). */
export const straightThrough = (value: Tensor, path: Tensor): Tensor => makeStraightThrough([value, path], {});

export type Backward = (gradient: Tensor, output: Tensor) => readonly (Tensor | undefined)[];

const makeCustom = defineSingle<{ readonly backward: Backward; readonly count: number }>({
  name: "customGradient",
  infer: ([value]) => value as Tensor,
  gradient: ({ gradient, outputs, inputs, attributes: { backward, count } }) => {
    const given = backward(gradient, outputs[0] as Tensor);
    if (given.length !== count)
      fail("gradient", `customGradient: backward returned ${given.length} gradients for ${count} inputs`);
    for (const [i, g] of given.entries()) {
      const x = inputs[i + 1] as Tensor;
      if (g && !sameShape(g.shape, x.shape))
        fail(
          "gradient",
          `customGradient: gradient ${i} has shape ${formatShape(g.shape)}, its input ${formatShape(x.shape)}`,
        );
    }
    return [undefined, ...given];
  },
  flops: () => 0,
  lower: ({ bind, inputs }) => bind(inputs[0] as string),
});

/**
 * `forward(...inputs)` with a derivative of your own: `backward(gradient, output)` gives one gradient per input
 * (undefined for none). It runs while the gradient is built, so it may read variables and assign them (running
 * statistics of gradients). Throws where the number or the shapes of its results do not fit.
 */
export function customGradient(
  inputs: readonly Tensor[],
  forward: (...inputs: Tensor[]) => Tensor,
  backward: Backward,
): Tensor {
  const value = forward(...inputs);
  if (!(value instanceof Tensor)) fail("argument", "customGradient: forward must return one tensor");
  const precisely = presentPrecision();
  const own: Backward = (gradient, output) => precisely(() => backward(gradient, output));
  return makeCustom([value, ...inputs], { backward: own, count: inputs.length });
}

const makeAfter = defineSingle<None>({
  name: "after",
  infer: ([x]) => x as Tensor,
  flops: () => 0,
  gradient: ({ gradient }) => [gradient, undefined],
  // A factor that is always 1 and that the engine cannot know to be: it orders the work without changing a bit.
  lower: ({ emit, value, scalar, integers, inputs, node }) => {
    const [x, signal] = inputs as [string, string];
    const { dtype } = node.inputs[1] as Tensor;
    const flat = value("Reshape", [signal, integers([-1])]);
    const first = value("Slice", [flat, integers([0]), integers([1]), integers([0])]);
    const one = value("Max", [value("Min", [first, scalar(1, dtype)]), scalar(1, dtype)]);
    emit("Mul", [x, one]);
  },
});
/** x, not before `signal` is there: how recomputation is kept from starting early. */
export const after = (x: Tensor, signal: Tensor): Tensor => makeAfter([x, signal], {});
