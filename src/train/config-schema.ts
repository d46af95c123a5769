import * as z from "zod";
import { recordFormats } from "../data/records.js";
import { placementNames } from "../nn/index.js";

/**
 * Every key of a training configuration, named as Hugging Face's trainer and axolotl name them.
 *
 * `about` says in one line what a key does; `layerwise init` writes these lines. A key without a default gives an
 * example of a value.
 */

const count = z.int().min(1);
const whole = z.int().min(0);
const share = z.number().min(0).max(1);
const decay = z.number().min(0).lt(1);
const name = z.string().min(1);

const about = (description: string, ...examples: unknown[]) => ({ description, ...(examples.length && { examples }) });

const data = z.strictObject({
  path: z.union([name, z.array(name).min(1)]).meta(about("a file, folder or glob, or a list of them", "corpus.txt")),
  tokens: name
    .optional()
    .meta(about("bytes, characters, or a tokenizer's folder; without it base_model's, or bytes", "bytes")),
  context: count.default(256).meta(about("tokens per window")),
  validation: decay.default(0.1).meta(about("share of the text that is held out")),
  separator: name.optional().meta(about("cuts files into documents after each occurrence", "<|endoftext|>")),
});

const messageNames = z.strictObject({
  role: name.optional().meta(about("key of a message's role", "from")),
  content: name.optional().meta(about("key of a message's content", "value")),
});

const dataset = z.strictObject({
  path: z
    .union([name, z.array(name).min(1)])
    .meta(about("a .jsonl, .json, .csv, .tsv or .parquet, a folder or glob, or a list", "chats.jsonl")),
  type: z
    .enum(["completion", "alpaca", "chat_template"])
    .optional()
    .meta(about("completion, alpaca or chat_template; without it by the fields", "chat_template")),
  ds_type: z.enum(recordFormats).optional().meta(about("format, where names do not tell", recordFormats[0])),
  field: name.optional().meta(about("where the text of a completion is; without it text", "text")),
  field_messages: name.optional().meta(about("where a chat is; without it messages or conversations", "messages")),
  message_property_mappings: messageNames
    .optional()
    .meta(about("what a message calls its role and content", { role: "from", content: "value" })),
});

