/**
 * axolotl's configuration files. A key that means the same here has the same name and is read by the schema; the tables
 * below hold the others: what is called differently, what changes no number and is passed over with a notice, and what
 * would change the result and is refused with the reason. Written against axolotl 0.18's `utils/schemas`.
 */
import { fail } from "../tensor/errors.js";
import { schema } from "./config-schema.js";

type Data = Readonly<Record<string, unknown>>;

/** What becomes of a key: keys of ours, a notice, or a reason to refuse it. */
interface Outcome {
  readonly keys?: Data;
  readonly notice?: string;
  readonly refused?: string;
}

type Rule = (value: unknown, data: Data) => Outcome;

const isOff = (value: unknown): boolean => value === false || value === 0 || isEmpty(value);
const isEmpty = (value: unknown): boolean =>
  value === "" || (typeof value === "object" && value !== null && Object.keys(value).length === 0);

/** Changes no number: passed over, with a notice where it asks for something. */
const ignored =
  (why: string): Rule =>
  (value) =>
    isOff(value) ? {} : { notice: why };

/** Would change the result, so it is refused unless it is off. */
const refused =
  (why: string): Rule =>
  (value) =>
    isOff(value) ? {} : { refused: why };

const renamed =
  (key: string): Rule =>
  (value) => ({ keys: { [key]: value } });

/** A precision: `auto` and `false` leave float32, `true` cannot be had. */
const precision: Rule = (value) => {
  if (value === "auto") return { notice: "training is in float32" };
  return isOff(value) ? {} : { refused: "training is in float32, or with fp16: true in float16; write auto or false" };
};

/** save_strategy and eval_strategy: steps, epoch, no. */
const strategy =
  (steps: string, perEpoch: string): Rule =>
  (value) => {
    if (value === "steps") return {};
    if (value === "epoch") return { keys: { [perEpoch]: 1 } };
    return value === "no" || value === false ? { keys: { [steps]: 0 } } : { refused: "expected steps, epoch or no" };
  };

/** One of several ways to name a single device; more than one is refused. */
const parallel: Rule = (value) =>
  isOff(value) || value === 1 ? {} : { refused: "training runs on one device; leave it out" };

const specialTokens: Rule = (value) => {
  const others = typeof value === "object" && value !== null ? Object.keys(value).filter((k) => k !== "pad_token") : [];
  return others.length > 0
    ? { refused: `changes the tokenizer (${others.join(", ")}); change the checkpoint's tokenizer files instead` }
    : ignored("padding is masked, whatever its token")(value, {});
};

const samePlugin = /liger|cut_cross_entropy/i;
const plugins: Rule = (value) => {
  if (isOff(value)) return {};
  const list = Array.isArray(value) ? value.map(String) : [String(value)];
  const others = list.filter((plugin) => !samePlugin.test(plugin));
  return others.length > 0
    ? { refused: `there is no ${others.join(", ")}` }
    : { notice: "kernels are the engine's own" };
};

const optimizers: Readonly<Record<string, string>> = {
  adamw_torch: "adamw",
  adamw_torch_fused: "adamw",
  adamw_hf: "adamw",
  adamw_apex_fused: "adamw",
  adamw_torch_xla: "adamw",
  lion_pytorch: "lion",
  lion_32bit: "lion",
};

const eightBit = /8bit|4bit|fp8/;

/** Not in `rules`: optimizer is a key of ours with other values. */
function optimizer(name: unknown): Outcome {
  if (typeof name !== "string") return {};
  if (Object.hasOwn(optimizers, name)) return { keys: { optimizer: optimizers[name] } };
  if (!eightBit.test(name)) return {};
  const plain = name.includes("lion") ? "lion" : "adamw";
  return { refused: `"${name}" keeps its state in a few bits; write ${plain}, whose state is float32` };
}

function scheduler(name: unknown): Outcome {
  if (name === "constant_with_warmup") return { keys: { lr_scheduler: "constant" } };
  return name === "warmup_stable_decay"
    ? { refused: '"warmup_stable_decay" takes its lengths from lr_scheduler_kwargs; write wsd, with decay_steps' }
    : {};
}

const each = (keys: string, rule: Rule): Record<string, Rule> =>
  Object.fromEntries(keys.split(" ").map((key) => [key, rule]));

const attention = ignored("how attention is computed is the engine's choice and changes no result");
const kernels = ignored("kernels are the engine's own");
const tracking = ignored("metrics stay on this machine: see `layerwise runs`, or tensorboard: true");
const uploading = ignored("nothing is uploaded");
const loading = ignored("data is read as it is needed, without workers or a prepared copy");
const architecture = ignored("read from the checkpoint's own files");
const quantized = refused("weights are trained and kept in float32; leave it out");
const reinforcement = refused("there is no training on preferences or rewards");
const adapterKind = refused("of adapters there is plain LoRA with lora_r, lora_alpha, lora_dropout and its targets");

