/** Normalising over axes: softmax, layer and root-mean-square norms, and the loss that ends in a softmax. */
import { ones, zerosLike } from "./constant.js";
import { customGradient } from "./control.js";
import { isFloat } from "./dtype.js";
import { add, div, exp, mul, neg, notEqual, square, sub, where } from "./elementwise.js";
import { fail } from "./errors.js";
import { scatterAdd, takeAlongAxis } from "./indexing.js";
import { mean, sum } from "./reduction.js";
import { formatShape, normalizeAxis, sameShape, sizeOf } from "./shape.js";
import { cast, reshape, squeeze, sumTo, unsqueeze } from "./shaping.js";
import { attachMethods, defineOperation, defineSingle, type MethodsOf, type Tensor } from "./tensor.js";

interface AxisAttribute {
  readonly axis: number;
}

const floatInput = (name: string) => (inputs: readonly Tensor[]) => {
  const [x] = inputs as [Tensor];
  return isFloat(x.dtype) ? x : fail("dtype", `${name}: expected a float tensor, got ${x.dtype}`);
};

const makeSoftmax = defineSingle<AxisAttribute>({
  name: "softmax",
  infer: floatInput("softmax"),
  gradient: ({ outputs, gradient: g, attributes: { axis } }) => {
    const [y] = outputs as [Tensor];
    return [mul(y, sub(g, sum(mul(g, y), axis, { keepDims: true })))];
  },
  flops: ({ outputs }) => 4 * (outputs[0] as Tensor).size,
  lower: ({ emit, inputs, attributes: { axis } }) => emit("Softmax", inputs, { axis }),
});
/** eˣ / Σ eˣ along an axis. */
export const softmax = (x: Tensor, axis = -1): Tensor =>
  makeSoftmax([x], { axis: normalizeAxis("softmax", axis, x.rank) });

const makeLogSoftmax = defineSingle<AxisAttribute>({
  name: "logSoftmax",
  infer: floatInput("logSoftmax"),
  gradient: ({ outputs, gradient: g, attributes: { axis } }) => {
    const [y] = outputs as [Tensor];
    return [sub(g, mul(exp(y), sum(g, axis, { keepDims: true })))];
  },
  flops: ({ outputs }) => 4 * (outputs[0] as Tensor).size,
  lower: ({ emit, value, integers, inputs, attributes: { axis }, target }) => {
    if (target !== "webgpu") return emit("LogSoftmax", inputs, { axis });
    // WebGPU has no kernel for it (ONNX Runtime 1.30) and would take the logits to the CPU and back.
    const [x] = inputs as [string];
    const over = [integers([axis]), { keepdims: 1 }] as const;
    const shifted = value("Sub", [x, value("ReduceMax", [x, over[0]], over[1])]);
    emit("Sub", [shifted, value("Log", [value("ReduceSum", [value("Exp", [shifted]), over[0]], over[1])])]);
  },
});
export const logSoftmax = (x: Tensor, axis = -1): Tensor =>
  makeLogSoftmax([x], { axis: normalizeAxis("logSoftmax", axis, x.rank) });

interface NormAttributes {
  /** How many trailing axes are normalised together. */
  readonly axes: number;
  readonly eps: number;
}

const trailing = (x: Tensor, k: number): number[] => Array.from({ length: k }, (_, i) => x.rank - k + i);

function requireTrailing(
  name: string,
  x: Tensor,
  axes: number,
  parameters: readonly (Tensor | undefined)[],
  eps: number,
): void {
  if (!isFloat(x.dtype)) fail("dtype", `${name}: expected a float tensor, got ${x.dtype}`);
  if (!(Number.isInteger(axes) && axes >= 1 && axes <= x.rank))
    fail("argument", `${name}: ${axes} trailing axes of a tensor of shape ${formatShape(x.shape)}`);
  if (!(eps > 0)) fail("argument", `${name}: eps must be positive, got ${eps}`);
  const shape = x.shape.slice(x.rank - axes);
  if (sizeOf(shape) === 0) fail("shape", `${name}: the normalised axes of ${formatShape(x.shape)} are empty`);
  for (const p of parameters)
    if (p && !sameShape(p.shape, shape))
      fail(
        "shape",
        `${name}: expected a weight of shape ${formatShape(shape)} for an input ${formatShape(x.shape)}, got ${formatShape(p.shape)}`,
      );
}

/** d(1/σ)/dx = -x̂ / (n σ²): the first derivative uses 1/σ, so the second comes through here. */
const throughInverse = (g: Tensor, inverse: Tensor, xhat: Tensor, count: number): Tensor =>
  mul(mul(g, mul(square(inverse), -1 / count)), xhat);

const addAll = (first: Tensor, ...rest: readonly (Tensor | undefined)[]): Tensor =>
  rest.reduce<Tensor>((sum, term) => (term ? add(sum, term) : sum), first);

