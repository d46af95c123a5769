/**
 * A backend is trusted after it has computed a small program whose numbers are known: engines have given wrong numbers
 * without an error (an output left unwritten, a slice that read backwards wrongly). The known numbers come from plain
 * arithmetic in float64, in this file; each value has a name, so a refusal says what is wrong.
 */
import { encodeModel, lower } from "../compile/lower.js";
import {
  crossEntropy,
  type DeviceArray,
  type DType,
  embedding,
  fail,
  grad,
  input,
  NDArray,
  normalArray,
  type Shape,
  type Tensor,
  where,
} from "../tensor/index.js";
import type { Backend } from "./backend.js";

/** Engines order sums differently; wrong kernels are off by much more. */
const tolerance = 1e-3;

type Rows = readonly (readonly number[])[];

interface Known {
  readonly tensor: Tensor;
  readonly expected: Rows;
}

const [rows, width, classes] = [3, 4, 5] as const;
const ids = [4, 1, 4];

/** Throws a "backend" error naming the first value that is wrong. */
export async function verify(backend: Backend): Promise<void> {
  const draw = (site: string, shape: Shape) => normalArray({ seed: 1, site }, shape);
  const arrays = {
    x: draw("x", [rows, width]),
    w: draw("w", [width, classes]),
    table: draw("table", [classes, width]),
    ids: NDArray.from(ids, "int32"),
  };
  const tensors = Object.fromEntries(
    Object.entries(arrays).map(([name, { shape, dtype }]) => [name, leaf(name, shape, dtype)]),
  ) as Record<keyof typeof arrays, Tensor>;
  const known = knownValues(tensors, arrays);
  const outputs = new Map([...known].map(([name, { tensor }]) => [name, tensor]));
  const { model, inputs } = lower(outputs, "probe", backend.name);
  const session = await backend.createSession(encodeModel(model), { onDevice: [] });
  const feeds = new Map(
    Array.from(inputs, ([name, inner]) => [inner, backend.upload(arrays[name as keyof typeof arrays])]),
  );
  const results = await session.run(feeds, [...outputs.keys()], new Map());
  for (const [name, { expected }] of known)
    check(backend, name, (await (results.get(name) as DeviceArray).read()).toNumbers(), expected.flat());
  await session.release();
}

const leaf = (name: string, shape: Shape, dtype: DType): Tensor => input([], { name, shape, dtype });

function check(
  { name: backend, description: { engine, version } }: Backend,
  name: string,
  got: readonly number[],
  expected: readonly number[],
): void {
  const scale = Math.max(1, ...expected.map(Math.abs));
  const wrong = expected.findIndex((value, i) => !(Math.abs((got[i] ?? Number.NaN) - value) <= tolerance * scale));
  if (wrong < 0) return;
  fail(
    "backend",
    `backend "${backend}" (${engine} ${version}) computes "${name}" wrongly: element ${wrong} is ${got[wrong]}, expected ${expected[wrong]}; use another backend (LAYERWISE_BACKEND) or another version of the engine`,
  );
}

