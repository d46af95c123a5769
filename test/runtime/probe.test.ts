/** A backend that computes wrongly is refused before it is used, and the message says what was wrong. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/runtime/backend.js";
import { getBackend } from "../../src/runtime/index.js";
import { verify } from "../../src/runtime/probe.js";
import { type DeviceArray, NDArray } from "../../src/tensor/index.js";

/** The CPU, with one output changed on its way back. */
async function corrupted(output: string, change: (values: Float32Array) => void): Promise<Backend> {
  const backend = await getBackend("cpu");
  return {
    ...backend,
    async createSession(model, options) {
      const session = await backend.createSession(model, options);
      return {
        ...session,
        async run(feeds, outputs, spares) {
          const results = new Map(await session.run(feeds, outputs, spares));
          const array = await (results.get(output) as DeviceArray).read();
          change(array.data as Float32Array);
          results.set(output, {
            ...(results.get(output) as DeviceArray),
            read: async () => new NDArray(array.data, array.shape, array.dtype),
          });
          return results;
        },
      };
    },
  };
}

describe("verify", () => {
  it("trusts the CPU", async () => {
    await expect(verify(await getBackend("cpu"))).resolves.toBeUndefined();
  });

  it.each(["matmul", "gradient of rmsNorm", "gradient of embedding", "backward slice"])(
    "names %s when it is wrong",
    async (name) => {
      const backend = await corrupted(name, (values) => {
        values[1] = (values[1] as number) + 0.5;
      });
      await expect(verify(backend)).rejects.toThrow(
        new RegExp(`backend "cpu" .* computes "${name}" wrongly: element 1 is .*, expected .*; use another backend`),
      );
    },
  );

  it("takes NaN for wrong", async () => {
    await expect(verify(await corrupted("softmax", (values) => values.fill(Number.NaN)))).rejects.toThrow(
      /"softmax" wrongly: element 0 is NaN/,
    );
  });
});

it.each([["an unknown name", "tpu", /backend "tpu" is unknown; known are cpu, webgpu, wasm/]])(
  "refuses %s",
  (_, name, message) => {
    expect(() => getBackend(name as never)).toThrow(message);
  },
);
