/**
 * Models of our own, by the options of `gpt`. One that is a Llama in all that matters is described as one, so that
 * other tools read it, too.
 */
import { type GatedMLP, normNames } from "../../nn/index.js";
import { fail } from "../../tensor/index.js";
import type { GPT, GPTOptions } from "../gpt.js";
import type { Architecture } from "./architecture.js";
import { HFConfig, type JsonObject } from "./hf-config.js";
import { same } from "./layout.js";
import { llamaLayout } from "./llama.js";

const modelType = "layerwise";
/** Options that change what the model computes, and are kept by value. */
const kept = [
  "layers",
  "width",
  "heads",
  "kvHeads",
  "headWidth",
  "vocabulary",
  "context",
  "norm",
  "placement",
  "mlp",
  "hidden",
  "positions",
  "embedNorm",
  "finalNorm",
  "qkNorm",
  "bias",
  "attentionScale",
  "attentionSoftcap",
  "logitSoftcap",
  "embeddingScale",
  "tieEmbeddings",
] as const satisfies readonly (keyof GPTOptions)[];

const base = llamaLayout("layerwise", normNames);

export const layerwise: Architecture = {
  modelType,
  architectures: ["LayerwiseForCausalLM"],
  layout: () => ({
    ...base,
    rules: [...base.rules, same("model.embed_positions.weight"), same("model.embed_norm.{p}")],
  }),
  options: (config) =>
    Object.fromEntries(
      kept.flatMap((name) => (config.values[name] === undefined ? [] : [[name, config.values[name]]])),
    ) as unknown as GPTOptions,
};

/** A `config.json` for a model that came from none. Throws for options that were given as functions: they have no name. */
export function describeModel(model: GPT): JsonObject {
  const { options, config } = model;
  const hidden = (model.model.layers[0]?.mlp as Partial<GatedMLP> | undefined)?.up_proj?.outputs;
  const own = { ...options, ...config, hidden: options.hidden ?? hidden };
  if (isLlama(options)) return asLlama(model, own.hidden as number);
  const entries = kept.map((name) => [name, own[name]] as const);
  for (const [name, value] of [...entries, ["mask", options.mask] as const])
    if (typeof value === "function" || (typeof value === "object" && name !== "bias"))
      fail("argument", `config.json cannot hold ${name}, which was given as a value of code; give it by name`);
  return {
    architectures: layerwise.architectures,
    model_type: modelType,
    ...Object.fromEntries(entries.filter(([, value]) => value !== undefined)),
    // Names that tools which show any checkpoint look for.
    hidden_size: config.width,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    vocab_size: config.vocabulary,
    max_position_embeddings: config.context,
  };
}

const isLlama = ({
  norm = "rms",
  placement = "pre",
  mlp = "swiglu",
  positions = "rotary",
  ...rest
}: GPTOptions): boolean =>
  norm === "rms" &&
  placement === "pre" &&
  mlp === "swiglu" &&
  positions === "rotary" &&
  rest.finalNorm !== false &&
  ![
    rest.mask,
    rest.embedNorm,
    rest.qkNorm,
    rest.bias,
    rest.attentionScale,
    rest.attentionSoftcap,
    rest.logitSoftcap,
    rest.embeddingScale,
  ].some(Boolean);

const asLlama = ({ config, options }: GPT, hidden: number): JsonObject => ({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  hidden_size: config.width,
  intermediate_size: hidden,
  num_hidden_layers: config.layers,
  num_attention_heads: config.heads,
  num_key_value_heads: config.kvHeads,
  head_dim: config.headWidth,
  vocab_size: config.vocabulary,
  max_position_embeddings: config.context,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: options.tieEmbeddings ?? false,
  torch_dtype: "float32",
});

export const emptyConfig = new HFConfig({});