function knownValues(
  { x, w, table, ids: index }: Record<"x" | "w" | "table" | "ids", Tensor>,
  arrays: Record<"x" | "w" | "table", NDArray>,
): Map<string, Known> {
  const [X, W, T] = [matrix(arrays.x), matrix(arrays.w), matrix(arrays.table)];
  const looked = embedding(table, index);
  const logits = x.matmul(w);
  const Z = X.map(
    (row) =>
      W[0]?.map((_, j) =>
        dot(
          row,
          W.map((v) => v[j] as number),
        ),
      ) as number[],
  );
  const P = Z.map(softmax);
  const normed = x.rmsNorm({ eps: 0.1 }).mul(looked).sum();
  return new Map<string, Known>([
    ["matmul", { tensor: logits, expected: Z }],
    ["softmax", { tensor: logits.softmax(), expected: P }],
    [
      "crossEntropy",
      {
        tensor: crossEntropy(logits, index),
        expected: [[mean(P.map((p, i) => -Math.log(p[ids[i] as number] as number)))]],
      },
    ],
    [
      "gradient of crossEntropy",
      {
        tensor: grad(crossEntropy(logits, index), [logits])[0] as Tensor,
        expected: P.map((p, i) => p.map((v, j) => (v - Number(j === ids[i])) / rows)),
      },
    ],
    [
      "layerNorm",
      {
        tensor: x.layerNorm(),
        expected: X.map((r) => r.map((v) => (v - mean(r)) / Math.sqrt(mean(r.map((u) => (u - mean(r)) ** 2)) + 1e-5))),
      },
    ],
    ["rmsNorm", { tensor: x.rmsNorm({ eps: 0.1 }), expected: X.map((r) => r.map((v) => v * inverseRms(r))) }],
    [
      "gradient of rmsNorm",
      {
        tensor: grad(normed, [x])[0] as Tensor,
        expected: X.map((r, i) => rmsGradient(r, T[ids[i] as number] as readonly number[])),
      },
    ],
    ["embedding", { tensor: looked, expected: ids.map((id) => T[id] as readonly number[]) }],
    [
      "gradient of embedding",
      {
        tensor: grad(looked.mul(x).sum(), [table])[0] as Tensor,
        expected: T.map((r, id) =>
          r.map((_, j) => X.reduce((sum, row, i) => sum + (ids[i] === id ? (row[j] as number) : 0), 0)),
        ),
      },
    ],
    [
      "sum over rows",
      {
        tensor: x.sum(0),
        expected: [X[0]?.map((_, j) => X.reduce((sum, r) => sum + (r[j] as number), 0)) as number[]],
      },
    ],
    [
      "gelu",
      {
        tensor: x.gelu({ approximate: "tanh" }),
        expected: X.map((r) =>
          r.map((v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))),
        ),
      },
    ],
    [
      "where and comparison",
      { tensor: where(x.greater(0), x, x.mul(-2)), expected: X.map((r) => r.map((v) => (v > 0 ? v : -2 * v))) },
    ],
    [
      "backward slice",
      { tensor: x.slice({ axis: 1, start: 3, step: -2 }), expected: X.map((r) => [r[3] as number, r[1] as number]) },
    ],
    [
      "transpose and reshape",
      {
        tensor: x.transpose().reshape([2, 6]),
        expected: [X[0]?.flatMap((_, j) => X.map((r) => r[j] as number)) as number[]],
      },
    ],
    [
      "conv1d",
      {
        tensor: x
          .reshape([1, rows, width])
          .conv1d(w.slice({ axis: 1, end: 3 }).transpose().slice({ axis: 1, end: 3 }).reshape([1, 3, 3])),
        expected: [convolved(X, W)],
      },
    ],
  ]);
}

const matrix = ({ shape, data }: NDArray): number[][] => {
  const n = shape.at(-1) as number;
  return Array.from({ length: data.length / n }, (_, i) => Array.from(data.slice(i * n, (i + 1) * n), Number));
};
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, v, i) => sum + v * (b[i] as number), 0);
const inverseRms = (row: readonly number[]): number => 1 / Math.sqrt(mean(row.map((v) => v * v)) + 0.1);

function softmax(row: readonly number[]): number[] {
  const exponentials = row.map((v) => Math.exp(v - Math.max(...row)));
  const total = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((v) => v / total);
}

/** r (g - x̂ mean(g x̂)), r = 1 / rms */
function rmsGradient(row: readonly number[], g: readonly number[]): number[] {
  const r = inverseRms(row);
  const share = mean(row.map((v, j) => (g[j] as number) * v * r));
  return row.map((v, j) => r * ((g[j] as number) - v * r * share));
}

/** Three channels of four places by a kernel of three: two places. The kernel's channel c holds W[0..2][c]. */
const convolved = (X: Rows, W: Rows): number[] =>
  [0, 1].map((at) =>
    X.reduce(
      (sum, channel, c) =>
        sum + [0, 1, 2].reduce((part, k) => part + (channel[at + k] as number) * (W[k]?.[c] as number), 0),
      0,
    ),
  );
