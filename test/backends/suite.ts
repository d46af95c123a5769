/**
 * What every backend must do, as plain functions: run by Node for its three backends and by a page in Chromium for
 * its two. Inputs and expected numbers come in as JSON, so nothing here reads files.
 */
import type * as layerwise from "../../src/browser.js";
import { difference } from "../support/compare.js";
import { caseOf, type PlainCase } from "../support/plain-case.js";
import { traceCase } from "../support/trace-case.js";

export type Library = typeof layerwise;
export type BackendName = "cpu" | "wasm" | "webgpu";

export interface SuiteInput {
  /** Reference cases by family. */
  readonly families: Readonly<Record<string, readonly PlainCase[]>>;
  /** Losses of `trainTinyModel` on the CPU. */
  readonly losses: readonly number[];
}

export interface Result {
  readonly name: string;
  /** What is wrong; absent where nothing is. */
  readonly problem?: string;
}

/** Sums of a few hundred float32 products differ in order between engines. */
const tolerance = 1e-4;
/** WGSL promises sin and cos to 2⁻¹¹ only. */
const trigonometry = 2e-3;

const families = async ({ compile }: Library, backend: BackendName, input: SuiteInput): Promise<Result[]> => {
  const results: Result[] = [];
  for (const [family, plain] of Object.entries(input.families)) {
    const cases = plain.map(caseOf);
    const feeds: Record<string, layerwise.NDArray> = {};
    for (const { name, inputs } of cases) for (const [i, array] of inputs.entries()) feeds[`${name}/${i}`] = array;
    const expected = new Map<string, { array: layerwise.NDArray; allowed: number }>();
    const program = compile(
      (inputs) => {
        const outputs: Record<string, layerwise.Tensor> = {};
        for (const reference of cases)
          for (const { name, tensor, expected: array } of traceCase(
            reference,
            reference.inputs.map((_, i) => inputs[`${reference.name}/${i}`] as layerwise.Tensor),
          )) {
            outputs[`${reference.name}/${name}`] = tensor;
            expected.set(`${reference.name}/${name}`, {
              array,
              allowed: /^(sin|cos)$/.test(reference.op) ? trigonometry : tolerance,
            });
          }
        return outputs;
      },
      { backend },
    );
    const values = await program(feeds);
    await program.release();
    const problems = [...expected].flatMap(([name, { array, allowed }]) => {
      const problem = difference(values[name] as layerwise.NDArray, array, allowed);
      return problem ? [`${name}: ${problem}`] : [];
    });
    results.push({
      name: `${cases.length} reference cases of ${family}, with gradients`,
      ...(problems.length > 0 && { problem: problems.slice(0, 5).join("; ") }),
    });
  }
  return results;
};

/** Losses of a small decoder with dropout, trained for ten steps; the weights depend on nothing but seeds. */
export async function trainTinyModel(
  { compile, grad, NDArray, nn, optim, training }: Library,
  backend: BackendName,
): Promise<number[]> {
  const model = nn.gpt({
    layers: 2,
    width: 32,
    heads: 2,
    vocabulary: 64,
    context: 16,
    norm: "rms",
    placement: "peri",
    dropout: 0.1,
  });
  const optimizer = optim.adamW(model.parameters(), { learningRate: 1e-2 });
  const step = compile(
    ({ tokens, targets }) => {
      const loss = training(() =>
        nn.crossEntropy(model.apply(tokens as layerwise.Tensor), targets as layerwise.Tensor),
      );
      optimizer.update(grad(loss, model.parameters()));
      return { loss };
    },
    { backend, seed: 4 },
  );
  const ids = Int32Array.from({ length: 32 }, (_, i) => (i * 7) % 64);
  const feeds = {
    tokens: new NDArray(ids, [2, 16], "int32"),
    targets: new NDArray(
      ids.map((x) => (x * 3 + 1) % 64),
      [2, 16],
      "int32",
    ),
  };
  const losses: number[] = [];
  for (let i = 0; i < 10; i++) losses.push((await step(feeds)).loss.item());
  await step.release();
  return losses;
}

type Check = (library: Library, backend: BackendName, input: SuiteInput) => Promise<string | undefined>;

const checks: Readonly<Record<string, Check>> = {
  "a training run has the losses of the CPU": async (library, backend, { losses }) => {
    const own = await trainTinyModel(library, backend);
    const worst = Math.max(...own.map((loss, i) => Math.abs(loss - (losses[i] as number))));
    return worst <= 2e-4 ? undefined : `losses ${own.join(", ")} differ by ${worst}`;
  },
  "variables keep their state from step to step, and two programs share them": async (
    { compile, Variable },
    backend,
  ) => {
    const count = new Variable([1, 2, 3], { name: "count" });
    const more = compile(
      ({ by }) => {
        count.assign(count.add(by as layerwise.Tensor));
        return { before: count.sum() };
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
    const before = [(await more({ by: 1 })).before.item(), (await more({ by: 10 })).before.item()];
    await twice({});
    await more({ by: -1 });
    const after = (await count.data()).toNumbers();
    await Promise.all([more.release(), twice.release()]);
    const got = JSON.stringify([before, after]);
    return got ===
      JSON.stringify([
        [6, 9],
        [23, 25, 27],
      ])
      ? undefined
      : `got ${got}`;
  },
  "random numbers are the same bits everywhere, and differ from step to step": async (
    { compile, philoxNormal, random },
    backend,
  ) => {
    const program = compile(() => ({ x: random.normal([5]) }), { backend, seed: 9 });
    const runs = [await program({}), await program({})].map(({ x }) => x.toNumbers());
    await program.release();
    const expected = [0, 1].map((step) => Array.from(philoxNormal({ seed: 9, site: "#0", step }, 5)));
    return JSON.stringify(runs) === JSON.stringify(expected)
      ? undefined
      : `got ${JSON.stringify(runs)}, expected ${JSON.stringify(expected)}`;
  },
  "a program run again gives the same bits": async ({ compile, NDArray, philoxNormal }, backend) => {
    const draw = (site: string) => new NDArray(philoxNormal({ seed: 1, site }, 64 * 64), [64, 64], "float32");
    const program = compile(({ a, b }) => ({ y: (a as layerwise.Tensor).matmul(b as layerwise.Tensor).softmax() }), {
      backend,
    });
    const feeds = { a: draw("a"), b: draw("b") };
    const first = (await program(feeds)).y.toNumbers().join();
    for (let i = 0; i < 5; i++)
      if ((await program(feeds)).y.toNumbers().join() !== first) return `run ${i + 2} differs from the first`;
    await program.release();
    return undefined;
  },
};

export async function runSuite(library: Library, backend: BackendName, input: SuiteInput): Promise<Result[]> {
  const results: Result[] = [];
  for (const [name, check] of Object.entries(checks)) {
    const problem = await check(library, backend, input).catch((error: unknown) => String(error));
    results.push({ name, ...(problem !== undefined && { problem }) });
  }
  const operations = await families(library, backend, input).catch((error: unknown) => [
    { name: "reference cases", problem: String(error) },
  ]);
  return [...results, ...operations];
}
