import { describe, expect, test } from "vitest";
import { axolotlKeys, fromAxolotl } from "../../src/train/axolotl.js";
import { parseConfig } from "../../src/train/config.js";
import { schema } from "../../src/train/config-schema.js";
import { parseStrictYaml } from "../../src/train/strict-yaml.js";

const read = (yaml: string) => fromAxolotl(parseStrictYaml(yaml, "x") as Record<string, unknown>, "axolotl.yaml");
const refusal = (yaml: string): string => {
  try {
    read(yaml);
    return "accepted";
  } catch (error) {
    expect(error).toMatchObject({ name: "LayerwiseError", code: "config" });
    return (error as Error).message;
  }
};

/** The shape of axolotl's own examples: LoRA on a small Llama. */
const example = `
base_model: NousResearch/Llama-3.2-1B
model_type: LlamaForCausalLM
datasets:
  - path: alpaca.jsonl
    type: alpaca
val_set_size: 0.1
output_dir: ./outputs/lora-out
adapter: lora
lora_model_dir:
sequence_len: 2048
sample_packing: true
eval_sample_packing: true
lora_r: 16
lora_alpha: 32
lora_dropout: 0.05
lora_target_modules: [gate_proj, q_proj]
wandb_project: mine
wandb_entity:
wandb_watch:
wandb_name: first
gradient_accumulation_steps: 2
micro_batch_size: 2
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
cosine_min_lr_ratio: 0.1
bf16: auto
tf32: false
gradient_checkpointing: true
resume_from_checkpoint:
logging_steps: 1
flash_attention: true
attn_implementation: flash_attention_2
warmup_ratio: 0.1
evals_per_epoch: 4
save_strategy: epoch
weight_decay: 0.0
special_tokens: { pad_token: <|end_of_text|> }
plugins: [axolotl.integrations.liger.LigerPlugin]
liger_rope: true
strict: false
`;

describe("an example of axolotl's", () => {
  const { data, notices } = read(example);

  test("keeps the keys that mean the same, and renames the others", () => {
    expect(data).toEqual({
      base_model: "NousResearch/Llama-3.2-1B",
      datasets: [{ path: "alpaca.jsonl", type: "alpaca" }],
      val_set_size: 0.1,
      output_dir: "./outputs/lora-out",
      adapter: "lora",
      sequence_len: 2048,
      sample_packing: true,
      lora_r: 16,
      lora_alpha: 32,
      lora_dropout: 0.05,
      lora_target_modules: ["gate_proj", "q_proj"],
      gradient_accumulation_steps: 2,
      micro_batch_size: 2,
      num_epochs: 1,
      optimizer: "adamw",
      lr_scheduler: "cosine",
      learning_rate: 0.0002,
      min_lr_ratio: 0.1,
      gradient_checkpointing: true,
      logging_steps: 1,
      warmup_ratio: 0.1,
      evals_per_epoch: 4,
      saves_per_epoch: 1,
      weight_decay: 0,
    });
  });

  test("says what is passed over, keys with one reason together", () => {
    expect(notices).toEqual([
      "model_type: read from the checkpoint's own files",
      "wandb_project, wandb_name: metrics stay on this machine: see `layerwise runs`, or tensorboard: true",
      "bf16: training is in float32",
      "flash_attention, attn_implementation: how attention is computed is the engine's choice and changes no result",
      "special_tokens: padding is masked, whatever its token",
      "plugins, liger_rope: kernels are the engine's own",
      "left out, so the defaults here apply; axolotl's would be adam_beta2: 0.999",
    ]);
  });
});

