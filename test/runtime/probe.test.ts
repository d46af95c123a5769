/** A backend that computes wrongly is refused before it is used, and the message says what was wrong. */
import { beforeAll, describe, expect, it } from "vitest";
import type { Backend } from "../../src/runtime/backend.js";
import { getBackend } from "../../src/runtime/index.js";
import { verify } from "../../src/runtime/probe.js";
import type { DeviceArray } from "../../src/tensor/index.js";
import { corrupted, withRuns } from "../support/corrupted-backend.js";

let cpu: Backend;
beforeAll(async () => {
  cpu = await getBackend("cpu");
});

const oneOff = (values: Float32Array): void => {
  values[1 % values.length] = (values[1 % values.length] as number) + 0.5;
};

/** Everything that the probe looks at. */
async function outputs(): Promise<readonly string[]> {
  const names = new Set<string>();
  const listening = withRuns(cpu, (run) => (feeds, outputs, spares) => {
    for (const name of outputs) names.add(name);
    return run(feeds, outputs, spares);
  });
  await verify(listening);
  return [...names];
}

describe("verify", () => {
  it("trusts the CPU", async () => {
    await expect(verify(cpu)).resolves.toBeUndefined();
  });

  it("finds each of its values, gradients and states when one number of it is wrong, and names it", async () => {
    const names = await outputs();
    expect(names.filter((name) => name.startsWith("gradient of"))).toHaveLength(6);
    expect(names.filter((name) => name.startsWith("next"))).toEqual(["next moment", "next weight"]);
    for (const name of names)
      await expect(verify(corrupted(cpu, name, oneOff)), name).rejects.toMatchObject({
        code: "backend",
        message: expect.stringMatching(
          `backend "cpu" .* computes "${name.replace(/^next (.*)/, "$1 after 1 updates")}" wrongly: element [01] is .*, expected .*; use another backend`,
        ),
      });
  });

  it("takes NaN for wrong", async () => {
    await expect(verify(corrupted(cpu, "softmax", (values) => values.fill(Number.NaN)))).rejects.toThrow(
      /"softmax" wrongly: element 0 is NaN/,
    );
  });

  it.each([2, 3])("finds a state that goes wrong at its update %i alone", async (update) => {
    await expect(verify(corrupted(cpu, "next weight", oneOff, update))).rejects.toThrow(
      `"weight after ${update} updates" wrongly`,
    );
  });

  it("finds an engine that hands back an old buffer unwritten", async () => {
    const lazy = withRuns(cpu, (run) => async (feeds, outputs, spares) => {
      const results = new Map(await run(feeds, outputs, new Map()));
      for (const [name, spare] of spares) results.set(name, spare);
      return results;
    });
    await expect(verify(lazy)).rejects.toThrow('"moment after 2 updates" wrongly');
  });

  it("finds an engine that writes into what it reads", async () => {
    const careless = withRuns(cpu, (run) => async (feeds, outputs, spares) => {
      const results = await run(feeds, outputs, spares);
      const read = [...feeds.values()].map(
        (array) => (array as DeviceArray & { tensor: { data: unknown } }).tensor.data,
      );
      // What was fed last is the weight: it is overwritten by its next value.
      if (outputs.includes("next weight"))
        (read.at(-1) as Float32Array).set((await results.get("next weight")?.read())?.data as Float32Array);
      return results;
    });
    await expect(verify(careless)).rejects.toThrow('"weight before update 1, kept" wrongly');
  });
});

it.each([["an unknown name", "tpu", /backend "tpu" is unknown; known are cpu, webgpu, wasm/]])(
  "refuses %s",
  (_, name, message) => {
    expect(() => getBackend(name as never)).toThrow(message);
  },
);
