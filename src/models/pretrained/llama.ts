/** Llama and the models of its layout: Mistral, Qwen 2 and 3. Our names are theirs, so weights load as they are. */
import {
  type Biases,
  causal,
  geglu,
  gegluTanh,
  linearScaling,
  llama3Scaling,
  type Mask,
  type RotaryScaling,
  rmsNorm,
  rotary,
  slidingWindow,
  swiglu,
  yarnScaling,
} from "../../nn/index.js";
import type { GPTOptions } from "../gpt.js";
import type { Architecture } from "./architecture.js";
import type { HFConfig } from "./hf-config.js";
import { type Layout, same } from "./layout.js";

/** Gated MLPs, by the name of their activation in a configuration. */
export const gatedMLPs = {
  silu: swiglu,
  swish: swiglu,
  gelu: geglu,
  gelu_pytorch_tanh: gegluTanh,
  gelu_new: gegluTanh,
};

export const llamaLayout = (name: string, norms: readonly string[]): Layout => ({
  name,
  rules: [
    same("model.embed_tokens.weight"),
    ...["q_proj", "k_proj", "v_proj", "o_proj"].map((name) => same(`model.layers.{l}.self_attn.${name}.{p}`)),
    ...["q_norm", "k_norm"].map((name) => same(`model.layers.{l}.self_attn.${name}.{p}`)),
    ...["gate_proj", "up_proj", "down_proj"].map((name) => same(`model.layers.{l}.mlp.${name}.{p}`)),
    ...norms.map((name) => same(`model.layers.{l}.${name}.{p}`)),
    same("model.norm.{p}"),
    same("lm_head.weight"),
  ],
  ignored: /rotary_emb\.inv_freq$/,
});

/** What all decoders of this layout share. */
export function llamaOptions(config: HFConfig): GPTOptions {
  const [width, heads] = [config.count("hidden_size"), config.count("num_attention_heads")];
  const headWidth = config.optional("head_dim") ?? width / heads;
  const eps = config.number("rms_norm_eps", 1e-6);
  const mlp = config.choice("hidden_act", "silu", gatedMLPs);
  config.only("pretraining_tp", 1);
  return {
    layers: config.layers("num_hidden_layers"),
    width,
    heads,
    headWidth,
    kvHeads: config.count("num_key_value_heads", heads),
    vocabulary: config.count("vocab_size"),
    context: config.count("max_position_embeddings", 2048),
    norm: (n) => rmsNorm(n, { eps }),
    positions: rotaryOf(config),
    mlp: mlp({ hidden: config.count("intermediate_size") }),
    tieEmbeddings: config.flag("tie_word_embeddings", false),
  };
}

/** Where rotary settings are: keys of their own, or together in `rope_parameters` (newer files). */
export function rotaryOf(config: HFConfig, fraction = 1) {
  const own = config.object("rope_parameters") ?? config.object("rope_scaling");
  const base = config.object("rope_parameters")?.optional("rope_theta") ?? config.number("rope_theta", 10000);
  const scaling = own && scalingOf(own, config);
  return rotary({ base, fraction, ...(scaling && { scaling }) });
}

function scalingOf(own: HFConfig, config: HFConfig): RotaryScaling | undefined {
  const key = own.values.rope_type === undefined ? "type" : "rope_type";
  const original = () => own.count("original_max_position_embeddings", config.count("max_position_embeddings", 2048));
  return own.choice<() => RotaryScaling | undefined>(key, "default", {
    default: () => undefined,
    linear: () => linearScaling(own.number("factor")),
    llama3: () =>
      llama3Scaling({
        factor: own.number("factor"),
        lowFreqFactor: own.number("low_freq_factor"),
        highFreqFactor: own.number("high_freq_factor"),
        original: original(),
      }),
    yarn: () => {
      for (const name of ["mscale", "mscale_all_dim", "truncate"]) own.only(name, undefined);
      const attention = own.optional("attention_factor");
      return yarnScaling({
        factor: own.number("factor"),
        original: original(),
        betaFast: own.number("beta_fast", 32),
        betaSlow: own.number("beta_slow", 1),
        ...(attention !== undefined && { attention }),
      });
    },
  })();
}

export const preNormNames = ["input_layernorm", "post_attention_layernorm"];

const family = (
  modelType: string,
  architecture: string,
  extra: (config: HFConfig) => Partial<GPTOptions>,
): Architecture => ({
  modelType,
  architectures: [architecture],
  options: (config) => ({ ...llamaOptions(config), ...extra(config) }),
  layout: () => llamaLayout(modelType, preNormNames),
});

export const llama = family("llama", "LlamaForCausalLM", (config) => ({
  bias: { attention: config.flag("attention_bias", false), mlp: config.flag("mlp_bias", false) } satisfies Biases,
}));

export const mistral = family("mistral", "MistralForCausalLM", (config) => {
  const window = config.optional("sliding_window");
  return { mask: window === undefined ? causal() : slidingWindow(window) };
});

export const qwen2 = family("qwen2", "Qwen2ForCausalLM", (config) => ({
  bias: { attention: "qkv" },
  mask: layeredWindow(config),
}));

export const qwen3 = family("qwen3", "Qwen3ForCausalLM", (config) => ({
  headWidth: config.count("head_dim", 128),
  bias: { attention: config.flag("attention_bias", false) },
  qkNorm: true,
  mask: layeredWindow(config),
}));

/** Qwen's window holds from block `max_window_layers` on; newer files list every layer's kind. */
function layeredWindow(config: HFConfig): Mask | ((layer: number) => Mask) {
  const kinds = config.list("layer_types");
  if (!config.flag("use_sliding_window", false) && !kinds?.includes("sliding_attention")) return causal();
  const window = slidingWindow(config.count("sliding_window", 4096));
  const first = config.number("max_window_layers", 28);
  return (layer) => ((kinds ? kinds[layer] === "sliding_attention" : layer >= first) ? window : causal());
}
