import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NDArray, nn, type Tensor } from "../../src/index.js";
import { runOnce } from "../../src/studies/golden/run-once.js";

const said: string[] = [];
beforeEach(() => {
  said.length = 0;
  nn.onWarning((message) => said.push(message));
});
afterEach(() => {
  nn.onWarning();
});

const kinds = (option: nn.PlacementOption, depth: number): string[] => {
  const strategy = nn.placementStrategy(option);
  return Array.from({ length: depth }, (_, layer) => strategy(layer, depth).kind);
};

describe("placements by name", () => {
  it.each([
    ["pre", ["input_layernorm", "post_attention_layernorm"]],
    ["post", ["post_attention_layernorm", "post_feedforward_layernorm"]],
    ["output", ["post_attention_layernorm", "post_feedforward_layernorm"]],
    [
      "peri",
      ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"],
    ],
    ["lns", ["input_layernorm", "post_attention_layernorm"]],
  ] as const)("%s has the norms its checkpoints have", (name, norms) => {
    expect(nn.normsOf(nn.placementStrategy(name)(0, 1))).toEqual(norms);
  });

  it("suggests a name for one that does not exist", () => {
    expect(() => nn.placementStrategy("prei" as "pre")).toThrow(
      'there is no "prei" (did you mean "pre"? known: pre, post',
    );
    expect(() => nn.placementStrategy(() => "perri" as "peri")(0, 1)).toThrow('did you mean "peri"?');
  });

  it("accepts a function of the layer, and a value for all layers", () => {
    expect(kinds((layer, depth) => (layer < depth / 2 ? "peri" : nn.output()), 4)).toEqual([
      "peri",
      "peri",
      "output",
      "output",
    ]);
    expect(kinds(nn.peri(), 2)).toEqual(["peri", "peri"]);
  });
});

describe("Mix-LN", () => {
  it.each([
    [12, {}, 3],
    [24, {}, 6],
    [32, {}, 8],
    [100, { alpha: 0.29 }, 29],
    [5, { alpha: 0.6 }, 3],
    [7, { postLayers: 7 }, 7],
    [4, { alpha: 1 }, 4],
    [4, { alpha: 0 }, 0],
  ] as const)("of %i blocks with %o: the first %i are Post-LN, the rest Pre-LN", (depth, options, P) => {
    const expected = Array.from({ length: depth }, (_, i) => (i < P ? "post" : "pre"));
    expect(kinds(nn.mix(options), depth)).toEqual(expected);
    expect(said).toEqual([]);
  });

  it("warns when the share is no whole block", () => {
    kinds(nn.mix(), 3);
    expect(said).toEqual([expect.stringContaining("so nothing is mixed")]);
  });

  it.each([
    [() => nn.mix({ alpha: 1.1 }), "expected alpha in [0, 1], got 1.1"],
    [() => nn.mix({ alpha: -0.1 }), "expected alpha in [0, 1]"],
    [() => nn.mix({ alpha: Number.NaN }), "expected alpha in [0, 1]"],
    [() => nn.mix({ postLayers: 1.5 }), "expected postLayers to be a whole number"],
    [() => nn.mix({ postLayers: -1 }), "expected postLayers to be a whole number"],
    [() => kinds(nn.mix({ postLayers: 5 }), 4), "postLayers 5 exceeds the 4 blocks"],
    [() => nn.mix({ alpha: 0.25, postLayers: 3 } as unknown as nn.MixOptions), "give alpha or postLayers, not both"],
  ])("refuses what cannot be: %s", (make, message) => {
    expect(make).toThrow(message);
  });
});