const rules: Readonly<Record<string, Rule>> = {
  // called differently
  auto_resume_from_checkpoints: refused("write resume_from_checkpoint: true once there is a run, or give --resume"),
  cosine_min_lr_ratio: renamed("min_lr_ratio"),
  use_tensorboard: renamed("tensorboard"),
  save_strategy: strategy("save_steps", "saves_per_epoch"),
  ...each("eval_strategy evaluation_strategy", strategy("eval_steps", "evals_per_epoch")),

  // precision
  ...each("bf16 bfloat16 float16 fp8", precision),
  float32: () => ({}),
  // It allows less precision, and does not ask for it.
  tf32: ignored("training is in float32"),
  ...each("load_in_8bit load_in_4bit gptq quantize_moe_experts qat quantization bnb_config_kwargs", quantized),

  // changes no number
  ...each("flash_attention xformers_attention sdp_attention eager_attention flex_attention sage_attention", attention),
  ...each(
    "attn_implementation flash_attn_cross_entropy flash_attn_rms_norm flash_attn_fuse_mlp s2_attention",
    attention,
  ),
  ...each("lora_mlp_kernel lora_qkv_kernel lora_o_kernel torch_compile torch_compile_backend use_kernels", kernels),
  cut_cross_entropy: kernels,
  ...each("hub_model_id hub_strategy push_dataset_to_hub hf_use_auth_token", uploading),
  ...each(
    "dataset_prepared_path dataset_processes dataset_num_proc dataset_keep_in_memory skip_prepare_dataset",
    loading,
  ),
  ...each("dataloader_num_workers dataloader_prefetch_factor dataloader_pin_memory remove_unused_columns", loading),
  ...each(
    "model_type tokenizer_type tokenizer_config tokenizer_use_fast processor_type base_model_config",
    architecture,
  ),
  ...each(
    "is_llama_derived_model is_mistral_derived_model is_falcon_derived_model is_qwen_derived_model",
    architecture,
  ),
  trust_remote_code: ignored("no code of a checkpoint is ever run"),
  gradient_checkpointing_kwargs: ignored("says how, not what, is computed again"),
  ...each(
    "gc_steps gc_collect_steps torch_empty_cache_steps low_cpu_mem_usage lora_on_cpu",
    ignored("memory is not managed by hand"),
  ),
  ...each(
    "device_map ddp_find_unused_parameters ddp_timeout ddp_bucket_cap_mb local_rank",
    ignored("training runs on one device"),
  ),
  ...each("strict debug save_safetensors torchdistx_path eval_sample_packing", () => ({})),
  save_only_model: ignored("checkpoints hold all that a resume needs"),
  eval_batch_size: ignored("evaluations use micro_batch_size"),
  ...each(
    "loss_watchdog_threshold loss_watchdog_patience",
    ignored("not watched; on_non_finite says what a broken loss does"),
  ),
  special_tokens: specialTokens,
  chat_template: (value) =>
    value === "tokenizer_default" ? {} : ignored("the checkpoint's own template is used")(value, {}),
  plugins,

  // would change the result
  ...each("deepspeed fsdp fsdp_config fsdp_version ddp", refused("training runs on one device; leave it out")),
  ...each(
    "dp_shard_size dp_replicate_size context_parallel_size tensor_parallel_size sequence_parallel_degree",
    parallel,
  ),
  ...each("expert_parallel_size world_size", parallel),
  ...each("rl trl dpo_beta rl_beta reward_model process_reward_model kto_desirable_weight ebft", reinforcement),
  ...each("lora_model_dir lora_modules_to_save lora_target_parameters lora_fan_in_fan_out relora", adapterKind),
  ...each(
    "peft_use_dora peft_use_rslora peft_layers_to_transform peft_layers_pattern peft loraplus_lr_ratio",
    adapterKind,
  ),
  ...each("lora_rank_pattern lora_alpha_pattern peft_init_lora_weights", adapterKind),
  ...each(
    "lr_scheduler_kwargs cosine_constant_lr_ratio lr_quadratic_warmup lr_div_factor lr_groups",
    refused("of schedules there are constant, linear, cosine and wsd, with warmup_steps, decay_steps and min_lr_ratio"),
  ),
  ...each(
    "embedding_lr embedding_lr_scale optim_args optim_target_modules",
    refused("one rate and one set of Adam's constants serve all parameters; leave it out"),
  ),
  group_by_length: refused("samples come in random order; leave it out"),
  neftune_noise_alpha: refused("no noise is added to embeddings"),
  early_stopping_patience: refused("a run goes on to its last step; leave it out"),
  ...each("pretraining_dataset test_datasets", refused("give the data as datasets, and val_set_size")),
  ...each("max_packed_sequence_len", refused("write sequence_len and sample_packing: true")),
  ...each(
    "resize_token_embeddings_to_32x shrink_embeddings tokens added_tokens_overrides",
    refused("changes the vocabulary; change the checkpoint instead"),
  ),
};

