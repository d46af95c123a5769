/**
 * Graphs of operations grown from numbers: a step names an operation, the tensors it reads and a number from which it
 * takes its axis and options. Every step is possible on every tensor (what does not fit is made to fit), so that a
 * failing graph can be shrunk step by step.
 */
import {
  concat,
  constant,
  crossEntropy,
  customGradient,
  einsum,
  linear,
  NDArray,
  oneHot,
  stack,
  stopGradient,
  straightThrough,
  type Tensor,
  where,
} from "../../src/tensor/index.js";

export interface Step {
  readonly operation: number;
  /** Which of the tensors made so far are read, counted from the last. */
  readonly first: number;
  readonly second: number;
  readonly choice: number;
}

type Make = (a: Tensor, b: Tensor, n: number) => Tensor;

/** More elements than this are averaged away: the interpreter is slow, and errors grow with every sum. */
const largest = 96;

const axisOf = (x: Tensor, n: number): number => (n % x.rank) - (n % 2 === 0 ? 0 : x.rank);
const pick = <T>(options: readonly T[], n: number): T => options[n % options.length] as T;

/** b with the axes averaged that do not broadcast against a. */
function beside(b: Tensor, a: Tensor): Tensor {
  const extra = Math.max(0, b.rank - a.rank);
  const wrong = b.shape.flatMap((m, i) => {
    const n = i < extra ? 1 : (a.shape[i - b.rank + a.rank] as number);
    return i < extra || (m !== n && m !== 1 && n !== 1) ? [i] : [];
  });
  const fits = b.mean(wrong, { keepDims: true });
  const size = (x: Tensor) => a.shape.reduce((p, n, i) => p * Math.max(n, x.shape[i - a.rank + x.rank] ?? 1), 1);
  return size(fits) <= largest ? fits : b.mean();
}

/** Different numbers at different places, of no pattern: keeps a maximum or an order from being a tie. */
const ramp = (x: Tensor): Tensor =>
  constant(
    NDArray.from(
      Array.from({ length: x.size }, (_, i) => ((i * Math.SQRT2) % 1) - 0.5),
      "float32",
      x.shape,
    ),
  );
const apart = (x: Tensor): Tensor => x.add(ramp(x));
const indices = (x: Tensor, length: number, shape: readonly number[]): Tensor =>
  constant(
    NDArray.from(
      Array.from({ length: shape.reduce((p, n) => p * n, 1) }, (_, i) => (i * 7 + x.size) % length),
      "int32",
      shape,
    ),
  );

const matrix = (x: Tensor): Tensor => x.reshape([-1, x.dim(-1)]);
/** [1, channels, length] */
const signal = (x: Tensor): Tensor => x.reshape([1, -1, x.dim(-1)]);

const elementwise: readonly Make[] = [
  (a, b) => a.add(beside(b, a)),
  (a, b) => beside(b, a).sub(a),
  (a, b) => a.mul(beside(b, a).tanh()),
  (a, b) => a.div(beside(b, a).square().add(1)),
  (a, b) => beside(b, a).div(a.abs().add(1)),
  (a, b) => apart(a).maximum(beside(b, a)),
  (a, b) => beside(b, a).minimum(apart(a)),
  (a, b) => a.abs().add(0.5).pow(beside(b, a).tanh()),
  (a, _, n) =>
    a
      .square()
      .add(0.3)
      .pow(pick([0.5, 1, 2, -1], n)),
  (a, b) => apart(a).mod(beside(b, a).square().add(2)),
  (a, b) => where(beside(b, a).greater(0.123), a, 0.25),
  (a, b) => where(apart(a).less(beside(b, a)).or(a.lessEqual(-0.321)), a, beside(b, a)),
  (a, _, n) => pick([a.tanh(), a.sigmoid(), a.softplus(), a.silu()], n),
  (a, _, n) => pick([a.sin(), a.cos(), a.atan(), a.erf()], n),
  (a, _, n) => pick([a.gelu(), a.gelu({ approximate: "tanh" }), apart(a).relu(), apart(a).abs()], n),
  (a, _, n) => pick([a.square().add(0.5).log(), a.square().add(0.5).sqrt(), a.square().add(0.5).rsqrt()], n),
  (a, _, n) => pick([a.tanh().exp(), a.abs().add(1).reciprocal(), a.neg().neg(), a.mul(1).add(0)], n),
  (a, _, n) => apart(a).clamp(pick([{ min: -0.8 }, { max: 0.9 }, { min: -0.5, max: 0.5 }], n)),
  (a, _, n) => a.add(pick([apart(a).mul(3).round(), apart(a).mul(3).floor(), apart(a).sign()], n).mul(0.1)),
];

