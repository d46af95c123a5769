import { describe, expect, it } from "vitest";
import { removeBlocks } from "../../src/compress/remove-blocks.js";
import { NDArray, nn, philoxUniform, type Tensor } from "../../src/index.js";
import {
  angularDistance,
  type Batch,
  blockInfluence,
  diagnosticsCsv,
  diagnosticsText,
  dropEffect,
  gradNormByLayer,
  hiddenStates,
  layerDiagnostics,
  layerStatistics,
  normalizeRows,
  residualStats,
} from "../../src/inspect/index.js";

const options: nn.GPTOptions = {
  layers: 4,
  width: 12,
  heads: 2,
  vocabulary: 11,
  context: 8,
  initialization: { std: 0.3 },
};
const array = (rows: number, length: number, site: string) =>
  NDArray.from(
    philoxUniform({ seed: 1, site }, rows * length).map((u) => Math.floor(u * 11)),
    "int32",
    [rows, length],
  );
const batch = (rows: number, site = "a", length = 8): Batch => ({
  tokens: array(rows, length, site),
  targets: array(rows, length, `${site} next`),
});
const states = (vectors: number[][]): NDArray => NDArray.from(vectors.map((v) => [[v]])); // [count, 1, 1, width]

describe("angular distance", () => {
  it("of equal states is 0, of orthogonal ones 1/2, of opposite ones 1", () => {
    const vectors = [
      [0.1, 0.7],
      [0.1, 0.7],
      [-0.7, 0.1],
      [0.7, -0.1],
    ];
    expect(angularDistance(states(vectors))).toEqual([
      [0, expect.closeTo(0.5, 6), expect.closeTo(1, 6)],
      [expect.closeTo(0.5, 6), expect.closeTo(0.5, 6), null],
      [expect.closeTo(0.5, 6), null, null],
    ]);
  });

  it("of vectors whose cosine rounds above 1 is a number", () => {
    const v = [0.1, 0.2, 0.3];
    const [row] = angularDistance(states([v, v.map((x) => x * 3)]));
    expect(row?.[0]).toBeCloseTo(0, 3);
  });

  it("of a zero vector is 1/2", () => {
    expect(
      angularDistance(
        states([
          [0, 0],
          [1, 2],
        ]),
      ),
    ).toEqual([[0.5]]);
  });

  it("takes each sequence's true last token, its first, or the mean", async () => {
    const model = nn.gpt(options);
    const all = await hiddenStates(model, array(2, 6, "tokens"));
    const short = await hiddenStates(
      model,
      NDArray.from(
        array(2, 6, "tokens")
          .toNumbers()
          .filter((_, i) => i % 6 < 4),
        "int32",
        [2, 4],
      ),
    );
    expect(angularDistance(all, { lengths: [4, 4] })[0]?.[0]).toBeCloseTo(angularDistance(short)[0]?.[0] as number, 6);
    const distances = (["last", "first", "mean"] as const).map((token) => angularDistance(all, { token })[0]?.[0]);
    expect(new Set(distances).size).toBe(3);
  });

  it("does not depend on how samples are split into batches", async () => {
    const model = nn.gpt(options);
    const tokens = array(5, 6, "split");
    const part = (from: number, to: number) =>
      NDArray.from(tokens.toNumbers().slice(from * 6, to * 6), "int32", [to - from, 6]);
    const whole = await hiddenStates(model, tokens);
    const parts = [await hiddenStates(model, part(0, 2)), await hiddenStates(model, part(2, 5))];
    for (const measure of [(s: NDArray | NDArray[]) => angularDistance(s).flat(), blockInfluence])
      for (const [i, v] of measure(whole).entries()) expect(measure(parts)[i]).toBeCloseTo(v ?? 0, 6);
  });

  it("normalises rows between their 1st and 99th percentiles; a constant row is 0", () => {
    const row = Array.from({ length: 101 }, (_, i) => i);
    const [scaled] = normalizeRows([row]);
    expect([scaled?.[0], scaled?.[1], scaled?.[50], scaled?.[99], scaled?.[100]]).toEqual([0, 0, 0.5, 1, 1]);
    expect(normalizeRows([[3, 3, null]])).toEqual([[0, 0, null]]);
  });

  it.each([
    [
      () =>
        angularDistance(
          states([
            [1, 2],
            [3, 4],
          ]),
          { maxSpan: 2 },
        ),
      "maxSpan must be in 1..1, got 2",
    ],
    [() => angularDistance(states([[1, 2]])), "expected at least one block"],
    [() => angularDistance([]), "expected the states of at least one batch"],
    [
      () =>
        angularDistance(
          states([
            [1, 2],
            [Number.NaN, 4],
          ]),
        ),
      "the stream after 1 blocks is not finite",
    ],
    [
      () =>
        blockInfluence(
          states([
            [1, 2],
            [3, 4],
            [Number.POSITIVE_INFINITY, 0],
          ]),
        ),
      "the stream around block 1 is not finite",
    ],
    [
      () =>
        angularDistance(
          states([
            [1, 2],
            [3, 4],
          ]),
          { lengths: [2] },
        ),
      "sample 0 has length 2, expected 1..1",
    ],
  ])("refuses what cannot be: %s", (make, message) => {
    expect(make).toThrow(message);
  });
});

