/** Exported models in other people's hands: plain ONNX Runtime, and the real transformers.js. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoModelForCausalLM, AutoTokenizer, env } from "@huggingface/transformers";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { afterAll, describe, expect, it } from "vitest";
import { exportFolder } from "../../src/applications/export-files.js";
import { TextGenerator } from "../../src/applications/text-generation.js";
import { quantizeBlocks } from "../../src/compile/quantized-weights.js";
import { fromPretrained } from "../../src/data/pretrained-files.js";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { Generator } from "../../src/models/index.js";
import { NDArray, normalArray } from "../../src/tensor/index.js";
import { bundledScript, chromium, withPage } from "../support/browser.js";

const root = new URL("../golden/checkpoints/", import.meta.url).pathname;
const refused = ["llama-dynamic", "phi3", "phi3-longrope"];
const cases = readdirSync(root).filter(
  (name) => existsSync(join(root, name, "config.json")) && !refused.includes(name),
);
const scratch = mkdtempSync(join(tmpdir(), "layerwise-export-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const int64 = (values: readonly number[], shape: readonly number[]) =>
  new OrtTensor("int64", BigInt64Array.from(values, BigInt), [...shape]);

/** One run of an exported model over rows of tokens of equal length, after `past` from an earlier run. */
async function run(session: InferenceSession, rows: readonly number[][], past?: Record<string, OrtTensor>) {
  const [B, T] = [rows.length, rows[0]?.length ?? 0];
  const before = Number(past ? Object.values(past)[0]?.dims[2] : 0);
  const feeds: Record<string, OrtTensor> = {
    input_ids: int64(rows.flat(), [B, T]),
    attention_mask: int64(Array(B * (before + T)).fill(1), [B, before + T]),
    position_ids: int64(
      rows.flatMap(() => Array.from({ length: T }, (_, t) => before + t)),
      [B, T],
    ),
  };
  for (const meta of session.inputMetadata)
    if (meta.isTensor && meta.name.startsWith("past_key_values"))
      feeds[meta.name] =
        past?.[meta.name.replace("past_key_values", "present")] ??
        new OrtTensor("float32", new Float32Array(0), [B, Number(meta.shape[1]), 0, Number(meta.shape[3])]);
  const { logits, ...present } = await session.run(feeds);
  return { logits: logits as OrtTensor, present: present as Record<string, OrtTensor> };
}

const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let [largest, scale] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    largest = Math.max(largest, Math.abs((a[i] as number) - (b[i] as number)));
    scale = Math.max(scale, Math.abs(b[i] as number));
  }
  return largest / scale;
};

const rowsOf = (array: NDArray): number[][] => {
  const [rows, length] = array.shape as [number, number];
  return Array.from({ length: rows }, (_, r) => array.toNumbers().slice(r * length, (r + 1) * length));
};

describe("plain ONNX Runtime", () => {
  it.each(cases)("%s: gives the reference's logits, whole and in parts with a cache", async (name) => {
    const folder = join(scratch, name);
    await exportFolder(join(root, name), folder);
    const session = await InferenceSession.create(join(folder, "onnx/model.onnx"));
    const { tensors } = await readSafetensors(join(root, name, "reference.safetensors"));
    const [ids, expected] = [rowsOf(tensors.get("input_ids") as NDArray), tensors.get("logits") as NDArray];
    const { logits } = await run(session, ids);
    expect(logits.dims).toEqual([...expected.shape]);
    expect(difference(logits.data as Float32Array, expected.data as Float32Array)).toBeLessThan(1e-5);
    // 7 tokens first, then the rest one by one.
    let { present, logits: part } = await run(
      session,
      ids.map((row) => row.slice(0, 7)),
    );
    for (let t = 7; t < (ids[0]?.length ?? 0); t++)
      ({ present, logits: part } = await run(
        session,
        ids.map((row) => row.slice(t, t + 1)),
        present,
      ));
    const V = expected.shape[2] as number;
    const T = expected.shape[1] as number;
    for (const b of ids.keys())
      expect(
        difference(
          (part.data as Float32Array).subarray(b * V, (b + 1) * V),
          (expected.data as Float32Array).subarray((b * T + T - 1) * V, (b * T + T) * V),
        ),
      ).toBeLessThan(1e-5);
    await session.release();
  });
});

