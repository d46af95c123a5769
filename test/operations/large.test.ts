/**
 * Sizes at which an engine changes its method: threads, vectors with a rest, blocked products, partial sorts. Against
 * the plain interpreter, outputs and gradients; every sum over equal indices and every tie at its place.
 */
import { expect, it } from "vitest";
import { compile } from "../../src/runtime/index.js";
import { crossEntropy, embedding, grad, isFloat, NDArray, philoxUniform, type Tensor } from "../../src/tensor/index.js";
import { difference } from "../support/compare.js";
import { toNDArray, type Value } from "../support/interpreter/value.js";
import { feedsOf, interpret } from "../support/interpreter.js";

// Sums of up to a thousand float32 numbers, in whatever order an engine likes.
const tolerance = 2e-5;

const spread = (...shape: number[]): NDArray =>
  new NDArray(
    philoxUniform(
      { seed: 3, site: shape.join() },
      shape.reduce((a, b) => a * b, 1),
    ).map((u) => 2 * u - 1),
    shape,
    "float32",
  );
/** Whole numbers in 0..count-1, so few that most are equal to many others. */
const few = (count: number, ...shape: number[]): NDArray => {
  const uniform = philoxUniform(
    { seed: 4, site: shape.join() },
    shape.reduce((a, b) => a * b, 1),
  );
  return new NDArray(
    Int32Array.from(uniform, (u) => Math.floor(u * count)),
    shape,
    "int32",
  );
};
const tied = (count: number, ...shape: number[]): NDArray => few(count, ...shape).cast("float32");

type Build = (...inputs: Tensor[]) => Tensor;

