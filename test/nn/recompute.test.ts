/** Recomputation: less memory, the same numbers, the same names. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { gpt } from "../../src/models/index.js";
import { recompute } from "../../src/nn/index.js";
import { bundle, firstMessage, start } from "../support/child.js";

interface Report {
  readonly losses: readonly number[];
  readonly megabytes: number;
}

it("lowers peak memory by a fifth at least and does not change a bit of the results, dropout and all", async () => {
  const script = await bundle(join(import.meta.dirname, "../support/peak-memory.ts"));
  const [kept, forgotten] = [
    (await firstMessage(start(script, ["keep"]))) as Report,
    (await firstMessage(start(script, ["recompute"]))) as Report,
  ];
  expect(forgotten.losses).toEqual(kept.losses);
  expect(forgotten.megabytes).toBeLessThan(0.8 * kept.megabytes);
});

it("leaves the names of a model as they are", () => {
  const model = gpt({ layers: 2, width: 8, heads: 1, vocabulary: 5, context: 4 });
  const names = [...model.namedVariables().keys()];
  model.model.layers.forEach(recompute);
  expect([...model.namedVariables().keys()]).toEqual(names);
});
