import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseConfig, readConfig } from "../../src/train/config.js";
import { parseStrictYaml } from "../../src/train/strict-yaml.js";

const minimal = "data: { path: corpus.txt }\n";
const refusal = (yaml: string, overrides: string[] = []): string => {
  try {
    parseConfig(yaml, overrides, "config.yaml");
    return "accepted";
  } catch (error) {
    expect(error).toMatchObject({ name: "LayerwiseError", code: "config" });
    return (error as Error).message;
  }
};

describe("a configuration", () => {
  test("needs only a path; the rest has defaults, in camelCase", () => {
    const { config } = parseConfig(minimal);
    expect(config).toMatchObject({
      data: { path: "corpus.txt", context: 256, validation: 0.1 },
      model: {},
      learningRate: 1e-3,
      microBatchSize: 8,
      adamBeta2: 0.95,
      lrScheduler: "cosine",
      resumeFromCheckpoint: false,
    });
  });

  test("takes the keys of the Hugging Face trainer and axolotl as they are", () => {
    const { config } = parseConfig(`
data: { path: [a.txt, "books/*.txt"], tokens: characters, context: 64 }
model: { layers: 4, width: 128, heads: 4, kv_heads: 2, norm: rms, placement: peri, tie_embeddings: true }
learning_rate: 3e-4
micro_batch_size: 12
gradient_accumulation_steps: 2
lr_scheduler: wsd
warmup_steps: 100
weight_decay: 0
output_dir: out
resume_from_checkpoint: true
max_grad_norm: 0.5
`);
    expect(config.model).toMatchObject({ layers: 4, kvHeads: 2, tieEmbeddings: true });
    expect(config).toMatchObject({ learningRate: 3e-4, gradientAccumulationSteps: 2, resumeFromCheckpoint: true });
  });

  test("takes datasets as axolotl writes them", () => {
    const { config, yaml } = parseConfig(`
datasets:
  - { path: [a.jsonl, "more/*.parquet"], type: alpaca }
  - path: chats.json
    type: chat_template
    ds_type: jsonl
    field_messages: talk
    message_property_mappings: { role: from, content: value }
sequence_len: 2048
sample_packing: true
train_on_inputs: true
val_set_size: 0.05
`);
    expect(config).toMatchObject({ sequenceLen: 2048, samplePacking: true, padToSequenceLen: false, valSetSize: 0.05 });
    expect(config.datasets?.[1]).toEqual({
      path: "chats.json",
      type: "chat_template",
      dsType: "jsonl",
      fieldMessages: "talk",
      messagePropertyMappings: { role: "from", content: "value" },
    });
    expect(parseConfig(yaml).config).toEqual(config);
  });

  test("written with its defaults reads back as the same", () => {
    const { config, yaml } = parseConfig(minimal, ["seed=7"]);
    expect(parseConfig(yaml).config).toEqual(config);
  });

  test.each([
    ["learning_rate=0.01", { learningRate: 0.01 }],
    ["model.layers=4", { model: { layers: 4 } }],
    ["data.path=[a.txt, b.txt]", { data: { path: ["a.txt", "b.txt"] } }],
    ["data.path=a=b.txt", { data: { path: "a=b.txt" } }],
    ["resume_from_checkpoint=true", { resumeFromCheckpoint: true }],
  ])("--set %s", (override, expected) => {
    expect(parseConfig(minimal, [override]).config).toMatchObject(expected);
  });

  test("of several overrides the last counts", () => {
    expect(parseConfig(minimal, ["seed=1", "seed=2"]).config.seed).toBe(2);
  });
});

