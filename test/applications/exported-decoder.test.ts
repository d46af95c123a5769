/** Exported files as decoders: the same tokens as the checkpoint, in batches, on, and after a change of mind. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportFolder } from "../../src/applications/export-files.js";
import { openDecoder } from "../../src/applications/open-decoder.js";
import { TextGenerator } from "../../src/applications/text-generation.js";
import { fromPretrained } from "../../src/data/pretrained-files.js";
import { Generator } from "../../src/models/index.js";

const root = new URL("../golden/checkpoints/", import.meta.url).pathname;
const scratch = mkdtempSync(join(tmpdir(), "layerwise-exported-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const prompts = [[1, 2, 3, 4, 5], [7], [9, 8, 7]];

describe.each(["qwen3", "mistral", "gpt2", "llama-chat"])("%s", (name) => {
  const folder = join(scratch, name);
  beforeAll(() => exportFolder(join(root, name), folder, { dtypes: ["fp32", "q8"] }));

  it.each(["cpu", "wasm"] as const)(
    "on %s gives the tokens of the checkpoint, for prompts of different lengths",
    async (backend) => {
      const { source } = await openDecoder(folder, { dtype: "fp32", backend });
      const exported = new Generator(source);
      const own = new Generator(await fromPretrained(join(root, name)));
      for (const rows of [prompts, [[3, 1, 4, 1, 5, 9]], [[3, 1, 4, 1, 5, 9, 2, 6]], [[2, 7]]])
        expect(await exported.generate(rows, { maxNewTokens: 6 }), JSON.stringify(rows)).toEqual(
          await own.generate(rows, { maxNewTokens: 6 }),
        );
      await exported.release();
      await own.release();
    },
  );

  it("reads only what is new where a text goes on, and begins again where it does not", async () => {
    const { source } = await openDecoder(folder, { dtype: "fp32" });
    const decoder = source as Exclude<typeof source, { config: unknown }>;
    const [first] = await decoder.logits([[1, 2, 3]]);
    await decoder.logits([[5, 6]]);
    await decoder.logits([[1, 2]]);
    const [again] = await decoder.logits([[1, 2, 3]]);
    const scale = Math.max(...(first as Float32Array).map(Math.abs));
    expect(Math.max(...(again as Float32Array).map((v, i) => Math.abs(v - (first?.[i] as number))))).toBeLessThan(
      1e-5 * scale,
    );
    await decoder.release();
  });
});

it("opens an exported folder by itself, and says what is not there", async () => {
  const folder = join(scratch, "llama-chat");
  const generator = await TextGenerator.open(folder);
  const own = await TextGenerator.open(join(root, "llama-chat"));
  expect(await generator.complete("2+2", { maxNewTokens: 8, temperature: 0 })).toEqual(
    await own.complete("2+2", { maxNewTokens: 8, temperature: 0 }),
  );
  const small = await TextGenerator.open(folder, { dtype: "q8" });
  expect((await small.complete("2+2", { maxNewTokens: 8 })).newTokens).toBeGreaterThan(0);
  await expect(TextGenerator.open(folder, { dtype: "q4" })).rejects.toThrow(
    "no onnx/model_q4.onnx, only fp32, q8; write it first",
  );
});