const reductions: readonly Make[] = [
  (a, _, n) => a.sum(axisOf(a, n), { keepDims: n % 3 > 0 }).mul(0.3),
  (a, _, n) => a.sub(a.mean(axisOf(a, n), { keepDims: true })),
  (a, _, n) => a.mul(a.variance(axisOf(a, n), { keepDims: true }).add(0.5).rsqrt()),
  (a, _, n) => a.add(apart(a).max(axisOf(a, n), { keepDims: true })).mul(0.5),
  (a, _, n) => apart(a).min(axisOf(a, n), { keepDims: n % 3 > 0 }),
  (a, _, n) =>
    a
      .tanh()
      .add(0.1)
      .prod(axisOf(a, n), { keepDims: n % 3 > 0 }),
  (a, _, n) => a.logSumExp(axisOf(a, n), { keepDims: n % 3 > 0 }).mul(0.5),
  (a, _, n) => a.square().add(0.01).sqrt().add(0.1).norm(axisOf(a, n), { keepDims: true }).mul(0.5),
  (a, _, n) => a.cumsum(axisOf(a, n), { reverse: n % 3 === 0, exclusive: n % 4 === 0 }).mul(0.3),
  (a, _, n) => apart(a).sort(axisOf(a, n), { descending: n % 3 === 0 }).values,
  (a, _, n) => apart(a).topK(1 + (n % a.dim(axisOf(a, n))), { axis: axisOf(a, n), largest: n % 3 === 0 }).values,
  (a, _, n) => pick([a.softmax(axisOf(a, n)), a.logSoftmax(axisOf(a, n)).mul(0.2)], n),
  (a, _, n) => a.layerNorm({ eps: 0.1, axes: 1 + (n % a.rank) }),
  (a, b) =>
    a.layerNorm({
      eps: 0.1,
      weight: b.mean().expand([a.dim(-1)]),
      bias: ramp(a.slice({ end: 1 }))
        .mean()
        .expand([a.dim(-1)]),
    }),
  (a, b) => a.rmsNorm({ eps: 0.1, weight: b.mean().expand([a.dim(-1)]) }),
  (a, _, n) =>
    oneHot(apart(a).argmax(axisOf(a, n)), a.dim(axisOf(a, n)))
      .mean()
      .mul(a),
  (a, _, n) =>
    crossEntropy(matrix(a), indices(a, a.dim(-1), [matrix(a).dim(0)]), { labelSmoothing: pick([0, 0.1], n) }).mul(a),
];

