import { z } from "zod";
import { recordFormats } from "../data/records.js";

/** Every key of a training configuration, named as Hugging Face's trainer and axolotl name them. */

const count = z.int().min(1);
const share = z.number().min(0).max(1);
const name = z.string().min(1);

const data = z.strictObject({
  /** A file, folder or glob, or a list of them. */
  path: z.union([name, z.array(name).min(1)]),
  tokens: z.enum(["bytes", "characters"]).default("bytes"),
  context: count.default(256),
  validation: z.number().min(0).lt(1).default(0.1),
  /** Cuts files into documents after each occurrence. */
  separator: name.optional(),
});

const messageNames = z.strictObject({ role: name.optional(), content: name.optional() });

/** A set of records for fine-tuning. */
const dataset = z.strictObject({
  /** A file, folder or glob of .jsonl, .json, .csv, .tsv or .parquet, or a list of them. */
  path: z.union([name, z.array(name).min(1)]),
  /** completion: text; alpaca: instruction, input, output; chat_template: messages. Default: told by each record's fields. */
  type: z.enum(["completion", "alpaca", "chat_template"]).optional(),
  /** The files' format, where their names do not tell. */
  ds_type: z.enum(recordFormats).optional(),
  /** Where the text of a completion is (default "text"). */
  field: name.optional(),
  /** Where the messages of a chat are (default "messages" or "conversations"). */
  field_messages: name.optional(),
  /** What a message calls its role and content. */
  message_property_mappings: messageNames.optional(),
});

const model = z.strictObject({
  /** One dial for the size, where layers, width and heads are not given: depth layers, 64 · depth wide, heads of 64. */
  depth: count.optional(),
  layers: count.optional(),
  width: count.optional(),
  heads: count.optional(),
  kv_heads: count.optional(),
  norm: name.optional(),
  placement: name.optional(),
  mlp: name.optional(),
  hidden: count.optional(),
  positions: name.optional(),
  bias: z.boolean().optional(),
  dropout: z.number().min(0).lt(1).optional(),
  tie_embeddings: z.boolean().optional(),
});

/** The keys inside each section, for messages about unknown ones. */
export const sections: Readonly<Record<string, readonly string[]>> = {
  data: Object.keys(data.shape),
  model: Object.keys(model.shape),
  datasets: Object.keys(dataset.shape),
  message_property_mappings: Object.keys(messageNames.shape),
};

export const schema = z
  .strictObject({
    /** Plain text to train on; either this or datasets. */
    data: data.optional(),
    /** Records to fine-tune on. */
    datasets: z.array(dataset).min(1).optional(),
    /** Most places in a row. A sample takes one token more: its last is only a target. */
    sequence_len: count.default(512),
    /** Several samples in a row, which do not see each other. */
    sample_packing: z.boolean().default(false),
    /** All rows sequence_len long; otherwise as long as their batch's longest, in four sizes. */
    pad_to_sequence_len: z.boolean().default(false),
    /** Learn prompts too. */
    train_on_inputs: z.boolean().default(false),
    /** Samples of the datasets held out: a share below 1, or a number of them. */
    val_set_size: z.number().min(0).default(0),
    model: model.prefault({}),
    /** The folder of all runs; each run gets its own below it, and metrics go to runs.db in it. */
    output_dir: name.default("runs"),
    /** true: the latest run of output_dir; a run's id: that one. */
    resume_from_checkpoint: z.union([z.boolean(), name]).default(false),
    seed: z.int().min(0).default(0),
    max_steps: count.default(1000),
    micro_batch_size: count.default(8),
    gradient_accumulation_steps: count.default(1),
    optimizer: name.default("adamw"),
    learning_rate: z.number().positive().default(1e-3),
    weight_decay: z.number().min(0).default(0.1),
    adam_beta1: z.number().min(0).lt(1).default(0.9),
    adam_beta2: z.number().min(0).lt(1).default(0.95),
    adam_epsilon: z.number().positive().default(1e-8),
    /** Clips the gradient's norm; 0 does not. */
    max_grad_norm: z.number().min(0).default(1),
    lr_scheduler: z.enum(["constant", "linear", "cosine", "wsd"]).default("cosine"),
    warmup_steps: z.int().min(0).optional(),
    warmup_ratio: share.optional(),
    /** Steps of wsd's final decay. */
    decay_steps: count.optional(),
    /** The rate at the end, as a share of learning_rate. */
    min_lr_ratio: share.default(0),
    logging_steps: count.default(1),
    /** 0: never. */
    eval_steps: z.int().min(0).default(250),
    /** Batches per evaluation. */
    eval_batches: count.default(20),
    /** 0: only at the end. */
    save_steps: z.int().min(0).default(250),
    save_total_limit: count.default(2),
    on_non_finite: z.enum(["stop", "skip"]).default("stop"),
    backend: z.enum(["cpu", "webgpu", "wasm"]).optional(),
    threads: count.optional(),
  })
  .refine((c) => c.data !== undefined || c.datasets !== undefined, {
    message: "data is missing; expected data (plain text) or datasets (records)",
  })
  .refine((c) => c.data === undefined || c.datasets === undefined, {
    message: "data and datasets are both given; give one",
  })
  .refine((c) => c.val_set_size < 1 || Number.isInteger(c.val_set_size), {
    message: "val_set_size is a share below 1, or a whole number of samples",
  })
  .refine((c) => c.warmup_steps === undefined || c.warmup_ratio === undefined, {
    message: "warmup_steps and warmup_ratio are both given; give one",
  })
  .refine((c) => (c.warmup_steps ?? 0) <= c.max_steps, { message: "warmup_steps is larger than max_steps" });

export type ConfigFile = z.output<typeof schema>;
