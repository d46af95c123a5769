/** From a checkpoint folder to text: prompts, chats, end tokens, stop sequences, settings. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { heldBack } from "../../src/applications/stop-sequences.js";
import { TextGenerator } from "../../src/applications/text-generation.js";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { Tokenizer } from "../../src/data/tokenizer-files.js";
import { Generator, gpt } from "../../src/models/index.js";
import type { NDArray } from "../../src/tensor/index.js";

const folder = new URL("../golden/checkpoints/llama-chat", import.meta.url).pathname;
const scratch = mkdtempSync(join(tmpdir(), "layerwise-text-"));
afterAll(() => rmSync(scratch, { recursive: true }));

describe("text from a checkpoint folder", () => {
  it("is the decoded greedy continuation, piece by piece or whole", async () => {
    const generator = await TextGenerator.open(folder);
    const { text, reason, promptTokens, newTokens } = await generator.complete("The gradient", { maxNewTokens: 12 });
    expect([reason, promptTokens, newTokens]).toEqual(["length", generator.idsOf("The gradient").length, 12]);
    let pieces = "";
    for await (const piece of generator.stream("The gradient", { maxNewTokens: 12 })) pieces += piece;
    expect(pieces).toBe(text);
    await generator.release();
  });

  it("ends at an end token that generation_config.json names, without writing it", async () => {
    const generator = await TextGenerator.open(folder);
    const { tensors } = await readSafetensors(join(folder, "reference.safetensors"));
    const ids = (tensors.get("ending.prompt") as NDArray).toNumbers();
    const expected = (tensors.get("ending.generated") as NDArray).toNumbers();
    const end = expected.at(-1) as number;
    expect(generator.endTokens).toContain(end);
    const tokens = new Generator(generator.source);
    expect(await tokens.generate([ids], { maxNewTokens: 60, stopTokens: generator.endTokens })).toEqual([expected]);
    await tokens.release();
    const { text, reason, newTokens } = await generator.complete("The gradient", { maxNewTokens: 50 });
    expect(reason).toBe("stop");
    const [made = []] = await new Generator(generator.source).generate([generator.idsOf("The gradient")], {
      maxNewTokens: newTokens,
    });
    expect(generator.endTokens).toContain(made.at(-1));
    expect(text).toBe(generator.tokenizer.decode(made.slice(0, -1), { skipSpecials: true }));
    await generator.release();
  });

  it("ends at a stop sequence and leaves it out", async () => {
    const generator = await TextGenerator.open(folder);
    const { text } = await generator.complete("The gradient", { maxNewTokens: 20 });
    const stop = text.slice(4, 7);
    const cut = await generator.complete("The gradient", { maxNewTokens: 20, stop: [stop] });
    expect(cut).toMatchObject({ text: text.slice(0, text.indexOf(stop)), reason: "stop" });
    await generator.release();
  });

  it("reads chats through the template", async () => {
    const generator = await TextGenerator.open(folder);
    const ids = generator.idsOf([{ role: "user", content: "Hi" }]);
    const whole = generator.tokenizer.decode(ids);
    expect(whole).toContain("user");
    expect(whole).toContain("Hi");
    expect(whole.trimEnd().endsWith("assistant")).toBe(true);
    await generator.release();
  });

  it("takes its settings from generation_config.json", async () => {
    const copy = join(scratch, "settings");
    cpSync(folder, copy, { recursive: true });
    const path = join(copy, "generation_config.json");
    const config = JSON.parse(readFileSync(path, "utf8")) as object;
    writeFileSync(path, JSON.stringify({ ...config, do_sample: true, temperature: 0.7, top_k: 5, top_p: 0.9 }));
    const generator = await TextGenerator.open(copy);
    expect(generator.defaults).toEqual({ temperature: 0.7, topK: 5, topP: 0.9 });
    writeFileSync(path, JSON.stringify({ ...config, eos_token_id: "end" }));
    await expect(TextGenerator.open(copy)).rejects.toThrow('eos_token_id: expected token ids, got "end"');
  });

  it("refuses another model's tokenizer, a model without a template, a prompt beyond the context", async () => {
    const tokenizer = await Tokenizer.open(folder);
    const model = gpt({ layers: 1, width: 16, heads: 2, vocabulary: 100, context: 16 });
    expect(() => new TextGenerator(model, tokenizer)).toThrow(
      "the tokenizer has 384 tokens, the model 100: it is another model's",
    );
    const plain = await TextGenerator.open(new URL("../golden/checkpoints/gpt2", import.meta.url).pathname);
    expect(() => plain.idsOf([{ role: "user", content: "Hi" }])).toThrow("this model has no chat template");
    await expect(plain.complete("word ".repeat(200))).rejects.toThrow(/tokens, the model's context is/);
  });
});

describe("text held back for stop sequences", () => {
  it("goes out as soon as it can be no beginning", () => {
    const held = heldBack(["END", "\n\n"]);
    const ready = ["a", "E", "N", "x", "\n", "b"].map((piece) => held.push(piece).ready);
    expect(ready).toEqual(["a", "", "", "ENx", "", "\nb"]);
    expect(held.push("cEN").ready).toBe("c");
    expect(held.push("D after")).toEqual({ ready: "", isStopped: true });
  });

  it("is given at the end", () => {
    const held = heldBack(["END"]);
    expect(held.push("xEN").ready).toBe("x");
    expect(held.rest()).toBe("EN");
  });
});