const movements: readonly Make[] = [
  (a) => a.transpose(),
  (a, _, n) => a.swapAxes(0, axisOf(a, n)),
  (a) => a.reshape([-1]).reshape(a.shape),
  (a) => a.reshape([-1]),
  (a, _, n) => a.unsqueeze(axisOf(a, n)).squeeze(),
  (a, _, n) => a.flip(axisOf(a, n)).roll(n % 5, -1),
  (a, _, n) => concat([a.slice({ axis: axisOf(a, n), end: 1 }), a], axisOf(a, n)),
  (a, _, n) => concat(a.split(1 + (n % a.dim(axisOf(a, n))), axisOf(a, n)).toReversed(), axisOf(a, n)),
  (a) => stack([a, a.tanh()], 1).mean(0),
  (a, _, n) => a.slice({ axis: axisOf(a, n), step: pick([1, 2, -1, -2], n) }),
  (a, _, n) => a.slice({ axis: axisOf(a, n), start: n % a.dim(axisOf(a, n)) }),
  (a, _, n) => a.pad([[1, n % 2]], { value: 0.25 }),
  (a, _, n) => a.pad([[0, pick([1, 2], n)]], { mode: "edge" }),
  (a) => a.pad([[a.dim(-1) - 1, 0]], { mode: "reflect" }).slice({ axis: -1, end: a.dim(-1) }),
  (a, _, n) => pick([matrix(a).tril((n % 3) - 1), matrix(a).triu((n % 3) - 1)], n),
  (a) => a.mean(0, { keepDims: true }).expand(a.shape),
  (a, _, n) => a.gather(indices(a, a.dim(axisOf(a, n)), [3]), axisOf(a, n)),
  (a, _, n) => a.gather(indices(a, a.dim(axisOf(a, n)), []).sub(a.dim(axisOf(a, n))), axisOf(a, n)),
  (a, _, n) => a.takeAlongAxis(indices(a, a.dim(axisOf(a, n)), a.shape), axisOf(a, n)),
  (a, b, n) =>
    a.scatterAdd(indices(a, a.dim(axisOf(a, n)), a.shape), b.mean().expand(a.shape).mul(ramp(a)), axisOf(a, n)),
  (a) => a.indexAdd(indices(a, a.dim(0), [2]), a.gather(indices(a, a.dim(0), [2])).mul(0.5)),
];

const products: readonly Make[] = [
  (a) => matrix(a).matmul(matrix(a).transpose()).mul(0.2),
  (a) => matrix(a).transpose().matmul(matrix(a)).mul(0.2),
  (a, b) =>
    matrix(a).matmul(
      b
        .mean()
        .mul(ramp(matrix(a).transpose()))
        .slice({ axis: 1, end: 2 }),
    ),
  (a) =>
    stack([matrix(a), matrix(a).tanh()])
      .matmul(matrix(a).transpose())
      .mul(0.3),
  (a) =>
    matrix(a)
      .unsqueeze(0)
      .matmul(stack([matrix(a), matrix(a).sin()]).swapAxes(1, 2))
      .mul(0.3),
  (a) => a.matmul(a.reshape([-1]).slice({ end: a.dim(-1) })).mul(0.4),
  (a, b) =>
    linear(a, ramp(a.reshape([-1, a.dim(-1)])).mul(b.mean()), ramp(matrix(a).slice({ axis: 1, end: 1 }).reshape([-1]))),
  (a) => einsum("ij,kj,k->i", matrix(a), matrix(a).tanh(), matrix(a).mean(1)).mul(0.3),
  (a, b) =>
    signal(a).conv1d(
      b
        .mean()
        .mul(ramp(signal(a).slice({ axis: -1, end: 1 })))
        .pad([[1, 1]], { mode: "edge" }),
      { padding: 1, stride: 1 },
    ),
  (a) =>
    signal(a)
      .conv1d(signal(a).swapAxes(0, 1).slice({ axis: -1, end: 1 }), { groups: signal(a).dim(1), stride: 2 })
      .mul(0.5),
  (a, b) =>
    signal(a).convTranspose1d(
      ramp(signal(a).slice({ axis: -1, end: 1 }))
        .swapAxes(0, 1)
        .mul(b.mean()),
      { stride: 2, outputPadding: 1 },
    ),
  (a) =>
    apart(signal(a))
      .pad([[0, 1]])
      .maxPool1d({ kernel: 2, stride: 1 }),
  (a, _, n) =>
    signal(a)
      .pad([[0, 1]])
      .averagePool1d({ kernel: 2, stride: 1, padding: 1, countIncludePad: n % 2 === 0 }),
  (a) =>
    signal(a)
      .unsqueeze(0)
      .resize({ size: [2, 3], mode: "bilinear" }),
];

