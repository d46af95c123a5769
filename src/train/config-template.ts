import { stringify } from "yaml";
import { type ConfigKey, configKeys } from "./config-keys.js";

/** Values that a template sets, by dotted key; every other key keeps its default. */
export type TemplateValues = Readonly<Record<string, unknown>>;

const gptOf = (layers: number, width: number, heads: number): TemplateValues => ({
  "model.layers": layers,
  "model.width": width,
  "model.heads": heads,
});

/** Starting points of `layerwise init`. */
export const templates = {
  /** A language model on bytes, trained from nothing. */
  lm: { "data.path": "corpus.txt", ...gptOf(6, 256, 4), warmup_steps: 100 },
  /** A small model of characters that learns in minutes: the sizes of nanoGPT's on a CPU. */
  chars: {
    "data.path": "corpus.txt",
    "data.tokens": "characters",
    "data.context": 64,
    ...gptOf(4, 128, 4),
    max_steps: 2000,
    micro_batch_size: 12,
    adam_beta2: 0.99,
    warmup_steps: 100,
    min_lr_ratio: 0.1,
  },
  /** LoRA on a checkpoint with chats, and the sizes axolotl's examples use. */
  finetune: {
    datasets: [{ path: "chats.jsonl", type: "chat_template" }],
    val_set_size: 0.05,
    base_model: "./model",
    adapter: "lora",
    lora_r: 16,
    lora_alpha: 32,
    lora_dropout: 0.05,
    lora_target_linear: true,
    num_epochs: 1,
    micro_batch_size: 2,
    gradient_accumulation_steps: 2,
    learning_rate: 2e-4,
    weight_decay: 0,
    adam_beta2: 0.999,
    warmup_ratio: 0.1,
  },
} as const satisfies Readonly<Record<string, TemplateValues>>;

export type TemplateName = keyof typeof templates;

/** The keys that begin a new paragraph of the file. */
const paragraphs = new Set([
  "sequence_len",
  "base_model",
  "output_dir",
  "max_steps",
  "optimizer",
  "lr_scheduler",
  "logging_steps",
  "on_non_finite",
]);
const commentColumn = 38;

/**
 * A whole configuration as commented YAML: every key of the schema with its value and what it does. A key that has no
 * value is there as a comment, with an example.
 */
export function configTemplate(values: TemplateValues): string {
  const head = [
    "# A training configuration: layerwise train <this file>",
    "# Every key is here with its default, or the value of this template. What is commented out is not set.",
  ];
  return `${[...head, ...configKeys.flatMap((key) => section(key, values))].join("\n")}\n`;
}

function section(key: ConfigKey, values: TemplateValues): string[] {
  const { name, keys, description, isList, isRequired } = key;
  if (!keys) return [...(paragraphs.has(name) ? [""] : []), line(key, values[name])];
  if (isList) return list(key, values[name] as readonly TemplateValues[] | undefined);
  const given = (inner: ConfigKey): unknown => values[`${name}.${inner.name}`];
  const rows = keys.map((inner) => `  ${line(inner, given(inner), 2)}`);
  const lacks = keys.some((inner) => inner.isRequired && given(inner) === undefined);
  if (!isRequired && lacks)
    return ["", withComment(`# ${name}:`, description), ...keys.map((inner) => commented(inner, "#   "))];
  const isUnset = !isRequired && rows.every((row) => /^\s*#/.test(row));
  // A section of comments alone would be read as null.
  return ["", withComment(`${isUnset ? "# " : ""}${name}:`, description), ...rows];
}

/** A key of a section that is not there, with its default or an example. */
const commented = (key: ConfigKey, before: string): string =>
  withComment(`${before}${key.name}: ${inline(key.default ?? key.example)}`, key.description);

/** `name: value      # what it does (what it takes)`; commented out where there is no value. */
function line(
  { name, default: byDefault, example, description, values }: ConfigKey,
  given: unknown,
  indent = 0,
): string {
  const value = given ?? byDefault;
  const text = `${value === undefined ? "# " : ""}${name}: ${inline(value ?? example)}`;
  return withComment(text, values && !isSaid(values, description) ? `${description} (${values})` : description, indent);
}

/** What the description or the value itself says is not said again. */
const isSaid = (values: string, description: string): boolean =>
  ["true or false", "a list"].includes(values) || description.includes(values);

/** The first entry of a list of sections with all its keys; as comments where the template has none. */
function list({ name, description, keys = [] }: ConfigKey, [entry]: readonly TemplateValues[] = []): string[] {
  const rows = keys.map((key, i) => {
    if (entry) return `  ${i === 0 ? "- " : "  "}${line(key, entry[key.name], 4)}`;
    return commented(key, `#   ${i === 0 ? "- " : "  "}`);
  });
  return ["", withComment(`${entry ? "" : "# "}${name}:`, description), ...rows];
}

const withComment = (text: string, comment: string, indent = 0): string =>
  comment === "" ? text : `${text.padEnd(commentColumn - indent)} # ${comment}`;

const inline = (value: unknown): string =>
  value === undefined ? "" : stringify(value, { collectionStyle: "flow", flowCollectionPadding: false }).trimEnd();
