/**
 * Made-up numbers with the shape of a real study of norm placements, the same on every machine: what the pictures and
 * pages of the tests are drawn from.
 */
import type { Claim } from "../../src/catalogue/claim.js";
import type { Series, StudyReport, Subject } from "../../src/studies/study-report.js";

/** A small linear congruential generator: uniform numbers in [0, 1). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export const layers = 12;

interface Placement extends Subject {
  readonly final: number;
  readonly growth: number;
}

export const placements: readonly Placement[] = [
  { key: "post", name: "Post-LN", final: 2.38, growth: 0 },
  { key: "pre", name: "Pre-LN", final: 2.64, growth: 0.42 },
  { key: "peri", name: "Peri-LN", final: 2.47, growth: 0.24 },
  { key: "mix", name: "Mix-LN", final: 2.35, growth: 0.2 },
  { key: "lns", name: "Pre-LN scaled", final: 2.6, growth: 0.13 },
];

export const steps = Array.from({ length: 300 }, (_, i) => i + 1);

export function lossCurves(): Series[] {
  return placements.map(({ key, name, final }, which) => ({
    key,
    name,
    runs: [0, 1].map((seed) => {
      const random = uniform(100 * which + seed + 1);
      const spike = key === "pre" ? 180 + 20 * seed : -1;
      return {
        x: steps,
        y: steps.map((step) => {
          const trend = final + (4.6 - final) * Math.exp(-step / 45) + (random() - 0.5) * 0.16;
          return trend + (step >= spike && step < spike + 6 && spike > 0 ? 0.7 - (step - spike) * 0.1 : 0);
        }),
      };
    }),
  }));
}

export const columns = Array.from({ length: 50 }, (_, i) => i * 6);

export function variances(growth: number, seed: number): number[][] {
  const random = uniform(seed + 7);
  return Array.from({ length: layers + 1 }, (_, layer) =>
    columns.map(
      (step) => (1 + layer * 0.3) * Math.exp(growth * layer * (1 - Math.exp(-step / 120))) * (0.9 + 0.2 * random()),
    ),
  );
}

export function angles(growth: number): (number | null)[][] {
  return Array.from({ length: layers }, (_, row) =>
    Array.from({ length: layers }, (_, layer) =>
      layer + row + 1 > layers ? null : 0.47 * (1 - Math.exp(-(row + 1) * 0.5 * Math.exp(-growth * layer * 0.9))),
    ),
  );
}

export function skipCosts(growth: number, seed: number): number[] {
  const random = uniform(seed + 3);
  return Array.from({ length: layers }, (_, layer) =>
    layer === 0 ? 1.6 + random() * 0.5 : 0.11 * Math.exp(-growth * layer * 0.7) * (0.6 + 0.8 * random()),
  );
}

const welch = "Welch's t-test, one-sided";

export const claims: {
  readonly peri: readonly Claim[];
  readonly mix: readonly Claim[];
  readonly scaled: readonly Claim[];
} = {
  peri: [
    {
      claim: "At a high learning rate Peri-LN keeps the residual stream small",
      metric: "variance of the last layer",
      baseline: { label: "Pre-LN", mean: 5737, standardError: 412 },
      measured: { label: "Peri-LN", mean: 55.2, standardError: 3.1 },
      verdict: "holds",
      n: 5,
      test: welch,
      pValue: 0.00004,
    },
    {
      claim: "At a high learning rate Peri-LN learns better",
      metric: "validation loss (nats per byte)",
      baseline: { label: "Pre-LN", mean: 2.981, standardError: 0.034 },
      measured: { label: "Peri-LN", mean: 2.474, standardError: 0.012 },
      verdict: "holds",
      n: 5,
      test: welch,
      pValue: 0.0007,
    },
  ],
  mix: [
    {
      claim: "Mix-LN makes gradient norms more uniform over depth",
      metric: "largest / smallest gradient norm of a block",
      baseline: { label: "Pre-LN", mean: 5.92, standardError: 0.31 },
      measured: { label: "Mix-LN", mean: 2.54, standardError: 0.18 },
      verdict: "holds",
      n: 5,
      test: welch,
      pValue: 0.0031,
    },
    {
      claim: "Mix-LN learns better than Post-LN",
      metric: "validation loss (nats per byte)",
      baseline: { label: "Post-LN", mean: 2.363, standardError: 0.006 },
      measured: { label: "Mix-LN", mean: 2.349, standardError: 0.011 },
      verdict: "inconclusive",
      n: 5,
      test: welch,
      pValue: 0.16,
      note: "The paper compares at 250 million parameters and more, where Post-LN diverges.",
    },
  ],
  scaled: [
    {
      claim: "Scaling norm outputs by 1/√layer stops the growth of the variance",
      metric: "variance of the last layer / of the middle one",
      baseline: { label: "Pre-LN", mean: 14.9, standardError: 1.2 },
      measured: { label: "Pre-LN scaled", mean: 1.21, standardError: 0.04 },
      verdict: "holds",
      n: 5,
      test: welch,
      pValue: 0.00035,
    },
    {
      claim: "Deep layers matter more with the scaling",
      metric: "mean loss increase when one of the deeper half is skipped (nats)",
      baseline: { label: "Pre-LN", mean: 0.0201, standardError: 0.0052 },
      measured: { label: "Pre-LN scaled", mean: 0.0013, standardError: 0.0004 },
      verdict: "does not hold",
      n: 5,
      test: welch,
      pValue: 0.99,
      note: "The opposite at this size; the paper trains a thousand times longer.",
    },
    {
      claim: "The model with scaling trains without warm-up",
      metric: "validation loss (nats per byte)",
      baseline: { label: "Pre-LN", mean: 2.71, standardError: 0.02 },
      measured: { label: "Pre-LN scaled", mean: null, standardError: null },
      verdict: "inconclusive",
      n: 1,
      test: welch,
      pValue: null,
    },
  ],
};

export const report: StudyReport = {
  id: "placement",
  title: "Where should the norm sit?",
  summary:
    "Five placements of RMSNorm in the same small language model, trained from the same seeds. Placing it around each " +
    "sub-layer keeps the residual stream bounded at high learning rates; mixing Post-LN and Pre-LN learns best at this size.",
  finished: "2026-11-25T14:03:00Z",
  seconds: 1994,
  command: "npx layerwise study placement --seeds 5",
  machine: "2 cores, AVX-512, onnxruntime-node 1.30, Node 20.20, layerwise 0.1.0",
  setup: [
    { label: "Text", value: "tiny Shakespeare, 1,115,394 bytes, 96 symbols" },
    { label: "Model", value: "decoder, 12 layers, width 64, 4 heads, SwiGLU 168, RoPE, RMSNorm" },
    { label: "Training", value: "300 steps of 8 × 64 symbols, AdamW (0.9, 0.95), cosine to 10 %" },
    { label: "Learning rates", value: "3e-3 and 1e-2" },
    { label: "Seeds", value: "0, 1, 2, 3, 4" },
  ],
  papers: [
    { paper: "peri-ln", claims: claims.peri },
    { paper: "mix-ln", claims: claims.mix },
    { paper: "layer-norm-scaling", claims: claims.scaled },
  ],
  sections: [
    {
      title: "Learning",
      prose: [
        "All models see the same batches in the same order. Post-LN and Mix-LN need the warm-up; without it both stay at the loss of guessing symbol frequencies.",
      ],
      figures: [
        {
          kind: "lines",
          title: "Training loss",
          caption: "Mix-LN and Post-LN end lowest. Pre-LN's spike near step 180 is there in both seeds.",
          x: { label: "step" },
          y: { label: "loss", unit: "nats per byte" },
          series: lossCurves(),
          smooth: 15,
        },
      ],
      tables: [
        {
          title: "After 300 steps",
          caption: "Means over seeds.",
          columns: [
            "Placement",
            "Loss over steps",
            "Validation loss (nats/byte)",
            "Bits per byte",
            "Last-layer variance",
          ],
          rows: lossCurves().map(({ key, name, runs }, i) => [
            name,
            { spark: runs[0]?.y ?? [], key },
            placements[i]?.final ?? null,
            (placements[i]?.final ?? 0) / Math.LN2,
            variances(placements[i]?.growth ?? 0, i)
              .at(-1)
              ?.at(-1) ?? null,
          ]),
        },
      ],
    },
    {
      title: "The residual stream",
      prose: [
        "Pre-LN's stream grows with depth during training; Peri-LN's grows linearly, and scaling nearly stops it.",
      ],
      figures: [
        {
          kind: "heat-map",
          title: "Variance of the residual stream",
          caption:
            "Read each panel from bottom (embedding) to top (last layer): Pre-LN's top right corner is a hundred times its bottom.",
          x: { label: "step" },
          y: { label: "layer" },
          value: { label: "variance", scale: "log" },
          columns,
          rows: Array.from({ length: layers + 1 }, (_, i) => i),
          panels: placements.map(({ key, name, growth }, i) => ({ key, name, values: variances(growth, i) })),
        },
      ],
    },
    {
      title: "What layers do",
      prose: [
        "Two views of a trained model: how far the stream turns between two layers, and what skipping one costs.",
      ],
      figures: [
        {
          kind: "angular-heat-map",
          title: "Angular distance between layers",
          caption:
            "Pre-LN's lower right corner is near zero: deep neighbours hardly change the direction of the stream.",
          panels: placements.map(({ key, name, growth }) => ({ key, name, values: angles(growth) })),
        },
        {
          kind: "bars",
          title: "Loss increase when one layer is skipped",
          caption: "The first layer dwarfs the others everywhere, hence the symmetric logarithmic axis.",
          x: { label: "layer" },
          y: { label: "loss increase", unit: "nats", scale: "symlog", threshold: 0.01 },
          panels: placements.map(({ key, name, growth }, i) => ({
            key,
            name,
            values: skipCosts(growth, i),
            errors: skipCosts(growth, i).map((v) => v * 0.15),
          })),
        },
      ],
    },
  ],
  limits: [
    "Benchmark scores, and divergence rates over many seeds, need far larger models.",
    "Half-precision overflow appears after billions of tokens; this study computes in float32.",
  ],
};