/** Known factors and weights, which an engine folds into their neighbours. */
const constants: readonly Make[] = [
  (a) => a.mul(ramp(a.slice({ axis: 0, end: 1 }))),
  (a) => a.add(ramp(a.slice({ axis: -1, end: 1 }))),
  (a) => ramp(a).sub(a.mul(0.5)).div(1.5),
  (a) => a.div(2).mul(3).sub(1).neg(),
  (a) =>
    matrix(a)
      .matmul(ramp(matrix(a)).transpose())
      .mul(0.5),
  (a) =>
    linear(
      a,
      ramp(
        stack([
          a
            .reshape([-1, a.dim(-1)])
            .slice({ end: 1 })
            .squeeze(0),
          a
            .reshape([-1, a.dim(-1)])
            .slice({ end: 1 })
            .squeeze(0),
        ]),
      ),
    ),
  (a) =>
    signal(a)
      .conv1d(ramp(signal(a).slice({ axis: -1, end: 1 })), { padding: 0 })
      .mul(ramp(signal(a).slice({ axis: -1, end: 1 }).slice({ axis: 1, end: 1 }))),
  (a) =>
    signal(a)
      .conv1d(ramp(signal(a).swapAxes(0, 1)), { groups: signal(a).dim(1), padding: [[signal(a).dim(-1) - 1, 0]] })
      .add(ramp(signal(a).slice({ axis: -1, end: 1 }))),
  (a) =>
    signal(a)
      .conv1d(ramp(signal(a).slice({ axis: -1, end: 1 })))
      .relu(),
];

/** Shapes and orders that an engine carries through its neighbours. */
const layouts: readonly Make[] = [
  (a) => signal(a).transpose([0, 2, 1]),
  (a) => signal(a).transpose([2, 0, 1]),
  (a) => a.unsqueeze(0).unsqueeze(-1),
  (a) =>
    a
      .unsqueeze(0)
      .expand([2, ...a.shape])
      .mean(0),
  (a) => a.cast("float64").cast("float32"),
  (a) => a.cast("int32").cast("float32").mul(0.25).add(a),
];

const steering: readonly Make[] = [
  (a) => a.add(stopGradient(a.tanh())),
  (a) => straightThrough(apart(a).mul(2).round().mul(0.5), a),
  (a) =>
    customGradient(
      [a],
      (x) => x.sin(),
      (g) => [g.mul(a.cos()).mul(2)],
    ),
];

export const makers: readonly Make[] = [
  ...elementwise,
  ...reductions,
  ...movements,
  ...products,
  ...constants,
  ...layouts,
  ...steering,
];

/** An operation's own code, on one line: the best name it has. */
export const makerName = (operation: number): string =>
  String(makers[operation])
    .replace(/__vi_\w+__\./g, "")
    .replace(/\s+/g, " ");

/** At least an axis, and not too large. */
function kept(x: Tensor): Tensor {
  if (x.rank === 0) return x.reshape([1]);
  if (x.rank > 4) return kept(x.flatten(0, 1));
  return x.size <= largest ? x : kept(x.mean(x.shape.indexOf(Math.max(...x.shape))));
}

/** The tensor made by the last step. */
export function growGraph(steps: readonly Step[], inputs: readonly Tensor[]): Tensor {
  const made = [...inputs];
  for (const { operation, first, second, choice } of steps) {
    const [a, b] = [first, second].map((back) => made[made.length - 1 - (back % made.length)] as Tensor) as [
      Tensor,
      Tensor,
    ];
    made.push(kept((makers[operation % makers.length] as Make)(a, b, choice)));
  }
  return made.at(-1) as Tensor;
}