/** Families of keys with one answer. */
const families: readonly (readonly [RegExp, Rule])[] = [
  [/^(use_)?(wandb|mlflow|comet|trackio|swanlab|otel)(_|$)/, tracking],
  [/^liger_/, kernels],
];

const ruleOf = (key: string): Rule | undefined =>
  Object.hasOwn(rules, key) ? rules[key] : families.find(([pattern]) => pattern.test(key))?.[1];

/** Where a key that is left out gives other numbers than axolotl: its default, and ours. */
const otherDefaults: readonly { readonly unless: readonly string[]; readonly theirs: string }[] = [
  { unless: ["micro_batch_size"], theirs: "micro_batch_size: 1" },
  { unless: ["num_epochs", "max_steps"], theirs: "num_epochs: 1" },
  { unless: ["weight_decay"], theirs: "weight_decay: 0" },
  { unless: ["adam_beta2"], theirs: "adam_beta2: 0.999" },
  { unless: ["warmup_steps", "warmup_ratio"], theirs: "warmup_ratio: 0.03" },
];

export interface Translated {
  /** Keys of our schema; what the schema does not know is left for it to refuse. */
  readonly data: Record<string, unknown>;
  readonly notices: readonly string[];
}

/** Keys of axolotl that are not keys of ours: for suggestions on misspelt ones. */
export const axolotlKeys: readonly string[] = Object.keys(rules);

/**
 * Reads a file's keys as axolotl means them. Files without a key that only axolotl has come back as they are, but for
 * the names of optimisers and schedules.
 *
 * @throws LayerwiseError "config" naming every key that is refused, with the reason.
 */
export function fromAxolotl(file: Data, where: string): Translated {
  const known = new Set(Object.keys(schema.shape));
  const isTheirs = Object.keys(file).some((key) => ruleOf(key) !== undefined && !known.has(key));
  const data: Record<string, unknown> = {};
  const notices = new Map<string, string[]>();
  const problems: string[] = [];
  for (const [key, value] of Object.entries(file)) {
    // axolotl's own examples leave keys empty to say that they are not set.
    if (isTheirs && value === null) continue;
    const { keys, notice, refused: why } = outcome(key, value, file, known);
    if (why !== undefined) problems.push(`${key}: ${why}`);
    if (notice !== undefined) notices.set(notice, [...(notices.get(notice) ?? []), key]);
    for (const [ours, translated] of Object.entries(keys ?? {})) add(ours, translated);
  }
  if (problems.length === 1) fail("config", `${where}: ${problems[0]}`);
  if (problems.length > 1) fail("config", [`${where} asks for what is not here:`, ...problems].join("\n  "));
  return {
    data,
    notices: [
      ...Array.from(notices, ([why, keys]) => `${keys.join(", ")}: ${why}`),
      ...(isTheirs ? differences(data, file) : []),
    ],
  };

  function add(ours: string, value: unknown): void {
    if (Object.hasOwn(data, ours) && data[ours] !== value)
      problems.push(`${ours} is given twice, as ${JSON.stringify(data[ours])} and as ${JSON.stringify(value)}`);
    data[ours] = value;
  }
}

function outcome(key: string, value: unknown, file: Data, known: ReadonlySet<string>): Outcome {
  const plain = { keys: { [key]: value } };
  if (key === "optimizer") return orElse(optimizer(value), plain);
  if (key === "lr_scheduler") return orElse(scheduler(value), plain);
  if (key === "adapter" && value === "qlora") return { refused: "qlora keeps the base in 4 bits; write lora" };
  return (known.has(key) ? undefined : ruleOf(key))?.(value, file) ?? plain;
}

const orElse = (first: Outcome, other: Outcome): Outcome => (Object.keys(first).length > 0 ? first : other);

/** Same names that give other numbers. */
function differences(data: Data, file: Data): string[] {
  const theirs = otherDefaults.filter(({ unless }) => !unless.some((key) => Object.hasOwn(data, key)));
  const warmsUp = !isOff(data.warmup_steps ?? data.warmup_ratio);
  return [
    ...(data.optimizer === "sgd" ? ["optimizer: sgd has momentum 0.9 here, none in axolotl"] : []),
    ...(file.lr_scheduler === "constant" && warmsUp ? ["lr_scheduler: constant warms up here, not in axolotl"] : []),
    ...(theirs.length > 0
      ? [`left out, so the defaults here apply; axolotl's would be ${theirs.map((t) => t.theirs).join(", ")}`]
      : []),
  ];
}