describe("statistics of a batch", () => {
  it("measure the stream before the final norm, in the order of depth", async () => {
    const model = nn.gpt(options);
    const { variance, maximum, gradientNorm, inputGradientNorm } = await layerStatistics(model, batch(2));
    const values = (await hiddenStates(model, batch(2).tokens)).toNumbers();
    const last = values.slice(4 * 16 * 12);
    expect(maximum.at(-1)).toBeCloseTo(Math.max(...last.map(Math.abs)), 5);
    expect([variance.length, gradientNorm.length, inputGradientNorm.length]).toEqual([5, 4, 4]);
    expect(await residualStats(model, batch(2))).toEqual({ variance, maximum });
  });

  it("average gradient norms over batches", async () => {
    const model = nn.gpt(options);
    const [a, b] = [await layerStatistics(model, batch(2)), await layerStatistics(model, batch(2, "b"))];
    const both = await gradNormByLayer(model, [batch(2), batch(2, "b")]);
    for (const [l, g] of both.entries())
      expect(g).toBeCloseTo(((a.gradientNorm[l] as number) + (b.gradientNorm[l] as number)) / 2, 6);
  });

  it("work for a batch of one sequence of one token", async () => {
    const { variance } = await layerStatistics(nn.gpt(options), batch(1, "one", 1));
    expect(variance.every((v) => v > 0)).toBe(true);
  });

  it("refuse an empty batch", async () => {
    const empty: Batch = { tokens: NDArray.zeros([2, 0], "int32"), targets: NDArray.zeros([2, 0], "int32") };
    const model = nn.gpt(options);
    await expect(layerStatistics(model, empty)).rejects.toThrow(
      "a batch of tokens [batch, length] that is not empty, got [2, 0]",
    );
    await expect(dropEffect(model, [])).rejects.toThrow("expected at least one batch");
    await expect(gradNormByLayer(model, [])).rejects.toThrow("expected at least one batch");
    await expect(layerDiagnostics(model, [])).rejects.toThrow("expected at least one batch");
    await expect(hiddenStates(model, empty.tokens)).rejects.toThrow("the batch [2, 0] is empty");
  });
});

describe("drop effect", () => {
  const lossOf = async (model: nn.GPT) => (await layerStatistics(model, batch(3))).loss;

  it.each(["pre", "peri", "lns"] as const)(
    "is the loss of a model really built without the block (%s)",
    async (placement) => {
      const model = nn.gpt({ ...options, placement });
      const { loss, lossWithout, delta } = await dropEffect(model, [batch(3)]);
      expect(loss).toBeCloseTo(await lossOf(model), 6);
      for (const l of [0, 1, 2, 3]) {
        expect(lossWithout[l]).toBeCloseTo(await lossOf(await removeBlocks(model, [l])), 5);
        expect(delta[l]).toBeCloseTo((lossWithout[l] as number) - loss, 12);
      }
    },
  );

  it("leaves the model as it was, also after a failure", async () => {
    const model = nn.gpt(options);
    const before = await lossOf(model);
    const failing = () => {
      throw new Error("a metric that fails");
    };
    await expect(dropEffect(model, [batch(3)], { metric: failing })).rejects.toThrow("a metric that fails");
    await dropEffect(model, [batch(3)]);
    expect(await lossOf(model)).toBe(before);
  });

  it("takes a metric of one's own", async () => {
    const metric = (logits: Tensor, targets: Tensor) => logits.argmax(-1).equal(targets).cast("float32").mean();
    const { loss } = await dropEffect(nn.gpt(options), [batch(3)], { metric });
    expect(loss).toBeGreaterThanOrEqual(0);
    expect(loss).toBeLessThanOrEqual(1);
  });

  it("says whose metric is not finite", async () => {
    const model = nn.gpt(options);
    const metric = (logits: Tensor) => logits.mul(Number.POSITIVE_INFINITY).sum();
    await expect(dropEffect(model, [batch(3)], { metric })).rejects.toThrow(
      "the metric of the whole model is not finite",
    );
  });

  it("refuses blocks that share their weights", async () => {
    const model = nn.gpt(options);
    nn.rewrite(model, (_, path) => (path === "model.layers.2" ? model.model.layers[1] : undefined));
    await expect(dropEffect(model, [batch(2)])).rejects.toThrow("some blocks share their weights");
  });
});

