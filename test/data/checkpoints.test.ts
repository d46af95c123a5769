import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openSafetensors, readSafetensors } from "../../src/data/safetensors-file.js";
import type { NDArray } from "../../src/tensor/index.js";
import { goldenPath } from "../support/golden.js";

/** The committed checkpoints are whole and agree with themselves; whether a model computes their numbers is tested with the loader. */

type Config = Record<string, number | string | boolean | null | undefined>;

const root = goldenPath("checkpoints");
const entries = await readdir(root, { withFileTypes: true });
const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
const withFile = async (file: string): Promise<string[]> => {
  const files = await Promise.all(folders.map((name) => readdir(join(root, name))));
  return folders.filter((_, i) => files[i]?.includes(file));
};

const readJson = async <T>(...path: string[]): Promise<T> => JSON.parse(await readFile(join(root, ...path), "utf8"));

const openWeights = async (name: string) => {
  const sharded = (await readdir(join(root, name))).includes("model.safetensors.index.json");
  return openSafetensors(join(root, name, sharded ? "model.safetensors.index.json" : "model.safetensors"));
};

const one = (tensors: ReadonlyMap<string, NDArray>, name: string): NDArray => {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`no tensor ${name}`);
  return tensor;
};

const size = (config: Config, ...keys: string[]): number => Number(keys.map((key) => config[key]).find(Boolean));

/** Rows of `states` [.., width] times rows of `head` [vocabulary, width], capped. */
function project(states: NDArray, head: NDArray, cap: number | null): number[] {
  const [vocabulary = 0, width = 0] = head.shape;
  return Array.from({ length: (states.size / width) * vocabulary }, (_, i) => {
    const [row, token] = [Math.floor(i / vocabulary) * width, (i % vocabulary) * width];
    let sum = 0;
    for (let k = 0; k < width; k++) sum += states.at(row + k) * head.at(token + k);
    return cap ? cap * Math.tanh(sum / cap) : sum;
  });
}

describe.each(folders)("reference checkpoint %s", (name) => {
  it("has reference tensors of the sizes that its config tells", async () => {
    const config = await readJson<Config>(name, "config.json");
    const { tensors, metadata } = await readSafetensors(join(root, name, "reference.safetensors"));
    const vocabulary = size(config, "vocab_size");
    const [layers, width] = [size(config, "num_hidden_layers", "n_layer"), size(config, "hidden_size", "n_embd")];
    const [batch = 0, length = 0] = one(tensors, "input_ids").shape;
    expect(one(tensors, "logits").shape).toEqual([batch, length, vocabulary]);
    expect(one(tensors, "one.logits").shape).toEqual([batch, 1, vocabulary]);
    for (let l = 0; l <= layers; l++) expect(one(tensors, `hidden_states.${l}`).shape).toEqual([batch, length, width]);
    expect(tensors.has(`hidden_states.${layers + 1}`)).toBe(false);
    expect(one(tensors, "generated").shape).toEqual([batch, 24]);
    expect(metadata.source).toMatch(/^transformers \d.* torch \d/);
    for (const ids of ["input_ids", "prompt", "generated"]) {
      const values = Array.from(one(tensors, ids).data, Number);
      expect(one(tensors, ids).dtype).toBe("int32");
      expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...values)).toBeLessThan(vocabulary);
    }
  });

  it("has logits that are the last hidden states times the stored head, or the embedding where tied", async () => {
    const config = await readJson<Config>(name, "config.json");
    const { tensors } = await readSafetensors(join(root, name, "reference.safetensors"));
    const weights = await openWeights(name);
    const find = (pattern: RegExp): string | undefined => [...weights.tensors.keys()].find((key) => pattern.test(key));
    const own = find(/^(lm_head|embed_out)\.weight$/);
    expect(own === undefined).toBe(config.tie_word_embeddings ?? /^(gpt2|gemma2?)$/.test(String(config.model_type)));
    const head = await weights.read(own ?? find(/(^|\.)(embed_tokens|wte)\.weight$/) ?? "no embedding");
    await weights.close();
    const last = one(tensors, `hidden_states.${size(config, "num_hidden_layers", "n_layer")}`);
    const logits = one(tensors, "logits");
    const found = project(last, head, Number(config.final_logit_softcapping ?? 0) || null);
    const largest = Math.max(...found.map(Math.abs));
    expect(largest).toBeGreaterThan(1);
    const errors = found.map((value, i) => Math.abs(value - logits.at(i)));
    expect(Math.max(...errors) / largest).toBeLessThan(1e-6);
  });
});

const trained = await withFile("gradients.safetensors");
const spoken = await withFile("tokenizer.json");

describe("reference checkpoints", () => {
  it("are all told in the README", async () => {
    const readme = await readFile(join(root, "README.md"), "utf8");
    const told = [...readme.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map((match) => match[1]);
    expect(told).toEqual(expect.arrayContaining(folders));
    expect(folders.length).toBeGreaterThan(20);
  });

  it.each(trained)("%s: a gradient for each weight, and the loss of the logits", async (name) => {
    const { tensors } = await readSafetensors(join(root, name, "reference.safetensors"));
    const { tensors: gradients } = await readSafetensors(join(root, name, "gradients.safetensors"));
    const weights = await openWeights(name);
    await weights.close();
    expect([...gradients.keys()].filter((key) => key !== "loss").sort()).toEqual([...weights.tensors.keys()].sort());
    for (const [key, info] of weights.tensors) expect(one(gradients, key).shape).toEqual(info.shape);
    const [logits, ids] = [one(tensors, "logits"), one(tensors, "input_ids")];
    const [batch = 0, length = 0, vocabulary = 0] = logits.shape;
    let sum = 0;
    for (let b = 0; b < batch; b++)
      for (let t = 0; t + 1 < length; t++) {
        const row = Array.from({ length: vocabulary }, (_, v) => logits.at((b * length + t) * vocabulary + v));
        const total = row.reduce((all, value) => all + Math.exp(value), 0);
        sum += Math.log(total) - (row[ids.at(b * length + t + 1)] ?? Number.NaN);
      }
    expect(sum / (batch * (length - 1))).toBeCloseTo(one(gradients, "loss").at(0), 5);
  });

  it.each(spoken)("%s: the tokenizer has as many entries as the model, and tokens.json stays within", async (name) => {
    type Tokenizer = { model: { vocab: Record<string, number> }; added_tokens: { id: number }[] };
    type Tokens = { texts: { text: string; ids: number[] }[]; chats: { ids: number[] }[] };
    const config = await readJson<Config>(name, "config.json");
    const tokenizer = await readJson<Tokenizer>(name, "tokenizer.json");
    const { texts, chats } = await readJson<Tokens>(name, "tokens.json");
    const known = new Set([...Object.values(tokenizer.model.vocab), ...tokenizer.added_tokens.map(({ id }) => id)]);
    expect(known.size).toBe(config.vocab_size);
    expect(texts.length).toBeGreaterThan(5);
    for (const { ids } of [...texts, ...chats]) for (const id of ids) expect(known).toContain(id);
  });
});
