import { describe, expect, it } from "vitest";
import {
  crossEntropy,
  NDArray,
  type NormActSearchOptions,
  nn,
  normalArray,
  paretoFront,
  searchNormAct,
  stressTest,
  type Tensor,
} from "../../src/index.js";

/** Two classes that differ in one channel's mean. */
const batch = (step: number) => {
  const noise = normalArray({ seed: 1, site: `batch ${step}` }, [16, 2, 4, 4]).toNumbers();
  const labels = Array.from({ length: 16 }, (_, i) => (i + step) % 2);
  return {
    images: NDArray.from(
      noise.map((v, i) => v + (Math.floor(i / 16) % 2 === 0 ? 2 * (labels[Math.floor(i / 32)] as number) : 0)),
      "float32",
      [16, 2, 4, 4],
    ),
    labels: NDArray.from(labels, "int32"),
  };
};

const anchor = (norm: nn.NormFactory, seed: number) => {
  const model = new nn.Sequential(
    new nn.Conv2d(2, 4, 3, { padding: 1, bias: false }),
    norm(4, 1),
    new nn.Lambda((x) => x.mean([2, 3])),
    new nn.Linear(4, 2, { bias: false }),
  );
  nn.kaiming(model, { seed });
  return model;
};

const options: NormActSearchOptions = {
  family: "batch",
  anchors: { one: anchor },
  classes: 2,
  train: batch,
  validation: [batch(1000), batch(1001)],
  evaluations: 4,
  tries: 12,
  steps: 8,
  rejection: { steps: 4, accuracy: 0.55, stressSteps: 4 },
  start: [nn.namedNormActGraphs["bn-relu"]],
  nodes: 5,
  seed: 3,
};

describe("the search for layers", () => {
  it("is the same by seed, and goes on from its state as if it had not stopped", async () => {
    const whole = await searchNormAct(options);
    expect(whole.tried).toBeGreaterThan(1);
    expect(whole.evaluated.length + Object.values(whole.rejected).reduce((a, b) => a + b)).toBe(whole.tried);
    expect(await searchNormAct(options)).toEqual(whole);
    const part = await searchNormAct({ ...options, strategy: "random", tries: 3 });
    const rest = await searchNormAct({ ...options, strategy: "random", state: JSON.parse(JSON.stringify(part)) });
    expect(rest).toEqual(await searchNormAct({ ...options, strategy: "random" }));
  });

  it("rejects what is not finite, does not learn or explodes, and tells each candidate", async () => {
    const told: string[] = [];
    const bad = [
      [
        ["exp", [0]],
        ["exp", [4]],
        ["exp", [5]],
      ],
      [["mul", [0, 1]]],
      [
        ["square", [0]],
        ["mul", [4, 0]],
        ["mul", [5, 5]],
      ],
    ].map((nodes) => nn.NormActGraph.fromJSON(nodes));
    const state = await searchNormAct({
      ...options,
      start: bad,
      evaluations: 3,
      tries: 3,
      rejection: { steps: 4, accuracy: 0.55, stressSteps: 60 },
      onCandidate: ({ verdict }) => told.push(verdict),
    });
    expect(state.evaluated).toEqual([]);
    expect(told).toHaveLength(3);
    expect(told[0]).toBe("not finite");
    expect(told[1]).toBe("quality");
  });

  it("refuses what it cannot do", async () => {
    await expect(searchNormAct({ ...options, evaluations: 0 })).rejects.toThrow("evaluations of at least 1, got 0");
    await expect(searchNormAct({ ...options, anchors: {} })).rejects.toThrow("at least one anchor");
    const state = await searchNormAct({ ...options, tries: 1 });
    await expect(searchNormAct({ ...options, seed: 4, state })).rejects.toThrow("the state is of seed 3, asked for 4");
    await expect(searchNormAct({ ...options, signal: AbortSignal.abort() })).rejects.toThrow();
  });

  it("knows which candidates no other beats", () => {
    const made = (...objectives: number[]) => ({ nodes: [], formula: "", verdict: "evaluated" as const, objectives });
    const all = [made(1, 2), made(2, 1), made(1, 1), made(2, 1)];
    expect(paretoFront(all)).toEqual([all[0], all[1], all[3]]);
  });
});

describe("the stress test", () => {
  it("stops at the limit for a network without norms and not for one with them", async () => {
    const stress = (norm: nn.NormFactory) => {
      const model = anchor(norm, 0);
      return stressTest({
        model,
        loss: ({ images, labels }) => crossEntropy(model.apply(images as Tensor), labels as Tensor),
        batch: batch(0),
        steps: 60,
      });
    };
    const cubed = await stress(() => new nn.Lambda((x) => x.mul(x).mul(x)));
    expect(cubed.stable).toBe(false);
    expect(cubed.gradientNorms.length).toBeLessThan(60);
    const normed = await stress((width) => new nn.Sequential(nn.batchNorm(width), new nn.Lambda((x) => x.relu())));
    expect(normed.stable).toBe(true);
    expect(normed.gradientNorms).toHaveLength(60);
  });
});