describe("refused:", () => {
  test.each<[string, string]>([
    ["load_in_8bit: true", "axolotl.yaml: load_in_8bit: weights are trained and kept in float32"],
    ["load_in_4bit: true", "load_in_4bit: weights"],
    ["adapter: qlora", "adapter: qlora keeps the base in 4 bits; write lora"],
    ["deepspeed: zero1.json", "deepspeed: training runs on one device"],
    ["fsdp: [full_shard]", "fsdp: training runs on one device"],
    ["tensor_parallel_size: 2", "tensor_parallel_size: training runs on one device"],
    ["bf16: true", "bf16: training is in float32, or with fp16: true in float16; write auto or false"],
    ["optimizer: adamw_bnb_8bit", '"adamw_bnb_8bit" keeps its state in a few bits; write adamw'],
    ["optimizer: lion_8bit", "write lion"],
    ["lr_scheduler: warmup_stable_decay", "write wsd, with decay_steps"],
    ["lr_scheduler_kwargs: { num_cycles: 2 }", "of schedules there are constant"],
    ["rl: dpo", "rl: there is no training on preferences"],
    ["lora_model_dir: ./before", "lora_model_dir: of adapters"],
    ["peft_use_dora: true", "peft_use_dora: of adapters"],
    ["special_tokens: { eos_token: x }", "special_tokens: changes the tokenizer (eos_token)"],
    ["plugins: [a.LigerPlugin, b.Diffusion]", "plugins: there is no b.Diffusion"],
    ["save_strategy: best", "save_strategy: expected steps, epoch or no"],
    ["save_strategy: epoch\nsaves_per_epoch: 2", "saves_per_epoch is given twice, as 1 and as 2"],
    ["early_stopping_patience: 3", "early_stopping_patience: "],
    ["bf16: true\nrl: kto", "axolotl.yaml asks for what is not here:\n  bf16: training is in float32"],
  ])("%s", (yaml, message) => {
    expect(refusal(yaml)).toContain(message);
  });

  test.each([
    "load_in_8bit: false",
    "load_in_4bit:",
    "deepspeed:",
    "fsdp: []",
    "fsdp_config: {}",
    "bf16: false",
    "rl:",
    "plugins: []",
    "special_tokens:",
    "tensor_parallel_size: 1",
    "save_strategy: steps",
    "chat_template: tokenizer_default",
    "trust_remote_code: false",
  ])("but not %s, which asks for nothing", (yaml) => {
    const { data, notices } = read(yaml);
    expect(data).toEqual({});
    expect(notices.filter((notice) => !notice.startsWith("left out"))).toEqual([]);
  });

  test("a misspelt key of axolotl, with the nearest", () => {
    expect(() => parseConfig("data: { path: a }\nflash_atention: true")).toThrow(
      'unknown key "flash_atention" (did you mean axolotl\'s "flash_attention"?)',
    );
  });
});

test.each([
  ["optimizer: adamw_torch", { optimizer: "adamw" }],
  ["optimizer: lion_pytorch", { optimizer: "lion" }],
  ["optimizer: muon", { optimizer: "muon" }],
  ["optimizer: sgd", { optimizer: "sgd" }],
  ["lr_scheduler: constant_with_warmup", { lr_scheduler: "constant" }],
  ["use_tensorboard: true", { tensorboard: true }],
  ["eval_strategy: epoch", { evals_per_epoch: 1 }],
  ["eval_strategy: 'no'", { eval_steps: 0 }],
])("%s", (yaml, data) => {
  expect(read(yaml).data).toEqual(data);
});

test("where the same words give other numbers, it says so", () => {
  expect(read("strict: true\noptimizer: sgd\nlr_scheduler: constant\nwarmup_steps: 5").notices).toEqual([
    "optimizer: sgd has momentum 0.9 here, none in axolotl",
    "lr_scheduler: constant warms up here, not in axolotl",
    "left out, so the defaults here apply; axolotl's would be micro_batch_size: 1, num_epochs: 1, weight_decay: 0, adam_beta2: 0.999",
  ]);
});

test("a file without axolotl's own keys is left as it is: null stays a mistake, nothing is noted", () => {
  expect(read("seed: null\nlearning_rate: 1")).toEqual({ data: { seed: null, learning_rate: 1 }, notices: [] });
});

test("a key of the schema is read by the schema alone", () => {
  expect(axolotlKeys.filter((key) => Object.hasOwn(schema.shape, key))).toEqual([]);
});

test("a configuration keeps what was translated, and the notices", () => {
  const { config, yaml, notices } = parseConfig(
    "data: { path: a }\noptimizer: adamw_torch\nwandb_name: x\nnum_epochs: 1",
  );
  expect(config).toMatchObject({ optimizer: "adamw", numEpochs: 1 });
  expect(yaml).not.toContain("wandb");
  expect(notices[0]).toMatch(/^wandb_name: /);
});
