/** Lion, Muon and averaged weights: the papers' numbers step by step, resuming, freezing, what is refused. */
import { describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { gpt } from "../../src/models/index.js";
import { freeze } from "../../src/nn/index.js";
import {
  adamW,
  type Ema,
  type EmaOptions,
  ema,
  isHiddenMatrix,
  lion,
  muon,
  type Optimizer,
  sgd,
} from "../../src/optim/index.js";
import { compile } from "../../src/runtime/index.js";
import { NDArray, type Tensor, Variable } from "../../src/tensor/index.js";
import { difference } from "../support/compare.js";
import { goldenPath } from "../support/golden.js";

const makers = { lion, muon, adamW };

interface UpdateCase {
  readonly optimizer: keyof typeof makers;
  readonly options: { readonly learningRate: number };
  readonly ema?: EmaOptions;
  readonly steps: number;
  readonly parameters: number;
}

/** A program that takes the gradients g0, g1, … and updates. */
const stepOf = (variables: readonly Variable[], optimizer: Optimizer) =>
  compile((gradients: Readonly<Record<string, Tensor>>) => {
    optimizer.update(variables.map((_, i) => gradients[`g${i}`] as Tensor));
    return {};
  });

describe("reference", async () => {
  const { tensors, metadata } = await readSafetensors(goldenPath("optimizers/lion-muon-ema.safetensors"));
  const cases = Object.entries(metadata).map(([name, text]) => ({ name, ...(JSON.parse(text) as UpdateCase) }));
  const get = (name: string) => tensors.get(name) as NDArray;

  it.each(cases)("$name", async ({ name, optimizer: kind, options, ema: averaging, steps, parameters: count }) => {
    const variables = Array.from({ length: count }, (_, i) => new Variable(get(`${name}.start.${i}`)));
    const inner = makers[kind](variables, options);
    const optimizer = averaging ? ema(inner, averaging) : inner;
    const program = stepOf(variables, optimizer);
    for (let step = 0; step < steps; step++) {
      await program(Object.fromEntries(variables.map((_, i) => [`g${i}`, get(`${name}.gradient.${step}.${i}`)])));
      const averages = averaging ? [...(await (optimizer as Ema).stateDict()).values()] : undefined;
      for (const [i, variable] of variables.entries()) {
        const what = `step ${step}, parameter ${i}`;
        expect(difference(await variable.data(), get(`${name}.parameter.${step}.${i}`), 1e-5), what).toBe("");
        if (averages)
          expect(difference(averages[i] as NDArray, get(`${name}.average.${step}.${i}`), 1e-5), what).toBe("");
      }
    }
    await program.release();
  });
});

const values = [
  [
    [1, -2, 3],
    [0.5, 0, -1],
  ],
  [0.25, -4],
];
const gradients = {
  g0: [
    [1, 0.5, -1],
    [2, -0.1, 0.3],
  ],
  g1: [0.2, -0.7],
};
const fresh = () => values.map((value, i) => new Variable(value, { name: `layer.${["weight", "bias"][i]}` }));
/** Elements of all state but the step counters. */
const momentsOf = (optimizer: Optimizer): number =>
  [...optimizer.state()].reduce((sum, [name, { size }]) => sum + (/(^|\.)step$/.test(name) ? 0 : size), 0);
const numbers = async (variables: Iterable<Variable>): Promise<number[][]> =>
  Promise.all(Array.from(variables, async (variable) => (await variable.data()).toNumbers()));

describe.each<[string, (parameters: Variable[]) => Optimizer]>([
  ["lion", (parameters) => lion(parameters, { learningRate: 0.1, weightDecay: 0.1 })],
  ["muon", (parameters) => muon(parameters, { learningRate: 0.1 })],
  ["ema", (parameters) => ema(lion(parameters, { learningRate: 0.1 }), { decay: 0.7, warmup: true })],
])("%s", (kind, make) => {
  it("goes on bit for bit from its state", async () => {
    const whole = fresh();
    const first = make(whole);
    const program = stepOf(whole, first);
    for (let i = 0; i < 3; i++) await program(gradients);
    const again = fresh();
    const second = make(again);
    expect([...second.state().keys()]).toEqual([...first.state().keys()]);
    for (const [i, variable] of whole.entries()) (again[i] as Variable).set(await variable.data());
    for (const [name, variable] of first.state()) (second.state().get(name) as Variable).set(await variable.data());
    const resumed = stepOf(again, second);
    for (const each of [program, resumed]) for (let i = 0; i < 2; i++) await each(gradients);
    expect(await numbers(again)).toEqual(await numbers(whole));
    expect(await numbers(second.state().values())).toEqual(await numbers(first.state().values()));
    await Promise.all([program.release(), resumed.release()]);
  });

  it("keeps no state for what is frozen", () => {
    const model = gpt({ layers: 1, width: 8, heads: 1, vocabulary: 11, context: 4, mlp: "gelu" });
    freeze(model, "model.embed_tokens");
    freeze(model, "**.mlp.**");
    const before = momentsOf(make(model.parameters()));
    freeze(model, "**.self_attn.**");
    expect(before - momentsOf(make(model.parameters()))).toBe(4 * 64 * (kind === "ema" ? 2 : 1)); // a moment, and the average, of four matrices
  });
});

describe("muon", () => {
  it("takes hidden matrices, and leaves embeddings, the head, gains and biases to AdamW", () => {
    const model = gpt({
      layers: 1,
      width: 200,
      heads: 1,
      vocabulary: 100,
      context: 100,
      positions: "learned",
      bias: true,
      norm: "layer",
    });
    const names = [...muon(model.parameters(), { learningRate: 0.1 }).state().keys()];
    const hidden = names.filter((name) => name.endsWith(".momentum"));
    expect(hidden).toHaveLength(7);
    expect(hidden.every((name) => /_proj\.weight\.momentum$/.test(name))).toBe(true);
    for (const path of ["model.embed_tokens.weight", "model.embed_positions.weight", "lm_head.weight"])
      expect(names).toContain(`adamW.${path}.M`);
  });

  it("asks the predicate where one is given", () => {
    const parameters = fresh();
    const names = [
      ...muon(parameters, { learningRate: 0.1, matrices: () => false })
        .state()
        .keys(),
    ];
    expect(names.filter((name) => !name.startsWith("adamW."))).toEqual([]);
    expect(isHiddenMatrix("blocks.0.conv.weight", [8, 3, 3, 3])).toBe(true);
    expect(isHiddenMatrix("head.weight", [8, 3])).toBe(false);
  });

  it("moves a matrix by about the learning rate in every direction, however lopsided the gradient", async () => {
    const weight = new Variable(NDArray.zeros([2, 3]), { name: "weight" });
    const program = stepOf([weight], muon([weight], { learningRate: 1, weightDecay: 0 }));
    await program({
      g0: [
        [1000, 0, 0],
        [0, 0, 1],
      ],
    });
    const [a, , , , , b] = (await weight.data()).toNumbers() as number[];
    expect(Math.abs(a as number)).toBeGreaterThan(0.5);
    expect(Math.abs(b as number)).toBeGreaterThan(0.3); // five steps raise 0.001 by 3.4445⁵
    await program.release();
  });
});

describe("ema", () => {
  it("swaps the averages in and back out, and gives them by path", async () => {
    const parameters = fresh();
    const optimizer = ema(sgd(parameters, { learningRate: 0.5 }), { decay: 0.75 });
    await optimizer.swap(); // before the first update the average is the weights
    expect(await numbers(parameters)).toEqual(values.map((value) => value.flat()));
    const program = stepOf(parameters, optimizer);
    await program(gradients);
    const trained = await numbers(parameters);
    const averaged = await optimizer.stateDict();
    expect([...averaged.keys()]).toEqual(["layer.weight", "layer.bias"]);
    const expected = trained.map((row, i) =>
      row.map((x, j) => 0.75 * ((values[i] as number[][]).flat()[j] as number) + 0.25 * x),
    );
    for (const [i, array] of [...averaged.values()].entries())
      expect(difference(array, NDArray.from(expected[i] as number[], "float32", array.shape), 1e-6)).toBe("");
    await optimizer.swap();
    expect(await numbers(parameters)).toEqual([...averaged.values()].map((array) => array.toNumbers()));
    await optimizer.swap();
    expect(await numbers(parameters)).toEqual(trained);
    await program.release();
  });

  it("starts from weights that were loaded after it was made", async () => {
    const parameters = fresh();
    const optimizer = ema(sgd(parameters, { learningRate: 0 }), { decay: 0.9 });
    for (const variable of parameters)
      variable.set(NDArray.from(new Float32Array(variable.size).fill(7), "float32", variable.shape));
    const program = stepOf(parameters, optimizer);
    await program(gradients);
    for (const array of (await optimizer.stateDict()).values())
      expect(array.toNumbers()).toEqual(array.toNumbers().map(() => 7));
    await program.release();
  });
});

const one = () => [new Variable([[1, 2]], { name: "weight" })];
it.each<[string, () => unknown, RegExp]>([
  ["a rate below 0", () => lion(one(), { learningRate: -1 }), /lion: learningRate must be a number of at least 0/],
  [
    "a beta of 1",
    () => lion(one(), { learningRate: 1, betas: [0.9, 1] }),
    /lion: betas\[1\] must be in \[0, 1\), got 1/,
  ],
  ["a momentum of 1", () => muon(one(), { learningRate: 1, momentum: 1 }), /muon: momentum must be in \[0, 1\)/],
  ["half a step", () => muon(one(), { learningRate: 1, steps: 0.5 }), /muon: steps must be a positive whole number/],
  [
    "an unknown scale",
    () => muon(one(), { learningRate: 1, scale: "moon" as "original" }),
    /no scale "moon"; known: original/,
  ],
  [
    "a vector for a matrix",
    () => muon([new Variable([1], { name: "bias" })], { learningRate: 1, matrices: () => true }),
    /"bias" has shape \[1\]; only matrices/,
  ],
  ["no parameters", () => muon([], { learningRate: 1 }), /muon: got no parameters/],
  ["too few gradients", () => muon(one(), { learningRate: 1 }).update([]), /muon: 0 gradients for 1 parameters/],
  ["a decay of 1", () => ema(sgd(one(), { learningRate: 1 }), { decay: 1 }), /ema: decay must be in \[0, 1\), got 1/],
])("refuses %s", async (_, act, message) => {
  await expect((async () => act())()).rejects.toThrow(message);
});