describe("LayerNorm Scaling", () => {
  const scales = (option: nn.PlacementOption, depth: number) =>
    Array.from({ length: depth }, (_, l) => nn.placementStrategy(option)(l, depth).mlp.scale);

  it("scales block l = 1, 2, … by 1/√l, both sublayers alike", () => {
    expect(scales("lns", 4)).toEqual([1, 1 / Math.sqrt(2), 1 / Math.sqrt(3), 0.5]);
    const { attention, mlp } = nn.layerNormScaling()(8, 9);
    expect([attention.scale, mlp.scale]).toEqual([1 / 3, 1 / 3]);
  });

  it("takes a scale of one's own", () => {
    expect(scales(nn.layerNormScaling({ scale: (_, depth) => 1 / depth }), 4)).toEqual([0.25, 0.25, 0.25, 0.25]);
  });

  const scaled = (placement: nn.Placement): nn.Placement => ({ ...placement, mlp: { ...placement.mlp, scale: 0.5 } });
  it.each([
    [() => nn.layerNormScaling({ scale: () => -1 })(0, 1), "expected a finite scale of at least 0 for block 0, got -1"],
    [() => nn.layerNormScaling({ scale: () => Number.NaN })(2, 3), "for block 2, got NaN"],
    [() => nn.layerNormScaling()(0.5, 3), "expected a block number 0, 1, …, got 0.5"],
    [() => nn.placementStrategy(scaled(nn.post()))(0, 1), "a norm scale needs Pre-LN"],
    [() => nn.placementStrategy(scaled(nn.peri()))(3, 4), 'placement "peri", block 3, mlp: a norm scale needs Pre-LN'],
  ])("refuses what cannot be: %s", (make, message) => {
    expect(make).toThrow(message);
  });
});

describe("a residual sublayer around a module of one's own", () => {
  const double = new (class extends nn.Module {
    override forward(x: Tensor): Tensor {
      return x.mul(2).add(1);
    }
  })();
  const x = NDArray.from(
    Array.from({ length: 2 * 4 }, (_, i) => Math.sin(3 * i)),
    "float32",
    [2, 4],
  );
  const rms = (t: Tensor): Tensor => t.rmsNorm({ eps: 1e-6 });
  const module = (t: Tensor): Tensor => t.mul(2).add(1);

  it.each([
    ["Pre-LN", nn.pre().attention, (t: Tensor) => t.add(module(rms(t)))],
    ["Post-LN", nn.post().attention, (t: Tensor) => rms(t.add(module(t)))],
    ["Peri-LN, its output norm before the addition", nn.peri().mlp, (t: Tensor) => t.add(rms(module(rms(t))))],
    ["Output-LN", nn.output().mlp, (t: Tensor) => t.add(rms(module(t)))],
    ["LayerNorm Scaling", nn.layerNormScaling()(3, 4).mlp, (t: Tensor) => t.add(module(rms(t).mul(0.5)))],
  ])("%s", async (_, placement, formula) => {
    const residual = nn.residual(double, 4, placement);
    const { actual, expected } = await runOnce({ x }, ({ x: t }) => ({
      actual: residual.apply(t as Tensor),
      expected: formula(t as Tensor),
    }));
    for (let i = 0; i < x.size; i++) expect(actual?.at(i)).toBeCloseTo(expected?.at(i) as number, 6);
  });

  it("starts output gains where asked, and freezes them", () => {
    const residual = nn.residual(double, 4, nn.peri({ outputGainInit: 0.5, trainOutputGain: false }).mlp);
    expect(residual.parameters().map(({ name }) => name)).toEqual(["input_norm.weight"]);
    expect(residual.namedVariables().get("output_norm.weight")?.current).toMatchObject({ shape: [4] });
  });

  it("refuses an output gain where the norm has none", () => {
    const norm = (width: number) => nn.rmsNorm(width, { affine: false });
    expect(() => nn.residual(double, 4, nn.peri({ outputGainInit: 0 }).mlp, { norm })).toThrow(
      'need an output norm with a gain "weight"',
    );
    expect(() => nn.peri({ outputGainInit: Number.NaN })).toThrow("expected a finite outputGainInit");
  });

  it("refuses LayerNorm on width 1, whose output is constant", () => {
    expect(() => nn.residual(double, 1, nn.peri().mlp, { norm: "layer" })).toThrow(
      "one element minus its own mean is always 0",
    );
  });
});
