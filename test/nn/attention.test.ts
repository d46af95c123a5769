import { describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { grad, NDArray, nn, philoxNormal, type Tensor, tensor, zeros } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";
import { namedGradients, runOnce } from "../../src/studies/golden/run-once.js";
import { goldenPath } from "../support/golden.js";

interface Config {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  readonly mask: "none" | "causal" | "window" | "prefix" | "padding" | "causal_padding";
  readonly window: number;
  readonly prefix: number;
  readonly positions: "none" | "rotary" | "alibi";
  readonly qkNorm: boolean;
  readonly eps: number;
  readonly base: number;
}

const { tensors, metadata } = await readSafetensors(goldenPath("attention/attention.safetensors"));
const ours: Record<string, string> = {
  query: "q_proj",
  key: "k_proj",
  value: "v_proj",
  output: "o_proj",
  query_norm: "q_norm",
  key_norm: "k_norm",
};

const maskOf = ({ mask, window, prefix }: Config): nn.Mask =>
  ({
    none: nn.bidirectional(),
    padding: nn.bidirectional(),
    causal: nn.causal(),
    causal_padding: nn.causal(),
    window: mask === "window" ? nn.slidingWindow(window) : nn.causal(),
    prefix: nn.prefix(prefix),
  })[mask];

describe("attention agrees with PyTorch, output and all gradients", () => {
  it.each(Object.entries(metadata))("%s", async (name, text) => {
    const config = JSON.parse(text) as Config;
    const get = (key: string) => tensors.get(`${name}.${key}`) as NDArray;
    const { heads, kvHeads, headWidth, positions, base, eps } = config;
    const attention = new nn.Attention(10, {
      heads,
      kvHeads,
      headWidth,
      mask: maskOf(config),
      positions: positions === "rotary" ? nn.rotary({ base }) : nn.positionsValue(positions),
      ...(config.qkNorm && { qkNorm: (width: number) => nn.rmsNorm(width, { eps }) }),
    });
    const paths = Object.entries(ours).filter(([theirs]) => tensors.has(`${name}.${theirs}.weight`));
    attention.loadStateDict(new Map(paths.map(([theirs, path]) => [`${path}.weight`, get(`${theirs}.weight`)])));
    const padding = tensors.get(`${name}.padding`);
    const results = await runOnce({ x: get("input"), ...(padding && { padding }) }, (feeds) => {
      const y = attention.apply(feeds.x as Tensor, feeds.padding ? { padding: feeds.padding } : {});
      const loss = y.mul(tensor(get("loss_weights"))).sum();
      return { y, ...namedGradients(loss, attention, { x: feeds.x as Tensor }) };
    });
    const compared: [string, NDArray | undefined, NDArray][] = [
      ["output", results.y, get("output")],
      ["grad.input", results["grad.x"], get("grad.input")],
      ...paths.map(([t, p]) => [t, results[`grad.${p}.weight`], get(`grad.${t}.weight`)] as [string, NDArray, NDArray]),
    ];
    for (const [what, actual, expected] of compared)
      expect(relativeError(actual?.toNumbers() ?? [], expected.toNumbers()), what).toBeLessThan(1e-5);
  });
});

describe("attention at the edges", () => {
  const attention = new nn.Attention(8, { heads: 2 });
  const run = async (x: NDArray, padding?: NDArray, module = attention) =>
    (
      await runOnce({ x, ...(padding && { padding }) }, (feeds) => ({
        y: module.apply(feeds.x as Tensor, feeds.padding ? { padding: feeds.padding } : {}),
      }))
    ).y as NDArray;
  const x = NDArray.from(
    Array.from({ length: 2 * 3 * 8 }, (_, i) => Math.sin(i)),
    "float32",
    [2, 3, 8],
  );

  it("gives 0, not NaN, where a sequence is all padding", async () => {
    const y = await run(
      x,
      NDArray.from(
        [
          [1, 1, 0],
          [0, 0, 0],
        ],
        "bool",
      ),
    );
    expect(y.toNumbers().slice(24)).toEqual(Array(24).fill(0));
    expect(
      y
        .toNumbers()
        .slice(0, 24)
        .every((v) => Number.isFinite(v) && v !== 0),
    ).toBe(true);
  });

  it("gives 0 where a mask of one's own hides every key", async () => {
    const onlyFirst = nn.mask((query, key) => key.less(query)); // query 0 sees nothing
    const y = await run(x, undefined, new nn.Attention(8, { heads: 2, mask: onlyFirst }));
    expect(y.toNumbers().slice(0, 8)).toEqual(Array(8).fill(0));
    expect(y.toNumbers().every(Number.isFinite)).toBe(true);
  });

  it("composes masks: a window and a prefix both must allow a key", async () => {
    const composed = new nn.Attention(8, { heads: 2, mask: nn.allOf(nn.causal(), nn.slidingWindow(2)) });
    const window = new nn.Attention(8, { heads: 2, mask: nn.slidingWindow(2) });
    window.loadStateDict(await composed.stateDict());
    expect((await run(x, undefined, composed)).toNumbers()).toEqual((await run(x, undefined, window)).toNumbers());
  });

  it("takes one token of one sequence", async () => {
    expect((await run(NDArray.zeros([1, 1, 8]))).shape).toEqual([1, 1, 8]);
  });

  it.each([
    [() => new nn.Attention(10, { heads: 3 }), "3 heads do not divide the width 10"],
    [() => new nn.Attention(12, { heads: 4, kvHeads: 3 }), "3 key/value heads do not divide 4 heads"],
    [() => new nn.Attention(12, { heads: 0 }), "expected heads to be a positive whole number, got 0"],
    [() => nn.slidingWindow(0), "expected a positive whole number of keys"],
    [() => nn.prefix(-1), "expected a whole number of keys"],
    [() => nn.rotary({ base: 0 }), "expected a positive base"],
    [
      () => new nn.Attention(6, { heads: 2, positions: nn.rotary() }).apply(zeros([1, 2, 6])),
      "expected an even head width, got 3",
    ],
    [() => nn.positionsValue("rotery" as "rotary"), 'there is no "rotery" (did you mean "rotary"?'],
    [() => attention.apply(zeros([3, 8])), "expected [batch, tokens, width], got [3, 8]"],
    [
      () => attention.apply(zeros([2, 3, 8]), { padding: zeros([3, 2], "bool") }),
      "expected padding to be bool[2, 3] (batch, keys), got bool[3, 2]",
    ],
  ])("refuses what cannot be: %s", (make, message) => {
    expect(make).toThrow(message);
  });

  it("has ALiBi's slopes also for numbers of heads that are no power of two", () => {
    expect(nn.alibiSlopes(8)).toEqual(Array.from({ length: 8 }, (_, h) => 2 ** -(h + 1)));
    expect(nn.alibiSlopes(6)).toEqual([2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8, 2 ** -1, 2 ** -3]);
  });
});

const numbers = (array: NDArray | undefined): number[] => Array.from((array as NDArray).data, Number);

describe("a mask that says how far it reaches spares what is hidden", () => {
  const padding = {
    padding: NDArray.from(
      Array.from({ length: 2 * 300 }, (_, i) => (i % 300 > 2 ? 1 : 0)),
      "bool",
      [2, 300],
    ),
  };
  const segments = {
    segments: NDArray.from(
      Array.from({ length: 2 * 300 }, (_, i) => Math.floor((i % 300) / 70)),
      "int32",
      [2, 300],
    ),
  };
  it.each<[string, nn.Mask, Record<string, NDArray>]>([
    ["causal", nn.causal(), {}],
    ["window", nn.slidingWindow(40), {}],
    ["causal, padded", nn.causal(), padding],
    ["window, segments", nn.slidingWindow(90), segments],
  ])("%s: output, gradients and their gradients are those of the whole", async (_, mask, extra) => {
    const options = { heads: 4, kvHeads: 2, headWidth: 4 };
    const short = new nn.Attention(8, { ...options, mask });
    const long = new nn.Attention(8, { ...options, mask: nn.mask(mask.visible) });
    long.loadStateDict(await short.stateDict());
    const x = new NDArray(philoxNormal({ seed: 1, site: "x" }, 2 * 300 * 8), [2, 300, 8], "float32");
    const [a, b] = await Promise.all(
      [short, long].map((attention) =>
        runOnce({ x, ...extra }, ({ x, ...given }) => {
          const y = attention.apply(x as Tensor, given);
          const [first] = grad(y.square().sum(), [x as Tensor]) as [Tensor];
          const [second] = grad(first.square().sum(), [x as Tensor]) as [Tensor];
          return { y, first, second };
        }),
      ),
    );
    for (const name of ["y", "first", "second"])
      expect(relativeError(numbers(a?.[name]), numbers(b?.[name])), name).toBeLessThan(1e-5);
  });
});
