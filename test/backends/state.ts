/** What a backend must do with variables: part of the suite. */
import type * as layerwise from "../../src/browser.js";
import type { BackendName, Check } from "./suite.js";

/** Numbers that should be equal, as the difference in words. */
const unequal = (got: unknown, expected: unknown): string | undefined =>
  JSON.stringify(got) === JSON.stringify(expected)
    ? undefined
    : `got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`;

/** Where the engine keeps a variable's value between runs. */
const locationOf = ({ current }: layerwise.Variable): string =>
  (current as unknown as { readonly tensor: { readonly location: string } }).tensor.location;

const home = (backend: BackendName): string => (backend === "webgpu" ? "gpu-buffer" : "cpu");

/** What WebGPU may lack: there must be an error that says so, never a wrong number. */
const optional: Readonly<Record<string, RegExp>> = {
  float16: /requires f16 but the device does not support it/,
  float64: /WebGPU has no float64/,
};

export const stateChecks: Readonly<Record<string, Check>> = {
  "keeps variables from step to step, and two programs share them where they are": async (
    { compile, Variable },
    backend,
  ) => {
    const count = new Variable([1, 2, 3], { name: "count" });
    const weights = new Variable([1, 1, 2], { name: "weights" }); // read, never assigned
    const more = compile(
      ({ by }) => {
        count.assign(count.add(by as layerwise.Tensor));
        return { before: count.mul(weights).sum() };
      },
      { backend },
    );
    const twice = compile(
      () => {
        count.assign(count.mul(2));
        return {};
      },
      { backend },
    );
    const places = () => [locationOf(count), locationOf(weights)].join();
    const seen: string[] = [];
    const before = [(await more({ by: 1 })).before.item(), (await more({ by: 10 })).before.item()];
    seen.push(places());
    await twice({});
    seen.push(places());
    await more({ by: -1 });
    seen.push(places());
    const after = (await count.data()).toNumbers();
    await Promise.all([more.release(), twice.release()]);
    const stays = `${home(backend)},${home(backend)}`;
    return unequal(
      [before, after, seen],
      [
        [9, 13],
        [23, 25, 27],
        [stays, stays, stays],
      ],
    );
  },

  "keeps variables of every type": async ({ compile, NDArray, Variable }, backend) => {
    const problems: string[] = [];
    for (const dtype of ["float32", "float16", "float64", "int32", "int64", "int8", "uint8", "bool"] as const) {
      const v = new Variable(NDArray.from([1, 0, 1], dtype), { trainable: false });
      const program = compile(
        () => {
          v.assign(dtype === "bool" ? v.not() : v.add(v));
          return { sum: v.cast("float32").sum() };
        },
        { backend },
      );
      const run = async () => [(await program({})).sum.item(), (await program({})).sum.item(), await v.data()] as const;
      const got = await run().catch((error: Error) => error.message);
      if (backend === "webgpu" && typeof got === "string" && optional[dtype]?.test(got)) continue;
      const expected = dtype === "bool" ? [2, 1, [1, 0, 1]] : [2, 4, [4, 0, 4]];
      const problem = typeof got === "string" ? got : unequal([got[0], got[1], got[2].toNumbers()], expected);
      if (problem) problems.push(`${dtype}: ${problem}`);
      await program.release();
    }
    return problems.length > 0 ? problems.join("; ") : undefined;
  },

  "takes a constant, an input, another variable, and one tensor twice as new values": async (
    { compile, full, Variable },
    backend,
  ) => {
    const [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map((name, i) => new Variable([i, i], { name })) as [
      layerwise.Variable,
      layerwise.Variable,
      layerwise.Variable,
      layerwise.Variable,
      layerwise.Variable,
    ];
    const program = compile(
      ({ x }) => {
        a.assign(full([2], 7));
        b.assign(x as layerwise.Tensor);
        c.assign(b);
        const sum = d.add(1);
        d.assign(sum);
        e.assign(sum);
        return { c: c.mul(1) };
      },
      { backend },
    );
    const seen: number[] = [];
    for (const x of [10, 20, 30, 40]) seen.push((await program({ x: [x, x] })).c.toNumbers()[0] as number);
    const last = await Promise.all([a, b, c, d, e].map(async (v) => (await v.data()).toNumbers()));
    await program.release();
    return unequal(
      [seen, last],
      [
        [2, 1, 10, 20],
        [
          [7, 7],
          [40, 40],
          [30, 30],
          [7, 7],
          [7, 7],
        ],
      ],
    );
  },

  "never writes to what a user holds": async ({ compile, NDArray, Variable }, backend) => {
    const held = NDArray.from([1, 2, 3]);
    const v = new Variable(held);
    const program = compile(
      ({ x }) => {
        v.assign(v.mul(2).add((x as layerwise.Tensor).mul(0)));
        return { v: v.mul(1), x: x as layerwise.Tensor };
      },
      { backend },
    );
    const x = NDArray.from([5, 5, 5]);
    const results = [];
    for (let i = 0; i < 4; i++) results.push(await program({ x }));
    const copy = await v.data();
    v.set(copy);
    for (let i = 0; i < 4; i++) await program({ x });
    const final = (await v.data()).toNumbers();
    await program.release();
    return unequal(
      [
        held.toNumbers(),
        x.toNumbers(),
        copy.toNumbers(),
        results.map((r) => [r.v.toNumbers()[0], r.x.toNumbers()[0]]),
        final,
      ],
      [
        [1, 2, 3],
        [5, 5, 5],
        [16, 32, 48],
        [
          [1, 5],
          [2, 5],
          [4, 5],
          [8, 5],
        ],
        [256, 512, 768],
      ],
    );
  },

  "keeps what released programs left in variables": async ({ compile, NDArray, Variable }, backend) => {
    const v = new Variable([1, 2]);
    const double = () =>
      compile(
        () => {
          v.assign(v.mul(2));
          return { sum: v.sum() };
        },
        { backend },
      );
    const first = double();
    await first({});
    await first({});
    await first.release();
    const read = (await v.data()).toNumbers();
    const second = double();
    const used = [(await second({})).sum.item(), (await second({})).sum.item(), (await second({})).sum.item()];
    await second.release();
    v.set(NDArray.from([5, 5]));
    const third = double();
    const set = (await third({})).sum.item();
    await third.release();
    v.release();
    return unequal([read, used, set], [[4, 8], [12, 24, 48], 10]);
  },

  "lets runs, reads and preparations overlap": async ({ compile, Variable }, backend) => {
    const v = new Variable([1, 1]);
    const make = () =>
      compile(
        () => {
          v.assign(v.add(1));
          return { v: v.mul(1) };
        },
        { backend },
      );
    const [p, q] = [make(), make()];
    await p({});
    const [a, , b, , c] = await Promise.all([p({}), v.data(), q({}), q.prepare({}), p({}), v.data()]);
    const last = (await v.data()).toNumbers();
    await Promise.all([p.release(), q.release(), v.data()]);
    return unequal([a, b, c].map((r) => r.v.toNumbers()[0]).concat(last), [2, 3, 4, 5, 5]);
  },
};
