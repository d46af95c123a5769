/**
 * What every backend must do, as plain functions: run by Node for its three backends and by a page in Chromium for
 * its two. Inputs and expected numbers come in as JSON, so nothing here reads files.
 */
import type * as layerwise from "../../src/browser.js";
import { difference } from "../support/compare.js";
import { caseOf, type PlainCase } from "../support/plain-case.js";
import { traceCase } from "../support/trace-case.js";
import { stateChecks } from "./state.js";

export type Library = typeof layerwise;
export type BackendName = "cpu" | "wasm" | "webgpu";

export interface SuiteInput {
  /** Reference cases by family. */
  readonly families: Readonly<Record<string, readonly PlainCase[]>>;
  /** Losses of `trainTinyModel` on the CPU. */
  readonly losses: readonly number[];
  /** Values of `largeShapes` on the CPU. */
  readonly large: Readonly<Record<string, readonly number[]>>;
}

/** What is wrong, or undefined. */
export type Check = (library: Library, backend: BackendName, input: SuiteInput) => Promise<string | undefined>;

export interface Result {
  readonly name: string;
  /** What is wrong; absent where nothing is. */
  readonly problem?: string;
}

/** Sums of a few hundred float32 products differ in order between engines. */
const tolerance = 1e-4;
/** WGSL promises sin and cos to 2⁻¹¹ only. */
const trigonometry = 2e-3;

/** The name under which a family's cases report. */
export const familyCheck = (family: string): string => `computes the reference cases of ${family} and their gradients`;

const runFamily =
  (plain: readonly PlainCase[]): Check =>
  async ({ compile }, backend) => {
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
    return problems.length > 0 ? problems.slice(0, 5).join("; ") : undefined;
  };

/** Losses of a small decoder with dropout over twenty steps; the weights depend on nothing but seeds. */
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
  for (let i = 0; i < 20; i++) losses.push((await step(feeds)).loss.item());
  await step.release();
  return losses;
}

/** Kernels change their ways with size (tiles, vectors of four, work groups), so some sizes are large and odd. */
export async function largeShapes(
  { compile, crossEntropy, grad, NDArray, philoxNormal }: Library,
  backend: BackendName,
): Promise<Record<string, readonly number[]>> {
  const draw = (site: string, ...shape: number[]) =>
    new NDArray(
      philoxNormal(
        { seed: 3, site },
        shape.reduce((a, b) => a * b, 1),
      ),
      shape,
      "float32",
    );
  const feeds = {
    a: draw("a", 131, 257),
    b: draw("b", 257, 66),
    wide: draw("wide", 5, 1037),
    images: draw("images", 2, 7, 19, 21),
    kernel: draw("kernel", 9, 7, 3, 3),
    heads: draw("heads", 2, 3, 65, 40),
    labels: NDArray.from([1036, 0, 511, 512, 7], "int32"),
  };
  const program = compile(
    (inputs) => {
      const { a, b, wide, images, kernel, heads, labels } = inputs as { [K in keyof typeof feeds]: layerwise.Tensor };
      const convolved = images.conv2d(kernel, { padding: 1, stride: 2 });
      const attended = heads.matmul(heads.swapAxes(-1, -2)).mul(0.1).softmax().matmul(heads);
      return {
        matmul: a.matmul(b),
        "gradient of matmul": grad(a.matmul(b).tanh().sum(), [b])[0] as layerwise.Tensor,
        softmax: wide.softmax(),
        layerNorm: wide.layerNorm(),
        "gradient of rmsNorm": grad(wide.rmsNorm().mul(wide.tanh()).sum(), [wide])[0] as layerwise.Tensor,
        "gradient of crossEntropy": grad(crossEntropy(wide, labels), [wide])[0] as layerwise.Tensor,
        "sum over rows": a.sum(0),
        maximum: wide.max(1),
        cumsum: wide.cumsum(1),
        conv2d: convolved,
        "gradient of conv2d": grad(convolved.tanh().sum(), [kernel])[0] as layerwise.Tensor,
        attention: attended,
        "gradient of attention": grad(attended.tanh().sum(), [heads])[0] as layerwise.Tensor,
      };
    },
    { backend },
  );
  const { observed: _, ...values } = await program(feeds);
  await program.release();
  return Object.fromEntries(Object.entries(values).map(([name, array]) => [name, array.toNumbers()]));
}