describe("all diagnostics", () => {
  it("give a table of one row a block, as CSV and as text", async () => {
    const diagnostics = await layerDiagnostics(nn.gpt(options), [batch(2), batch(3, "b")]);
    const lines = diagnosticsCsv(diagnostics).split("\n");
    expect(lines[0]).toBe(
      "block,variance,maximum,gradient_norm,input_gradient_norm,angular_distance,influence,drop_effect",
    );
    expect(lines.slice(1).map((line) => line.split(",").length)).toEqual([8, 8, 8, 8]);
    expect(
      diagnosticsText(diagnostics)
        .split("\n")
        .map((line) => line.length),
    ).toEqual(Array(5).fill(diagnosticsText(diagnostics).indexOf("\n")));
  });

  it("can look at the last state after the final norm, as Hugging Face does", async () => {
    const model = nn.gpt(options);
    const [raw, normed] = [
      await hiddenStates(model, batch(2).tokens),
      await hiddenStates(model, batch(2).tokens, { afterFinalNorm: true }),
    ];
    const start = 4 * 2 * 8 * 12;
    expect(normed.toNumbers().slice(0, start)).toEqual(raw.toNumbers().slice(0, start));
    const row = normed.toNumbers().slice(start, start + 12);
    expect(row.reduce((sum, v) => sum + v * v, 0) / 12).toBeCloseTo(1, 4);
  });
});

describe("the stream at initialisation, 24 blocks", () => {
  /** Last variance of a model with matrices N(0, std), embeddings N(0, 1). */
  const lastVariance = async (placement: nn.PlacementOption, std: number): Promise<number[]> => {
    const model = nn.gpt({
      layers: 24,
      width: 64,
      heads: 4,
      vocabulary: 96,
      context: 64,
      mlp: nn.swiglu({ hidden: 168 }),
      placement,
      embedNorm: false,
      initialization: { std, embeddingStd: 1 },
    });
    const { variance } = await residualStats(model, batch(2, "init", 64));
    return [...variance];
  };

  it("of Peri-LN grows by about one a sublayer whatever the weights; of Pre-LN by orders of magnitude with them", async () => {
    const ends = async (placement: "pre" | "peri") => {
      const all: number[] = [];
      for (const std of [0.02, 0.08, 0.32]) all.push((await lastVariance(placement, std)).at(-1) as number);
      return all;
    };
    const [pre, peri] = [await ends("pre"), await ends("peri")];
    expect(Math.max(...pre) / Math.min(...pre)).toBeGreaterThan(100);
    expect(Math.max(...peri) / Math.min(...peri)).toBeLessThan(1.3);
    for (const v of peri) expect(v).toBeGreaterThan(35);
    for (const v of peri) expect(v).toBeLessThan(60); // Var(x0) + 48
  });

  it("of LayerNorm Scaling stops growing, where Pre-LN's grows on", async () => {
    const growth = (v: number[]) => (v[24] as number) - (v[12] as number);
    const [pre, lns] = [await lastVariance("pre", 0.125), await lastVariance("lns", 0.125)];
    expect(growth(pre) / growth(lns)).toBeGreaterThan(20);
  });
});

describe("removing blocks", () => {
  it("leaves a model with fewer blocks and the same names, and the original as it was", async () => {
    const model = nn.gpt({ ...options, placement: "lns" });
    const smaller = await removeBlocks(model, [0, 2]);
    expect(smaller.config.layers).toBe(2);
    expect(smaller.placements.map(({ mlp }) => mlp.scale)).toEqual([1 / Math.sqrt(2), 0.5]);
    expect(smaller.namedVariables().has("model.layers.1.mlp.up_proj.weight")).toBe(true);
    expect(model.model.layers.length).toBe(4);
  });

  it.each([
    [[4], "there is no block 4; the model has blocks 0..3"],
    [[-1], "there is no block -1"],
    [[1.5], "there is no block 1.5"],
    [[2, 2], "block 2 is named twice"],
  ])("refuses %o", async (indices, message) => {
    await expect(removeBlocks(nn.gpt(options), indices)).rejects.toThrow(message);
  });

  it("refuses a Post-LN block, whose shortcut is no identity", async () => {
    const model = nn.gpt({ ...options, placement: "mix" });
    await expect(removeBlocks(model, [0])).rejects.toThrow("block 0 is Post-LN");
    expect((await removeBlocks(model, [3])).model.layers.length).toBe(3);
  });
});
