import { describe, expect, it } from "vitest";
import { dirichletSplit, NDArray } from "../../src/index.js";

const count = 600;
const data = {
  x: NDArray.from(
    Array.from({ length: count }, (_, i) => i),
    "float32",
    [count, 1],
  ),
  labels: NDArray.from(
    Array.from({ length: count }, (_, i) => i % 6),
    "int32",
  ),
};

/** Largest share of one class in each client, averaged. */
const skew = (beta: number) => {
  const parts = dirichletSplit(data, { clients: 5, beta, seed: 3 });
  const shares = parts.map(({ labels }) => {
    const counts = Array.from({ length: 6 }, (_, c) => (labels as NDArray).toNumbers().filter((l) => l === c).length);
    return Math.max(...counts) / (labels as NDArray).size;
  });
  return shares.reduce((a, b) => a + b) / shares.length;
};

describe("data of clients with skewed labels", () => {
  it("has every sample once, with its label, the same by seed", () => {
    const parts = dirichletSplit(data, { clients: 5, seed: 3 });
    const rows = parts.flatMap(({ x }) => (x as NDArray).toNumbers());
    expect(rows.toSorted((a, b) => a - b)).toEqual(data.x.toNumbers());
    for (const { x, labels } of parts)
      expect((labels as NDArray).toNumbers()).toEqual((x as NDArray).toNumbers().map((row) => row % 6));
    expect(dirichletSplit(data, { clients: 5, seed: 3 })).toEqual(parts);
    expect(dirichletSplit(data, { clients: 5, seed: 4 })).not.toEqual(parts);
  });

  it("is nearly even for a large β, and of few classes for a small one", () => {
    expect(skew(1000)).toBeLessThan(0.21);
    expect(skew(0.1)).toBeGreaterThan(0.4);
    expect(skew(0.1)).toBeGreaterThan(skew(1));
  });

  it("gives every client the fewest samples", () => {
    const parts = dirichletSplit(data, { clients: 10, beta: 0.2, minimum: 20 });
    for (const { labels } of parts) expect((labels as NDArray).size).toBeGreaterThanOrEqual(20);
    const tiny = dirichletSplit(data, { clients: 3, beta: 1e-4 });
    expect(tiny.reduce((sum, { labels }) => sum + (labels as NDArray).size, 0)).toBe(count);
  });

  it.each<[string, Parameters<typeof dirichletSplit>[1], RegExp]>([
    ["no clients", { clients: 0 }, /positive whole number of clients, got 0/],
    ["β = 0", { clients: 2, beta: 0 }, /positive beta, got 0/],
    ["other labels", { clients: 2, labels: "y" }, /the data has no "y"/],
    ["more than there is", { clients: 5, minimum: 200 }, /never had 200 of 600 samples each/],
  ])("refuses %s", (_, options, message) => {
    expect(() => dirichletSplit(data, options)).toThrow(message);
  });
});
