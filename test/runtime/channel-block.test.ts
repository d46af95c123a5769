import { describe, expect, it } from "vitest";
import { type ConvolutionOptions, compile, getBackend, grad, normalArray, type Tensor } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const cases: [string, number[], number[], ConvolutionOptions][] = [
  ["3 × 3", [2, 16, 7, 9], [32, 16, 3, 3], { padding: 1 }],
  ["a stride", [2, 32, 8, 7], [16, 32, 3, 3], { padding: 1, stride: 2 }],
  ["1 × 1", [3, 16, 5, 5], [16, 16, 1, 1], {}],
  ["1 × 1 with a stride", [3, 16, 5, 5], [32, 16, 1, 1], { stride: 2 }],
  ["a dilation", [1, 16, 9, 9], [16, 16, 3, 3], { padding: 2, dilation: 2 }],
  [
    "padding on one side",
    [2, 16, 6, 6],
    [16, 16, 3, 3],
    {
      padding: [
        [1, 0],
        [2, 1],
      ],
    },
  ],
  ["channels that fill no block", [2, 12, 6, 6], [16, 12, 3, 3], { padding: 1 }],
  ["groups", [2, 32, 6, 6], [32, 16, 3, 3], { padding: 1, groups: 2 }],
  ["many channels", [1, 80, 5, 5], [96, 80, 3, 3], { padding: 1 }],
];

/** Output and both gradients. */
async function convolved(backend: "cpu" | "wasm", x: number[], w: number[], options: ConvolutionOptions) {
  const program = compile(
    ({ x, w }: { x: Tensor; w: Tensor }) => {
      const y = x.conv2d(w, options);
      const [dx, dw] = grad(y.square().sum(), [x, w]) as [Tensor, Tensor];
      return { y, dx, dw };
    },
    { backend },
  );
  const feeds = { x: normalArray({ seed: 2, site: "x" }, x), w: normalArray({ seed: 2, site: "w" }, w) };
  const results = await program(feeds);
  const { model } = await program.prepare(feeds);
  await program.release();
  return { ...results, domains: model.graph?.node.map(({ domain }) => domain) ?? [] };
}

describe("the engine's own layout for convolutions", () => {
  it.each(cases)("gives the numbers of the plain one: %s", async (_, x, w, options) => {
    const [native, plain] = [await convolved("cpu", x, w, options), await convolved("wasm", x, w, options)];
    for (const name of ["y", "dx", "dw"] as const)
      expect(relativeError(native[name].toNumbers(), plain[name].toNumbers()), name).toBeLessThan(1e-5);
    expect(plain.domains).not.toContain("com.microsoft.nchwc");
  });

  it("is used where the channels fill its blocks, and is in no file", async () => {
    const block = await (await getBackend("cpu")).channelBlock?.();
    const { domains } = await convolved("cpu", [1, 32, 4, 4], [32, 32, 3, 3], {});
    expect(domains.includes("com.microsoft.nchwc")).toBe(block !== undefined);
    const program = compile(({ x, w }: { x: Tensor; w: Tensor }) => ({ y: x.conv2d(w) }));
    const feeds = {
      x: normalArray({ seed: 2, site: "x" }, [1, 32, 4, 4]),
      w: normalArray({ seed: 2, site: "w" }, [32, 32, 3, 3]),
    };
    const { y } = await program(feeds);
    const bytes = await program.encode(feeds);
    expect(Buffer.from(bytes).includes("nchwc")).toBe(false);
    expect(y.size).toBe(32 * 4);
    await program.release();
  });
});
