/** explain: parameters, operations, bytes, time and devices, by module. */
import { describe, expect, it } from "vitest";
import { gpt } from "../../src/models/index.js";
import { adamW } from "../../src/optim/index.js";
import { compile } from "../../src/runtime/index.js";
import { crossEntropy, grad, NDArray, type Tensor } from "../../src/tensor/index.js";

const model = gpt({ layers: 2, width: 16, heads: 2, vocabulary: 11, context: 8 });
const optimizer = adamW(model.parameters(), { learningRate: 1e-2 });
const step = compile((inputs: Readonly<Record<string, Tensor>>) => {
  const loss = crossEntropy(model.apply(inputs.tokens as Tensor), inputs.tokens as Tensor);
  optimizer.update(grad(loss, model.parameters()));
  return { loss };
});
const feeds = { tokens: NDArray.from([1, 2, 3, 4, 5, 6, 7, 8], "int32", [1, 8]) };

describe("explain", () => {
  it("counts every parameter once and the products of each module", async () => {
    const { modules, total } = await step.explain(feeds);
    expect(total.parameters).toBe(model.parameters().reduce((sum, { size }) => sum + size, 0));
    const projection = modules.find(({ path }) => path === "model.layers.1.self_attn.q_proj");
    expect(projection?.parameters).toBe(256);
    expect(projection?.forwardFlops).toBeGreaterThanOrEqual(2 * 8 * 16 * 16);
    expect(projection?.backwardFlops).toBeGreaterThanOrEqual(4 * 8 * 16 * 16);
    expect(modules.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
  });

  it("measures time and device of each module, and changes no variable", async () => {
    const before = (await model.stateDict()).get("lm_head.weight")?.toNumbers();
    const { modules, total, operations, warnings } = await step.explain(feeds, { profile: true });
    expect(total.milliseconds).toBeGreaterThan(0);
    expect(modules.find(({ path }) => path === "model.layers.0.mlp.up_proj")?.devices).toEqual(["CPU"]);
    expect(operations[0]?.milliseconds).toBeGreaterThan(0);
    expect(warnings).toEqual([]);
    expect((await model.stateDict()).get("lm_head.weight")?.toNumbers()).toEqual(before);
  });

  it("reads as a table, modules as a tree, totals last", async () => {
    const lines = String(await step.explain(feeds, { depth: 3 })).split("\n");
    expect(lines[0]).toMatch(/^module +parameters +forward +backward +writes +share$/);
    expect(lines.map((line) => line.trim().split(/\s+/)[0])).toEqual([
      "module",
      "model",
      "embed_tokens",
      "layers",
      "0",
      "1",
      "norm",
      "lm_head",
      "(outside",
      "total",
    ]);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(100);
  });

  it("says what it needs", async () => {
    const fresh = compile((inputs: Readonly<Record<string, Tensor>>) => ({ y: inputs.x as Tensor }));
    await expect(fresh.explain()).rejects.toThrow(/run it once, or give inputs/);
  });
});
