/** Random graphs of operations: the engine agrees with the plain interpreter, with passes on and with passes off. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { compile } from "../../src/runtime/index.js";
import { concat, grad, NDArray, philoxUniform, type Tensor, where } from "../../src/tensor/index.js";
import { difference } from "../support/compare.js";
import { toNDArray, type Value } from "../support/interpreter/value.js";
import { feedsOf, interpret } from "../support/interpreter.js";

/** A step of a graph: which operation, and which of the tensors made so far it reads (counted from the last). */
interface Step {
  readonly operation: number;
  readonly first: number;
  readonly second: number;
}

type Make = (a: Tensor, b: Tensor) => Tensor;

/** Operations that keep values of a moderate size, on any shapes: what does not fit is made to fit first. */
const makers: readonly Make[] = [
  (a, b) => a.add(matched(b, a)),
  (a, b) => a.sub(matched(b, a)),
  (a, b) => a.mul(matched(b, a).tanh()),
  (a, b) => a.div(matched(b, a).square().add(1)),
  (a, b) => a.maximum(matched(b, a).mul(0.7)),
  (a, b) => where(matched(b, a).greater(0.1), a, matched(b, a)),
  (a) => a.tanh(),
  (a) => a.sigmoid(),
  (a) => a.gelu(),
  (a) => a.silu(),
  (a) => a.relu().add(0),
  (a) => a.neg().neg().mul(1),
  (a) => a.square().add(0.5).log(),
  (a) => a.clamp({ min: -0.8, max: 0.9 }),
  (a) => a.softmax(-1),
  (a) => a.logSoftmax(-1).mul(0.2),
  (a) => a.layerNorm({ eps: 0.1 }),
  (a) => a.rmsNorm({ eps: 0.1 }),
  (a) => a.sub(a.mean(-1, { keepDims: true })),
  (a) => a.add(a.max(0, { keepDims: true }).mul(0.1)),
  (a) => a.mul(0.5).logSumExp(-1, { keepDims: true }).add(a.mul(0.1)),
  (a) => a.cumsum(0).mul(0.3),
  (a) => a.transpose().transpose(),
  (a) => a.reshape([-1]).reshape(a.shape),
  (a) => a.flip(0).roll(1, -1),
  (a) => concat([a.slice({ end: 1 }), a], 0).slice({ start: 1 }),
  (a) => a.pad([[1, 0]], { value: 0.25 }).slice({ axis: -1, start: 1 }),
  (a) => a.sort(-1).values,
  (a, b) =>
    matrix(a).matmul(
      matrix(b)
        .transpose()
        .matmul(matrix(b))
        .mul(0.1)
        .slice({ axis: 0, end: 1 })
        .sum()
        .mul(0.1)
        .expand([matrix(a).dim(-1), 3]),
    ),
  (a) => matrix(a).matmul(matrix(a).transpose()).mul(0.2),
];

const matrix = (x: Tensor): Tensor => x.reshape([-1, x.dim(-1)]);
/** b cut or repeated to broadcast against a: its mean over all but nothing keeps the graph connected. */
const matched = (b: Tensor, a: Tensor): Tensor => (b.shape.join() === a.shape.join() ? b : b.mean().expand(a.shape));

const shapes = [[4], [3, 5], [2, 3, 4], [1, 6], [5, 1]] as const;

function grow(steps: readonly Step[], inputs: readonly Tensor[]): Tensor[] {
  const made = [...inputs];
  for (const { operation, first, second } of steps) {
    const pick = (back: number) => made[made.length - 1 - (back % made.length)] as Tensor;
    made.push((makers[operation % makers.length] as Make)(pick(first), pick(second)));
  }
  const last = made.at(-1) as Tensor;
  return [last, ...grad(last.tanh().sum(), inputs)];
}

const step = fc.record({ operation: fc.nat(makers.length - 1), first: fc.nat(3), second: fc.nat(5) });
const graph = fc.record({
  shape: fc.constantFrom(...shapes),
  seed: fc.nat(1000),
  steps: fc.array(step, { minLength: 1, maxLength: 12 }),
});

it("random graphs and their gradients agree between passes on, passes off and a plain evaluation", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(graph, { minLength: 12, maxLength: 12 }), async (graphs) => {
      const feeds: Record<string, NDArray> = {};
      for (const [g, { shape, seed }] of graphs.entries())
        for (const i of [0, 1]) {
          const size = shape.reduce<number>((a, b) => a * b, 1);
          feeds[`${g}/${i}`] = new NDArray(
            philoxUniform({ seed, site: `input ${i}` }, size).map((u) => 2 * u - 1),
            shape,
            "float32",
          );
        }
      const expected = new Map<string, NDArray>();
      const build = (inputs: Readonly<Record<string, Tensor>>) => {
        const outputs: Record<string, Tensor> = {};
        for (const [g, { steps }] of graphs.entries())
          for (const [k, tensor] of grow(steps, [inputs[`${g}/0`] as Tensor, inputs[`${g}/1`] as Tensor]).entries())
            outputs[`${g}:${k}`] = tensor;
        const names = Object.keys(outputs);
        const values = interpret(
          Object.values(outputs),
          feedsOf(Object.entries(inputs).map(([name, x]) => [x, feeds[name] as NDArray])),
        );
        for (const [i, name] of names.entries()) expected.set(name, toNDArray(values[i] as Value, "float32"));
        return outputs;
      };
      for (const passes of [true, false]) {
        const program = compile(build, { passes, backend: "cpu" });
        const results = await program(feeds);
        await program.release();
        // Twelve operations in a row on float32, some of which divide by small numbers.
        const problems = [...expected].map(([name, array]) =>
          `${name} ${difference(results[name] as NDArray, array, 2e-4, 0.1)}`.trim(),
        );
        expect(problems.filter((text) => text.includes(" "))).toEqual([]);
      }
    }),
    { numRuns: 25, seed: 20261125 },
  );
});