const model = z.strictObject({
  depth: count.optional().meta(about("one dial: depth layers, 64 · depth wide, heads of width 64", 4)),
  layers: count.optional().meta(about("blocks; needed unless depth is given", 6)),
  width: count.optional().meta(about("width of the stream; needed unless depth is given", 384)),
  heads: count.optional().meta(about("attention heads; needed unless depth is given", 6)),
  kv_heads: count.optional().meta(about("heads of keys and values; without it as many as heads", 2)),
  norm: name.optional().meta(about("rms (taken without it) or layer", "rms")),
  placement: name.optional().meta(about(`${placementNames.join(", ")}; without it pre`, "peri")),
  mlp: name.optional().meta(about("relu, gelu, gelu-tanh, swiglu (taken without it), geglu", "swiglu")),
  hidden: count.optional().meta(about("width inside the MLP; without it what the MLP's kind suggests", 1024)),
  positions: name.optional().meta(about("rotary (taken without it), learned, sinusoidal, alibi, none", "rotary")),
  bias: z.boolean().optional().meta(about("whether linear maps and norms have one; without it false", false)),
  dropout: decay.optional().meta(about("share of values dropped in training; without it 0", 0.1)),
  tie_embeddings: z.boolean().optional().meta(about("one matrix for embedding and head; without it false", true)),
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
    data: data.optional().meta(about("plain text to learn from; either this or datasets")),
    datasets: z.array(dataset).min(1).optional().meta(about("records to fine-tune on, instead of data")),
    sequence_len: count.default(512).meta(about("of datasets: most places in a row; longer samples are cut")),
    sample_packing: z.boolean().default(false).meta(about("several samples in a row, which do not see each other")),
    pad_to_sequence_len: z
      .boolean()
      .default(false)
      .meta(about("rows all sequence_len long, not as their batch's longest")),
    train_on_inputs: z.boolean().default(false).meta(about("learns prompts too, not answers alone")),
    val_set_size: z
      .number()
      .min(0)
      .default(0)
      .meta(about("samples of datasets held out: a share below 1, or a number")),
    model: model.prefault({}).meta(about("the network")),

    base_model: name.optional().meta(about("folder of a checkpoint to start from, instead of model", "./llama-3.2-1b")),
    adapter: z
      .enum(["lora"])
      .optional()
      .meta(about("trains low-rank additions and leaves base_model as it is", "lora")),
    lora_r: count.default(8).meta(about("rank of the additions")),
    lora_alpha: z.number().positive().default(16).meta(about("they are scaled by lora_alpha / lora_r")),
    lora_dropout: decay.default(0).meta(about("dropout on their inputs")),
    lora_target_modules: z
      .union([name, z.array(name).min(1)])
      .optional()
      .meta(about("names of the linear maps that get one; without it all-linear", ["q_proj", "v_proj"])),
    lora_target_linear: z.boolean().default(false).meta(about("every linear map but the head gets one")),
    unfrozen_parameters: z
      .array(name)
      .min(1)
      .optional()
      .meta(about("expressions: only parameters whose path begins like one are trained", ["lm_head"])),

    output_dir: name.default("runs").meta(about("folder of all runs: one folder each, and runs.db with their metrics")),
    resume_from_checkpoint: z
      .union([z.boolean(), name])
      .default(false)
      .meta(about("true: goes on with the latest run; a run's id: with that one")),
    seed: whole.default(0).meta(about("of weights, order of the data and dropout")),

    max_steps: count.optional().meta(about("updates; wins over num_epochs; with neither, 1000", 1000)),
    num_epochs: z.number().positive().optional().meta(about("passes over the data, where max_steps is not given", 3)),
    micro_batch_size: count.default(8).meta(about("samples per batch")),
    gradient_accumulation_steps: count.default(1).meta(about("batches per update, their gradients averaged")),
    gradient_checkpointing: z
      .boolean()
      .default(false)
      .meta(about("computes blocks again in the backward pass: less memory, more time")),

    optimizer: name.default("adamw").meta(about("adamw, adam, sgd, lion, or muon (for matrices; the rest by AdamW)")),
    learning_rate: z.number().positive().default(1e-3).meta(about("peak rate; the schedule multiplies it")),
    weight_decay: z.number().min(0).default(0.1).meta(about("decoupled; gains and biases are not decayed")),
    adam_beta1: decay.default(0.9).meta(about("decay of Adam's mean of gradients")),
    adam_beta2: decay.default(0.95).meta(about("decay of Adam's mean of squares")),
    adam_epsilon: z.number().positive().default(1e-8).meta(about("added to the root of Adam's mean of squares")),
    ema_decay: decay.default(0).meta(about("evaluates and keeps a moving average of the weights; 0: none")),
    max_grad_norm: z.number().min(0).default(1).meta(about("clips the gradient's global norm; 0: no clipping")),

    lr_scheduler: z
      .enum(["constant", "linear", "cosine", "wsd"])
      .default("cosine")
      .meta(about("form of the rate after the warm-up")),
    warmup_steps: whole.optional().meta(about("updates over which the rate climbs from 0; without it 0", 100)),
    warmup_ratio: share.optional().meta(about("the same as a share of the run; give one of them", 0.05)),
    decay_steps: count.optional().meta(about("updates of wsd's final decay; without it a tenth of the run", 200)),
    min_lr_ratio: share.default(0).meta(about("the rate at the end, as a share of learning_rate")),

    logging_steps: count.default(1).meta(about("updates between printed lines, and between points of TensorBoard")),
    eval_steps: whole.default(250).meta(about("updates between evaluations; 0: only at the end")),
    evals_per_epoch: whole.optional().meta(about("evaluations per pass over the data, instead of eval_steps", 4)),
    eval_batches: count.default(20).meta(about("batches per evaluation")),
    save_steps: whole.default(250).meta(about("updates between checkpoints; 0: only at the end")),
    saves_per_epoch: whole.optional().meta(about("checkpoints per pass over the data, instead of save_steps", 1)),
    save_total_limit: count.default(2).meta(about("checkpoints kept, the newest")),
    tensorboard: z.boolean().default(false).meta(about("writes TensorBoard files into the run's folder")),
    logging_dir: name.optional().meta(about("writes them below this folder instead, one folder per run", "logs")),

    on_non_finite: z.enum(["stop", "skip"]).default("stop").meta(about("what a loss that is not finite does")),
    fp16: z.boolean().default(false).meta(about("products in float16, weights and the rest in float32: for webgpu")),
    backend: z.enum(["cpu", "webgpu", "wasm"]).optional().meta(about("the engine; without it the best one", "cpu")),
    threads: count.optional().meta(about("of the engine; without it the machine's cores", 2)),
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
  .refine((c) => (c.warmup_steps ?? 0) <= (c.max_steps ?? (c.num_epochs === undefined ? 1000 : Infinity)), {
    message: "warmup_steps is larger than max_steps",
  })
  .refine((c) => c.adapter === undefined || c.base_model !== undefined, {
    message: "adapter is given without base_model, the checkpoint it adapts; give base_model",
  });

export type ConfigFile = z.output<typeof schema>;