const cases: readonly (readonly [name: string, inputs: readonly NDArray[], build: Build])[] = [
  ["embedding of many equal ids", [spread(7, 33), few(7, 64, 16)], (w, ids) => embedding(w as Tensor, ids as Tensor)],
  ["indexAdd into few rows", [spread(5, 65), few(5, 700), spread(700, 65)], (x, i, u) => x.indexAdd(i, u)],
  ["scatterAdd into few places", [spread(40, 3), few(3, 40, 300), spread(40, 300)], (x, i, u) => x.scatterAdd(i, u, 1)],
  [
    "scatterAdd along the first axis",
    [spread(3, 40), few(3, 300, 40), spread(300, 40)],
    (x, i, u) => x.scatterAdd(i, u, 0),
  ],
  ["gather of repeated columns", [spread(65, 9), few(9, 500)], (x, i) => x.gather(i, 1)],
  ["takeAlongAxis", [spread(65, 9), few(9, 65, 200)], (x, i) => x.takeAlongAxis(i, 1)],
  ["argmax takes the first of equals", [tied(4, 37, 1031)], (x) => x.argmax(1)],
  ["argmax over rows takes the first of equals", [tied(4, 1031, 37)], (x) => x.argmax(0)],
  ["argmin takes the first of equals", [tied(4, 37, 1031)], (x) => x.argmin(-1)],
  ["argmax of integers", [few(4, 37, 1031)], (x) => x.argmax(-1)],
  ["sort keeps the order of equals", [tied(9, 17, 999)], (x) => x.sort(-1).indices],
  ["descending sort keeps the order of equals", [tied(9, 17, 999)], (x) => x.sort(-1, { descending: true }).indices],
  ["topK of a few", [tied(50, 17, 999)], (x) => x.topK(5).indices],
  ["topK of half", [tied(50, 17, 999)], (x) => x.topK(500).indices],
  ["topK of one", [tied(50, 999, 17)], (x) => x.topK(1, { axis: 0, largest: false }).indices],
  ["topK values", [spread(17, 999)], (x) => x.topK(40).values],
  ["max shares its gradient among equals", [tied(4, 37, 1031)], (x) => x.max(1)],
  ["max over all", [spread(61, 257)], (x) => x.max()],
  ["sum over the first axis", [spread(1031, 37)], (x) => x.sum(0)],
  ["sum over the middle", [spread(17, 131, 19)], (x) => x.sum(1)],
  ["sum over outer axes", [spread(17, 131, 19)], (x) => x.sum([0, 2])],
  ["mean over all", [spread(61, 257)], (x) => x.mean()],
  ["variance", [spread(61, 257)], (x) => x.variance(0)],
  ["logSumExp", [spread(61, 257)], (x) => x.mul(20).logSumExp(1)],
  ["prod", [spread(129, 9)], (x) => x.add(1.2).prod(1)],
  ["cumsum", [spread(61, 257)], (x) => x.cumsum(1)],
  ["reverse cumsum", [spread(257, 61)], (x) => x.cumsum(0, { reverse: true, exclusive: true })],
  ["softmax", [spread(61, 1031)], (x) => x.mul(10).softmax()],
  ["softmax over the first axis", [spread(1031, 31)], (x) => x.mul(10).softmax(0)],
  ["logSoftmax", [spread(61, 1031)], (x) => x.mul(10).logSoftmax()],
  ["layerNorm", [spread(61, 1031), spread(1031), spread(1031)], (x, weight, bias) => x.layerNorm({ weight, bias })],
  ["layerNorm over two axes", [spread(61, 13, 31), spread(13, 31)], (x, weight) => x.layerNorm({ axes: 2, weight })],
  ["rmsNorm", [spread(61, 1031), spread(1031)], (x, weight) => x.rmsNorm({ weight })],
  [
    "crossEntropy",
    [spread(200, 97), few(97, 200)],
    (x, labels) => crossEntropy(x.mul(5), labels, { labelSmoothing: 0.1 }),
  ],
  ["matmul", [spread(65, 129), spread(129, 67)], (a, b) => a.matmul(b)],
  ["matmul of a long inner axis", [spread(5, 1031), spread(1031, 3)], (a, b) => a.matmul(b)],
  ["matmul of a batch", [spread(9, 33, 17), spread(9, 17, 35)], (a, b) => a.matmul(b)],
  ["matmul of a broadcast batch", [spread(5, 1, 33, 17), spread(3, 17, 9)], (a, b) => a.matmul(b)],
  ["elementwise with a rest", [spread(61, 257)], (x) => x.tanh().add(x.sigmoid()).mul(x.erf()).add(x.mul(3).exp())],
  ["gelu with a rest", [spread(61, 257)], (x) => x.mul(4).gelu()],
  ["broadcast of rows", [spread(61, 257), spread(257)], (x, y) => x.mul(y).sub(y)],
  ["broadcast of columns", [spread(61, 257), spread(61, 1)], (x, y) => x.div(y.square().add(1))],
  ["broadcast inside", [spread(13, 1, 31), spread(17, 1)], (x, y) => x.mul(y)],
  ["transpose", [spread(13, 31, 7, 9)], (x) => x.transpose([2, 0, 3, 1]).mul(2)],
  ["conv2d", [spread(3, 17, 13, 11), spread(19, 17, 3, 3)], (x, w) => x.conv2d(w, { padding: 1 })],
  [
    "conv2d with a stride",
    [spread(3, 17, 14, 11), spread(19, 17, 3, 3)],
    (x, w) => x.conv2d(w, { padding: 1, stride: 2 }),
  ],
  ["conv2d in groups", [spread(3, 18, 9, 11), spread(12, 6, 3, 3)], (x, w) => x.conv2d(w, { padding: 1, groups: 3 })],
  [
    "conv2d depth-wise",
    [spread(3, 33, 13, 11), spread(33, 1, 3, 3)],
    (x, w) => x.conv2d(w, { padding: 1, groups: 33 }),
  ],
  ["conv2d of points", [spread(3, 33, 9, 7), spread(17, 33, 1, 1)], (x, w) => x.conv2d(w)],
  [
    "convTranspose2d",
    [spread(2, 9, 7, 5), spread(9, 17, 4, 4)],
    (x, w) => x.convTranspose2d(w, { stride: 2, padding: 1 }),
  ],
  ["maxPool2d", [spread(3, 17, 33, 29)], (x) => x.maxPool2d({ kernel: 3, stride: 2, padding: 1 })],
  ["maxPool2d takes the first of equals", [tied(3, 3, 17, 33, 29)], (x) => x.maxPool2d({ kernel: 2 })],
  [
    "averagePool2d",
    [spread(3, 17, 33, 29)],
    (x) => x.averagePool2d({ kernel: 3, stride: 2, padding: 1, countIncludePad: false }),
  ],
  ["resize", [spread(2, 5, 17, 13)], (x) => x.resize({ size: [29, 31], mode: "bicubic" })],
];

it.each(cases)("%s", async (_, arrays, build) => {
  const feeds = Object.fromEntries(arrays.map((array, i) => [`input${i}`, array]));
  const expected = new Map<string, NDArray>();
  const program = compile(
    (named) => {
      const inputs = arrays.map((_, i) => named[`input${i}`] as Tensor);
      const output = build(...inputs);
      const wanted = inputs.filter(({ dtype }) => isFloat(dtype));
      const loss = () => output.mul(output.add(0.5)).mean();
      const results = [output, ...(isFloat(output.dtype) ? grad(loss(), wanted) : [])];
      const values = interpret(results, feedsOf(inputs.map((x, i) => [x, arrays[i] as NDArray])));
      for (const [i, tensor] of results.entries()) expected.set(`${i}`, toNDArray(values[i] as Value, tensor.dtype));
      return Object.fromEntries(results.map((tensor, i) => [`${i}`, tensor]));
    },
    { backend: "cpu", threads: 4 },
  );
  const found = await program(feeds);
  await program.release();
  const problems = [...expected].map(([name, array]) => difference(found[name] as NDArray, array, tolerance, 1e-6));
  expect(problems.filter(Boolean)).toEqual([]);
});