const checks: Readonly<Record<string, Check>> = {
  "has the CPU's losses in a training run with dropout": async (library, backend, { losses }) => {
    const own = await trainTinyModel(library, backend);
    const worst = Math.max(...own.map((loss, i) => Math.abs(loss - (losses[i] as number))));
    return worst <= tolerance && own.length === losses.length
      ? undefined
      : `losses ${own.join(", ")} differ by ${worst}`;
  },
  "has the CPU's numbers at large and odd shapes": async (library, backend, { large }) => {
    const own = await largeShapes(library, backend);
    const problems = Object.entries(large).flatMap(([name, expected]) => {
      const [e, o] = [expected, own[name] ?? []].map((v) => library.NDArray.from([...v])) as [
        layerwise.NDArray,
        layerwise.NDArray,
      ];
      const problem = difference(o, e, tolerance);
      return problem ? [`${name}: ${problem}`] : [];
    });
    return problems.length > 0 ? problems.join("; ") : undefined;
  },
  "adds up all that equal indices bring": async ({ compile, NDArray, zeros }, backend) => {
    const [rows, width, count] = [8, 384, 4096];
    const ids = Int32Array.from({ length: count }, (_, i) => (i * i + (i >> 3)) % rows);
    const updates = Float32Array.from({ length: count * width }, (_, i) => ((i * 7919) % 17) - 8);
    const expected = new Float32Array(rows * width);
    for (const [i, id] of ids.entries())
      for (let j = 0; j < width; j++)
        expected[id * width + j] = (expected[id * width + j] as number) + (updates[i * width + j] as number);
    const program = compile(
      (inputs) => {
        const { i, x } = inputs as Record<"i" | "x", layerwise.Tensor>;
        return {
          rows: zeros([rows, width]).indexAdd(i, x),
          elements: zeros([rows, width]).scatterAdd(i.unsqueeze(1).expand([count, width]), x, 0),
        };
      },
      { backend },
    );
    const feeds = { i: new NDArray(ids, [count], "int32"), x: new NDArray(updates, [count, width], "float32") };
    const whole = new NDArray(expected, [rows, width], "float32");
    for (let run = 0; run < 5; run++)
      for (const [name, array] of Object.entries(await program(feeds))) {
        // Sums of small integers: every one of them is exact.
        const problem = name === "observed" ? "" : difference(array as layerwise.NDArray, whole, 0);
        if (problem) return `${name} in run ${run}: ${problem}`;
      }
    await program.release();
    return undefined;
  },
  "draws the same random bits as every other, and new ones each step": async (
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
  "gives the same bits when a program runs again": async ({ compile, NDArray, philoxNormal }, backend) => {
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
  ...stateChecks,
};

export const checkNames: readonly string[] = Object.keys(checks);

export interface Result {
  readonly name: string;
  /** What is wrong; absent where nothing is. */
  readonly problem?: string;
}

export async function runSuite(library: Library, backend: BackendName, input: SuiteInput): Promise<Result[]> {
  const all = {
    ...checks,
    ...Object.fromEntries(Object.entries(input.families).map(([name, cases]) => [familyCheck(name), runFamily(cases)])),
  };
  const results: Result[] = [];
  for (const [name, check] of Object.entries(all)) {
    const problem = await check(library, backend, input).catch((error: unknown) => String(error));
    results.push({ name, ...(problem !== undefined && { problem }) });
  }
  return results;
}