/**
 * Outputs y, the centred input and 1/σ. The mean is taken away first, so that engines that take the variance as
 * E[x²] - E[x]² lose no digits: at a mean of 10⁴ that is an error of 1e-4, relative.
 */
const makeLayerNorm = defineOperation<NormAttributes>({
  name: "layerNorm",
  infer: ([input, weight, bias], { axes, eps }) => {
    const x = input as Tensor;
    requireTrailing("layerNorm", x, axes, [weight, bias], eps);
    return [x, x, { shape: x.shape.map((n, i) => (i < x.rank - axes ? n : 1)), dtype: x.dtype }];
  },
  gradient: ({ inputs, outputs, gradients: [given, ofCentred, ofInverse], needs, attributes: { axes } }) => {
    const [x, weight, bias] = inputs as [Tensor, Tensor, Tensor | undefined];
    const g = given ?? zerosLike(x);
    const [, centred, inverse] = outputs as [Tensor, Tensor, Tensor];
    const xhat = mul(centred, inverse);
    const average = (t: Tensor) => mean(t, trailing(x, axes), { keepDims: true });
    const dx = () => {
      const gh = mul(g, weight);
      return mul(inverse, sub(sub(gh, average(gh)), mul(xhat, average(mul(gh, xhat)))));
    };
    return [
      needs(0)
        ? addAll(
            dx(),
            ofCentred && sub(ofCentred, average(ofCentred)),
            ofInverse && throughInverse(ofInverse, inverse, xhat, sizeOf(weight.shape)),
          )
        : undefined,
      needs(1) ? sumTo(mul(g, xhat), weight.shape) : undefined,
      bias && needs(2) ? sumTo(g, bias.shape) : undefined,
    ];
  },
  flops: ({ inputs }) => 10 * (inputs[0] as Tensor).size,
  lower: ({ value, values, bind, integers, inputs, node, attributes: { axes, eps } }) => {
    const [x, ...parameters] = inputs as [string, ...string[]];
    const middle = value("ReduceMean", [x, integers(trailing(node.inputs[0] as Tensor, axes))], { keepdims: 1 });
    const centred = value("Sub", [x, middle]);
    const [y, , inverse] = values(3, "LayerNormalization", [centred, ...parameters], {
      axis: -axes,
      epsilon: { float: eps },
    });
    bind(y as string, centred, inverse as string);
  },
});

export interface LayerNormOptions {
  /** How many trailing axes are normalised together (default 1). */
  readonly axes?: number;
  readonly weight?: Tensor | undefined;
  readonly bias?: Tensor | undefined;
  readonly eps?: number;
}
/**
 * y = (x - μ) / √(σ² + eps) · weight + bias over the trailing axes, σ² the population variance, mean first
 * (Layer Normalization, 2016). float64 and float16 are composed; float32 is one node. Throws on empty axes, eps ≤ 0
 * and weights of another shape.
 */
export function layerNorm(x: Tensor, { axes = 1, weight, bias, eps = 1e-5 }: LayerNormOptions = {}): Tensor {
  requireTrailing("layerNorm", x, axes, [weight, bias], eps);
  const normalized = trailing(x, axes);
  if (x.dtype === "float16")
    return cast(
      layerNorm(cast(x, "float32"), {
        axes,
        weight: weight && cast(weight, "float32"),
        bias: bias && cast(bias, "float32"),
        eps,
      }),
      "float16",
    );
  if (x.dtype !== "float32") {
    const centred = sub(x, mean(x, normalized, { keepDims: true }));
    const y = mul(centred, add(mean(square(centred), normalized, { keepDims: true }), eps).rsqrt());
    const scaled = weight ? mul(y, weight) : y;
    return bias ? add(scaled, bias) : scaled;
  }
  const gain = weight ?? ones(x.shape.slice(x.rank - axes));
  return makeLayerNorm([x, gain, ...(bias ? [bias] : [])], { axes, eps })[0] as Tensor;
}

