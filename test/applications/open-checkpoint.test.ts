import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { lora } from "../../src/adapt/index.js";
import { saveAdapter } from "../../src/adapt/node.js";
import { openCheckpoint } from "../../src/applications/open-checkpoint.js";
import { fromPretrained } from "../../src/data/pretrained-files.js";
import { compile, NDArray, type Tensor } from "../../src/index.js";
import type { GPT } from "../../src/models/index.js";

const base = join(import.meta.dirname, "../golden/checkpoints/llama-chat");
const scratch = await mkdtemp(join(tmpdir(), "layerwise-open-"));
afterAll(() => rm(scratch, { recursive: true, force: true }));

const logitsOf = async (model: GPT): Promise<number[]> => {
  const program = compile(({ tokens }: { tokens: Tensor }) => ({ logits: model.apply(tokens) }));
  const { logits } = await program({ tokens: NDArray.from([[5, 6, 7, 8]], "int32") });
  await program.release();
  return logits.toNumbers();
};

const distance = (x: readonly number[], y: readonly number[]): number =>
  Math.max(...x.map((value, i) => Math.abs(value - (y[i] as number)))) / Math.max(...x.map(Math.abs));

it("an adapter's folder is its base with the adapter merged", async () => {
  const adapted = await fromPretrained(base);
  const adapters = lora(adapted, { rank: 2 });
  // B starts as zeros, which would change nothing.
  for (const [path, variable] of adapted.namedVariables())
    if (path.includes("lora_B"))
      variable.set(NDArray.from(new Float32Array(variable.size).fill(0.05), "float32", variable.shape));
  await saveAdapter(adapters, join(scratch, "tone"), "default", { base });
  const opened = await openCheckpoint(join(scratch, "tone"));
  expect(opened).toMatchObject({ base, tokenizer: base });
  const [expected, plain] = [await logitsOf(adapted), await logitsOf(await fromPretrained(base))];
  expect(distance(expected, await logitsOf(opened.model))).toBeLessThan(1e-5);
  expect(distance(expected, plain)).toBeGreaterThan(1e-2);

  await writeFile(join(scratch, "tone/tokenizer.json"), "{}");
  expect((await openCheckpoint(join(scratch, "tone"))).tokenizer).toBe(join(scratch, "tone"));
});

it("a base that is not here is named", async () => {
  await saveAdapter(lora(await fromPretrained(base)), join(scratch, "lost"), "default", { base: "some/hub-model" });
  await expect(openCheckpoint(join(scratch, "lost"))).rejects.toThrow(
    /adapter_config\.json: expected base_model_name_or_path .* got "some\/hub-model"/,
  );
  await expect(fromPretrained(join(scratch, "lost"))).rejects.toThrow(/no config\.json, it holds an adapter/);
  await expect(openCheckpoint(scratch)).rejects.toThrow(/no config\.json; expected a checkpoint folder/);
});
