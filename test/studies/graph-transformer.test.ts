import { describe, expect, it } from "vitest";
import "../../src/index.js";
import { claimProblem } from "../../src/catalogue/claim.js";
import { type GraphVariantName, graphVariants, trainOnClusters } from "../../src/studies/graph-clusters.js";
import { graphTransformerClaims } from "../../src/studies/papers/graph-transformer.js";

const tiny = { layers: 1, hidden: 8, heads: 2, k: 2, train: 8, test: 4, batch: 4, steps: 5, learningRate: 1e-2 };

describe("the study of graph transformers", () => {
  it.each(Object.entries(graphVariants))("trains %s, the same by seed", async (_, variant) => {
    const run = await trainOnClusters(variant, { seed: 1, scale: tiny });
    expect(run.losses).toHaveLength(5);
    expect(run.losses.every(Number.isFinite)).toBe(true);
    expect(run.accuracy).toBeGreaterThan(0);
    expect(run.accuracy).toBeLessThanOrEqual(1);
    expect(await trainOnClusters(variant, { seed: 1, scale: tiny })).toEqual(run);
    expect((await trainOnClusters(variant, { seed: 2, scale: tiny })).losses).not.toEqual(run.losses);
  });

  it("judges each statement by runs paired by seed, in its direction", () => {
    const runs = (accuracy: number, loss: number) =>
      [0, 0.01, 0.02, 0.005].map((shift) => ({
        accuracy: accuracy + shift,
        losses: Array.from({ length: 60 }, (_, i) => loss + shift + i / 100),
      }));
    const made = {
      "sparse, batch norm, positions": runs(0.9, 0.4),
      "sparse, layer norm, positions": runs(0.8, 0.6).map((run, i) => ({ ...run, accuracy: run.accuracy + i / 1000 })),
      "sparse, batch norm, no positions": runs(0.95, 0.4).map((run, i) => ({
        ...run,
        accuracy: run.accuracy + i / 1000,
      })),
      "full, batch norm, positions": runs(0.7, 0.9).map((run, i) => ({ ...run, accuracy: run.accuracy + i / 1000 })),
      "full, batch norm, no positions": runs(0.35, 1.1),
    } satisfies Record<GraphVariantName, unknown>;
    made["sparse, layer norm, positions"].forEach((run, i) => {
      run.losses = run.losses.map((loss) => loss + i / 1000);
    });
    const claims = graphTransformerClaims(made);
    expect(claims.map(({ verdict }) => verdict)).toEqual(["holds", "holds", "does not hold", "holds", "holds"]);
    expect(claims.map(claimProblem)).toEqual(claims.map(() => undefined));
  });
});