const makeRmsNorm = defineOperation<{ readonly eps: number }>({
  name: "rmsNorm",
  infer: ([input, weight], { eps }) => {
    const x = input as Tensor;
    requireTrailing("rmsNorm", x, 1, [weight], eps);
    return [x, { shape: [...x.shape.slice(0, -1), 1], dtype: x.dtype }];
  },
  gradient: ({ inputs, outputs, gradients: [given, ofInverse], needs }) => {
    const [x, weight] = inputs as [Tensor, Tensor];
    const g = given ?? zerosLike(x);
    const inverse = outputs[1] as Tensor;
    const xhat = mul(x, inverse);
    const dx = () => {
      const gh = mul(g, weight);
      return mul(inverse, sub(gh, mul(xhat, mean(mul(gh, xhat), -1, { keepDims: true }))));
    };
    return [
      needs(0) ? addAll(dx(), ofInverse && throughInverse(ofInverse, inverse, xhat, x.dim(-1))) : undefined,
      needs(1) ? sumTo(mul(g, xhat), weight.shape) : undefined,
    ];
  },
  flops: ({ inputs }) => 5 * (inputs[0] as Tensor).size,
  lower: ({ value, values, bind, scalar, integers, inputs, attributes: { eps }, target }) => {
    const attributes = { axis: -1, epsilon: { float: eps }, stash_type: 1 };
    if (target !== "webgpu") return bind(...values(2, "SimplifiedLayerNormalization", inputs, attributes));
    // WebGPU's kernel leaves the second output unwritten (ONNX Runtime 1.30), without an error.
    const [x] = inputs as [string];
    const meanSquare = value("ReduceMean", [value("Mul", [x, x]), integers([-1])], { keepdims: 1 });
    const inverse = value("Reciprocal", [value("Sqrt", [value("Add", [meanSquare, scalar(eps, "float32")])])]);
    bind(value("SimplifiedLayerNormalization", inputs, attributes), inverse);
  },
});

/** y = x / √(mean(x²) + eps) · weight over the last axis (Root Mean Square Layer Normalization, 2019). */
export function rmsNorm(
  x: Tensor,
  { weight, eps = 1e-6 }: { readonly weight?: Tensor | undefined; readonly eps?: number } = {},
): Tensor {
  requireTrailing("rmsNorm", x, 1, [weight], eps);
  if (x.dtype === "float16")
    return cast(rmsNorm(cast(x, "float32"), { weight: weight && cast(weight, "float32"), eps }), "float16");
  if (x.dtype !== "float32") {
    const y = mul(x, add(mean(square(x), -1, { keepDims: true }), eps).rsqrt());
    return weight ? mul(y, weight) : y;
  }
  return makeRmsNorm([x, weight ?? ones([x.dim(-1)])], { eps })[0] as Tensor;
}

/** The label of a position that does not count, unless another is asked for; as in torch. */
export const noTarget = -100;

export interface CrossEntropyOptions {
  /** Label of positions that do not count (default -100, as in torch). */
  readonly ignoreIndex?: number;
  /** Weight ε given to the uniform distribution. */
  readonly labelSmoothing?: number;
  /** "mean" divides by the number of positions that count. */
  readonly reduction?: "mean" | "sum" | "none";
}
/**
 * -Σ q log softmax(logits), with q = (1 - ε)·[label] + ε / C; logits [.., C], labels int [..].
 * Labels are used as indices: no one-hot array is made. The gradient is softmax - q.
 */
export function crossEntropy(
  logits: Tensor,
  labels: Tensor,
  { ignoreIndex = noTarget, labelSmoothing = 0, reduction = "mean" }: CrossEntropyOptions = {},
): Tensor {
  if (!sameShape(logits.shape.slice(0, -1), labels.shape))
    fail(
      "shape",
      `crossEntropy: logits ${formatShape(logits.shape)} expect labels ${formatShape(logits.shape.slice(0, -1))}, got ${formatShape(labels.shape)}`,
    );
  if (labels.dtype !== "int32" && labels.dtype !== "int64")
    fail("dtype", `crossEntropy: labels must be int32 or int64, got ${labels.dtype}`);
  if (!(labelSmoothing >= 0 && labelSmoothing < 1))
    fail("argument", `crossEntropy: labelSmoothing must be in [0, 1), got ${labelSmoothing}`);
  const classes = logits.dim(-1);
  const rows = reshape(logits, [labels.size, classes]);
  const counts = notEqual(reshape(labels, [labels.size]), ignoreIndex);
  const index = unsqueeze(where(counts, reshape(labels, [labels.size]), 0), -1);
  const loss = customGradient(
    [rows],
    (x) => {
      const logp = logSoftmax(x);
      const picked = squeeze(takeAlongAxis(logp, index), -1);
      const nll =
        labelSmoothing === 0
          ? neg(picked)
          : neg(add(mul(picked, 1 - labelSmoothing), mul(mean(logp, -1), labelSmoothing)));
      return where(counts, nll, 0);
    },
    (gradient) => {
      const weight = unsqueeze(where(counts, gradient, 0), -1);
      const p = mul(softmax(rows), weight);
      const spread = labelSmoothing === 0 ? p : sub(p, mul(weight, labelSmoothing / classes));
      return [scatterAdd(spread, index, mul(weight, labelSmoothing - 1), -1)];
    },
  );
  if (reduction === "none") return reshape(loss, labels.shape);
  return reduction === "sum" ? sum(loss) : div(sum(loss), sum(cast(counts, logits.dtype)));
}

const methods = { softmax, logSoftmax, layerNorm, rmsNorm };
declare module "./tensor.js" {
  interface Tensor extends MethodsOf<typeof methods> {}
}
attachMethods(methods);