describe("transformers.js", () => {
  env.allowRemoteModels = false;
  env.localModelPath = `${scratch}/`;

  it.each(["llama-chat", "gpt2", "qwen2"])(
    "%s: loads the folder as it is and generates the same tokens",
    async (name) => {
      const folder = join(scratch, `tjs-${name}`);
      await exportFolder(join(root, name), folder, { dtypes: ["fp32", "fp16"], maxInlineBytes: 1000 });
      expect(readdirSync(join(folder, "onnx")).sort()).toEqual([
        "model.onnx",
        "model.onnx_data",
        "model_fp16.onnx",
        "model_fp16.onnx_data",
      ]);
      const ours = await TextGenerator.open(join(root, name));
      const ids = ours.idsOf("The gradient");
      const [expected = []] = await new Generator(ours.source).generate([ids], { maxNewTokens: 12 });
      const tokenizer = await AutoTokenizer.from_pretrained(`tjs-${name}`);
      for (const dtype of ["fp32", "fp16"] as const) {
        const model = await AutoModelForCausalLM.from_pretrained(`tjs-${name}`, { dtype });
        const inputs = tokenizer("The gradient") as Record<string, unknown>;
        const output = (await model.generate({
          ...inputs,
          max_new_tokens: 12,
          do_sample: false,
          eos_token_id: [-1],
        } as never)) as unknown as { tolist(): bigint[][] };
        const made = (output.tolist()[0] ?? []).map(Number);
        if (dtype === "fp32") expect(made).toEqual([...ids, ...expected]);
        else expect(made.slice(0, ids.length + 3)).toEqual([...ids, ...expected.slice(0, 3)]);
        await model.dispose();
      }
      await ours.release();
    },
  );

  it.skipIf(!chromium)("generates the same tokens in Chromium", async () => {
    const folder = join(scratch, "page");
    await exportFolder(join(root, "llama-chat"), join(folder, "model"));
    const ours = await TextGenerator.open(join(root, "llama-chat"));
    const ids = ours.idsOf("The gradient");
    const [expected = []] = await new Generator(ours.source).generate([ids], { maxNewTokens: 12 });
    const script = await bundledScript(`
      import { AutoModelForCausalLM, AutoTokenizer, env } from "@huggingface/transformers";
      env.allowRemoteModels = false;
      env.allowLocalModels = true;
      env.useBrowserCache = false;
      env.localModelPath = "/models/"; // a path: of addresses it asks nothing
      env.backends.onnx.wasm.wasmPaths = location.origin + "/engine/";
      globalThis.suite = async (text) => {
        const model = await AutoModelForCausalLM.from_pretrained("model", { dtype: "fp32", device: "wasm" });
        const tokenizer = await AutoTokenizer.from_pretrained("model");
        const output = await model.generate({ ...tokenizer(text), max_new_tokens: 12, do_sample: false, eos_token_id: [-1] });
        return output.tolist()[0].map(Number);
      };`);
    const packages = new URL("../../node_modules/", import.meta.url).pathname;
    const nested = join(packages, "@huggingface/transformers/node_modules/onnxruntime-web/dist");
    const engine = existsSync(nested) ? nested : join(packages, "onnxruntime-web/dist");
    const made = await withPage(script, { folders: { models: folder, engine } }, (page, log) =>
      page.evaluate(`suite("The gradient")`).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${log.join("\n")}`);
      }),
    );
    expect(made).toEqual([...ids, ...expected]);
    await ours.release();
  });

  it("config.json says which files have their weights beside them", () => {
    const config = JSON.parse(readFileSync(join(scratch, "tjs-gpt2/config.json"), "utf8")) as object;
    expect(config).toMatchObject({
      "transformers.js_config": { use_external_data_format: { "model.onnx": true, "model_fp16.onnx": true } },
    });
  });
});

describe("weights of few bits", () => {
  const dequantized = (weight: NDArray, bits: 4 | 8): Float32Array => {
    const [rows, columns] = weight.shape as [number, number];
    const { packed, scales } = quantizeBlocks(weight, bits);
    const blocks = Math.ceil(columns / 32);
    return Float32Array.from({ length: rows * columns }, (_, n) => {
      const [r, c] = [Math.floor(n / columns), n % columns];
      const b = r * blocks + Math.floor(c / 32);
      const i = c % 32;
      const byte = packed.at(b * (bits * 4) + (bits === 8 ? i : i >> 1));
      const q = bits === 8 ? byte : i % 2 === 0 ? byte & 15 : byte >> 4;
      return scales.at(b) * (q - 2 ** (bits - 1));
    });
  };

  it.each([8, 4] as const)(
    "%d bits: no weight is off by more than a step, and the largest of a block is exact",
    (bits) => {
      const weight = normalArray({ seed: 1, site: "weight" }, [5, 70]);
      const near = dequantized(weight, bits);
      for (let r = 0; r < 5; r++)
        for (let start = 0; start < 70; start += 32) {
          const places = Array.from({ length: Math.min(32, 70 - start) }, (_, i) => r * 70 + start + i);
          const extreme = Math.max(...places.map((n) => Math.abs(weight.at(n))));
          const step = extreme / 2 ** (bits - 1);
          const errors = places.map((n) => Math.abs((near[n] as number) - weight.at(n)));
          // Half a step, but on the far side of the range, which is one step shorter.
          expect(Math.max(...errors)).toBeLessThanOrEqual(step * 1.001);
          expect(errors.filter((error) => error > step * 0.501).length).toBeLessThanOrEqual(2);
          expect(errors[places.findIndex((n) => Math.abs(weight.at(n)) === extreme)]).toBeLessThan(1e-6);
        }
    },
  );

  it.each([
    ["q8", 8],
    ["q4", 4],
  ] as const)("%s: the engine computes with the rounded weights", async (dtype, bits) => {
    const name = "llama";
    const folder = join(scratch, `bits-${dtype}`);
    await exportFolder(join(root, name), folder, { dtypes: [dtype] });
    const suffix = dtype === "q8" ? "_quantized" : "_q4";
    const session = await InferenceSession.create(join(folder, `onnx/model${suffix}.onnx`));
    const { tensors } = await readSafetensors(join(root, name, "reference.safetensors"));
    const ids = rowsOf(tensors.get("input_ids") as NDArray);
    const { logits } = await run(session, ids);
    const model = await fromPretrained(join(root, name));
    for (const [path, variable] of model.namedVariables())
      if (/(_proj|lm_head)\.weight$/.test(path)) {
        const value = await variable.data();
        variable.set(new NDArray(dequantized(value, bits), value.shape, "float32"));
      }
    const rounded = join(scratch, `rounded-${dtype}`);
    const { savePretrained } = await import("../../src/data/pretrained-files.js");
    await savePretrained(model, rounded);
    await exportFolder(rounded, join(scratch, `rounded-${dtype}-onnx`));
    const plain = await InferenceSession.create(join(scratch, `rounded-${dtype}-onnx/onnx/model.onnx`));
    const expected = (await run(plain, ids)).logits;
    // Accuracy level 4 rounds the activations of a block to 8 bits, too: a few per cent of the largest logit.
    expect(difference(logits.data as Float32Array, expected.data as Float32Array)).toBeLessThan(0.05);
    await session.release();
    await plain.release();
  });
});
