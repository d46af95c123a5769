/**
 * A backend is trusted after it has computed a small program whose numbers are known: engines have given wrong numbers
 * without an error (an output left unwritten, a slice that read backwards wrongly). Forward, backward and updated values
 * are in it, and all must come out. The known numbers come from plain
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
import { checkState, nextState, type Run } from "./state-probe.js";

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
  const state = { moment: draw("moment", [rows, width]), weight: draw("weight", [rows, width]) };
  const fed = { ...arrays, ...state };
  const tensors = Object.fromEntries(
    Object.entries(fed).map(([name, { shape, dtype }]) => [name, leaf(name, shape, dtype)]),
  ) as Record<keyof typeof fed, Tensor>;
  const known = knownValues(tensors, arrays);
  const updates = nextState(tensors.x, tensors);
  const outputs = new Map([...Array.from(known, ([name, { tensor }]) => [name, tensor] as const), ...updates]);
  const { model, inputs } = lower(outputs, "probe", backend.name, { here: true });
  const onDevice = backend.holds("float32") ? [...updates.keys()] : [];
  const session = await backend.createSession(encodeModel(model), { onDevice, simplified: true });
  const upload = () =>
    Object.entries(arrays).map(([name, array]) => [inputs.get(name) as string, backend.upload(array)] as const);
  // All outputs each time: engines that keep some on the device refuse to give a part.
  const run: Run = async (current, spares) => {
    const results = await session.run(new Map([...upload(), ...current]), [...outputs.keys()], spares);
    for (const [name, { expected }] of known)
      check(backend, name, (await (results.get(name) as DeviceArray).read()).toNumbers(), expected.flat());
    return results;
  };
  try {
    await checkState(backend, run, inputs, { ...state, x: arrays.x }, (name, got, expected) =>
      check(backend, name, got.toNumbers(), expected),
    );
  } finally {
    await session.release();
  }
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
  const kernel = w.slice({ axis: 1, end: 3 }).transpose().slice({ axis: 1, end: 3 }).reshape([1, 3, 3]);
  const convolution = x.reshape([1, rows, width]).conv1d(kernel);
  const normed = x.rmsNorm({ eps: 0.1 }).mul(looked).sum();
  return new Map<string, Known>([
    ["matmul", { tensor: logits, expected: Z }],
    [
      "gradient of matmul",
      {
        tensor: grad(logits.square().sum(), [w])[0] as Tensor,
        expected: Array.from({ length: width }, (_, i) =>
          Array.from({ length: classes }, (_, j) =>
            X.reduce((sum, row, n) => sum + 2 * (row[i] as number) * (Z[n]?.[j] as number), 0),
          ),
        ),
      },
    ],
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
    [
      "gradient of layerNorm",
      {
        tensor: grad(x.layerNorm({ eps: 0.1 }).mul(looked).sum(), [x])[0] as Tensor,
        expected: X.map((r, i) => layerGradient(r, T[ids[i] as number] as readonly number[])),
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
    ["conv1d", { tensor: convolution, expected: [convolved(X, W)] }],
    [
      "gradient of conv1d",
      { tensor: grad(convolution.square().sum(), [x])[0] as Tensor, expected: convolutionGradient(X, W) },
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

/** r (g - mean(g) - x̂ mean(g x̂)), r = 1 / standard deviation */
function layerGradient(row: readonly number[], g: readonly number[]): number[] {
  const centred = row.map((v) => v - mean(row));
  const r = inverseRms(centred);
  const share = mean(centred.map((v, j) => (g[j] as number) * v * r));
  return centred.map((v, j) => r * ((g[j] as number) - mean(g) - v * r * share));
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

/** Of the sum of squares: each place gets 2 y times the weight that it met in y. */
const convolutionGradient = (X: Rows, W: Rows): number[][] =>
  X.map((channel, c) =>
    channel.map((_, place) =>
      convolved(X, W).reduce((sum, y, at) => sum + 2 * y * (W.slice(0, 3)[place - at]?.[c] ?? 0), 0),
    ),
  );