describe("refused, with the key, what came and what was expected:", () => {
  test.each<[string, string, string]>([
    ["an empty file", "", "data is missing; expected data (plain text) or datasets (records)"],
    ["a list", "- a\n", 'expected keys and values, e.g. "learning_rate: 1e-3"'],
    ["a misspelt key", `${minimal}learning_rat: 1`, 'unknown key "learning_rat" (did you mean "learning_rate"?'],
    [
      "a misspelt key in a section",
      "data: { path: a, contxt: 3 }",
      'unknown key "data.contxt" (did you mean "context"?',
    ],
    [
      "several unknown keys, with the list of known ones said once",
      `${minimal}zzzz: 1\nyyyyyyy: 2\nlearning_rat: 3`,
      'threads); unknown key "yyyyyyy"; unknown key "learning_rat" (did you mean "learning_rate"?)',
    ],
    ["a habit from elsewhere", `${minimal}batch_size: 8`, 'unknown key "batch_size" (here it is micro_batch_size)'],
    ["a number in quotes", `${minimal}learning_rate: "1e-3"`, 'learning_rate is "1e-3"; expected a number'],
    ["a share where steps are meant", `${minimal}warmup_steps: 0.1`, "warmup_steps is 0.1; expected a whole number"],
    ["a negative rate", `${minimal}learning_rate: -1`, "learning_rate is -1; expected a number above 0"],
    ["no batch", `${minimal}micro_batch_size: 0`, "micro_batch_size is 0; expected a number of at least 1"],
    ["a beta of 1", `${minimal}adam_beta1: 1`, "adam_beta1 is 1; expected a number below 1"],
    [
      "a scheduler it does not know",
      `${minimal}lr_scheduler: cos`,
      'lr_scheduler is "cos"; expected one of constant, linear',
    ],
    ["datasets and data", `${minimal}datasets: [{ path: a }]`, "data and datasets are both given; give one"],
    ["no datasets", "datasets: []", "datasets is []"],
    ["a dataset without a path", "datasets: [{ type: alpaca }]", "datasets.0.path is missing"],
    [
      "a type of another tool",
      "datasets: [{ path: a, type: sharegpt }]",
      "expected one of completion, alpaca, chat_template",
    ],
    [
      "a typo in a dataset",
      "datasets: [{ path: a, feild: b }]",
      'unknown key "datasets.0.feild" (did you mean "field"?',
    ],
    [
      "a typo in a mapping",
      "datasets: [{ path: a, message_property_mappings: { rol: from } }]",
      'unknown key "datasets.0.message_property_mappings.rol" (did you mean "role"?',
    ],
    ["a typo beside the datasets", "datasets: [{ path: a }]\nsequence_length: 4", 'did you mean "sequence_len"?'],
    [
      "one and a half samples held out",
      "datasets: [{ path: a }]\nval_set_size: 1.5",
      "val_set_size is a share below 1",
    ],
    ["a path that is a number", "data: { path: 3 }", "data.path is 3; expected text or a list"],
    ["null", `${minimal}seed: null`, "seed is null; expected a number"],
    ["a count beyond 2^53", `${minimal}seed: 9007199254740993`, "seed is 9007199254740992"],
    ["both kinds of warm-up", `${minimal}warmup_steps: 1\nwarmup_ratio: 0.1`, "give one"],
    ["a warm-up beyond the run", `${minimal}max_steps: 5\nwarmup_steps: 9`, "warmup_steps is larger than max_steps"],
    ["two mistakes at once", `${minimal}seed: -1\nlr: 2`, "; "],
  ])("%s", (_, yaml, message) => {
    expect(refusal(yaml)).toContain(message);
  });

  test.each<[string, string, RegExp]>([
    ["NaN", `${minimal}learning_rate: .nan`, /line 2, column 16: \.nan is not a finite number/],
    ["infinity", `${minimal}learning_rate: -.inf`, /line 2, column 16: -\.inf is not a finite/],
    ["1e309", `${minimal}learning_rate: 1e309`, /line 2, column 16: 1e309 is not a finite/],
    ["a duplicate key", `${minimal}seed: 1\nseed: 2`, /line 3, column 1: the key "seed" is given twice/],
    ["a merge key", `${minimal}model:\n  <<: { layers: 2 }`, /line 3, column 3: merge keys/],
    ["an alias", "data: &d { path: a }\nmodel: *d", /line 2, column 8: aliases \(\*d\)/],
    [
      "an alias bomb",
      `a: &a [x,x]\n${"bcdefghij".replace(/./g, (c, i) => `${c}: &${c} [*${"abcdefghi"[i]},*${"abcdefghi"[i]}]\n`)}`,
      /aliases/,
    ],
    ["__proto__", `${minimal}__proto__: { seed: 1 }`, /line 2, column 1: the key "__proto__" is not allowed/],
    ["__proto__ inside", "data: { path: a, __proto__: { x: 1 } }", /"__proto__" is not allowed/],
    ["constructor", `${minimal}constructor: 1`, /"constructor" is not allowed/],
    ["a tag", `${minimal}seed: !!js/function "x"`, /Unresolved tag/],
    ["a key that is a list", "[a]: 1", /plain key/],
    ["a key that is a number", "1: 2", /not text/],
    ["a second document", `${minimal}---\nseed: 1`, /multiple documents/],
    ["broken YAML", "data: { path: a", /config\.yaml: /],
    ["tabs as indentation", "data:\n\tpath: a", /config\.yaml: .*[Tt]ab/],
    ["deep nesting", `a: ${"[".repeat(40)}${"]".repeat(40)}`, /nested deeper than 32/],
    ["very deep nesting", `a: ${"[".repeat(100_000)}`, /config\.yaml: /],
    ["a megabyte", `# ${"x".repeat(1_000_000)}`, /expected at most 200000/],
  ])("%s", (_, yaml, message) => {
    expect(refusal(yaml)).toMatch(message);
  });

  test.each<[string, RegExp]>([
    ["learning_rate", /expected key=value/],
    ["=3", /expected key=value/],
    ["seed.x=3", /"seed" is not a section/],
    ["__proto__.polluted=1", /"__proto__" is not allowed/],
    ["model.__proto__.polluted=1", /"__proto__" is not allowed/],
    ["model.layer=3", /did you mean "layers"/],
    ["seed=.nan", /--set seed=\.nan.*not a finite number/],
    ["seed=[1", /--set seed=\[1/],
  ])("--set %s", (override, message) => {
    expect(refusal(`${minimal}seed: 1`, [override])).toMatch(message);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

test("plain data has only what was written", () => {
  expect(parseStrictYaml("a: [1, 0x10, yes, null, ~, 1_000, 2026-01-01]", "x")).toEqual({
    a: [1, 16, "yes", null, null, "1_000", "2026-01-01"],
  });
});

test("files: a missing one and a pipe are typed errors", async () => {
  const folder = await mkdtemp(join(tmpdir(), "config-"));
  await writeFile(join(folder, "good.yaml"), minimal);
  execFileSync("mkfifo", [join(folder, "pipe.yaml")]);
  expect((await readConfig(join(folder, "good.yaml"), ["seed=3"])).config.seed).toBe(3);
  await expect(readConfig(join(folder, "none.yaml"))).rejects.toMatchObject({ code: "file" });
  await expect(readConfig(join(folder, "pipe.yaml"))).rejects.toMatchObject({ code: "file" });
  await rm(folder, { recursive: true });
});
