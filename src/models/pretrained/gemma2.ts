/**
 * Gemma 2: norms on both sides of each sublayer, gains kept as g − 1, capped scores and logits, every second layer with
 * a sliding window, embeddings times √width. Source: "Gemma 2: Improving Open Language Models at a Practical Size", 2024.
 */
import { causal, peri, rmsNorm, slidingWindow } from "../../nn/index.js";
import type { Architecture } from "./architecture.js";
import type { HFConfig } from "./hf-config.js";
import { activations, llamaLayout, llamaOptions } from "./llama.js";

const normNames = [
  "input_layernorm",
  "post_attention_layernorm",
  "pre_feedforward_layernorm",
  "post_feedforward_layernorm",
];

export const gemma2: Architecture = {
  modelType: "gemma2",
  architectures: ["Gemma2ForCausalLM"],
  layout: () => llamaLayout("Gemma 2", normNames),
  options: (config) => {
    const headWidth = config.count("head_dim", 256);
    const eps = config.number("rms_norm_eps", 1e-6);
    const [attentionSoftcap, logitSoftcap] = [
      cap(config, "attn_logit_softcapping"),
      cap(config, "final_logit_softcapping"),
    ];
    const width = config.count("hidden_size");
    const mlp = config.choice("hidden_activation", "gelu_pytorch_tanh", activations);
    return {
      ...llamaOptions(config),
      headWidth,
      mlp: mlp({ hidden: config.count("intermediate_size") }),
      norm: (n) => rmsNorm(n, { eps, gainOffset: 1 }),
      placement: peri(),
      embedNorm: false,
      bias: { attention: config.flag("attention_bias", false) },
      tieEmbeddings: config.flag("tie_word_embeddings", true),
      embeddingScale: Math.sqrt(width),
      attentionScale: 1 / Math.sqrt(config.number("query_pre_attn_scalar", 256)),
      ...(attentionSoftcap !== undefined && { attentionSoftcap }),
      ...(logitSoftcap !== undefined && { logitSoftcap }),
      mask: windows(config),
    };
  },
};

const cap = (config: HFConfig, key: string): number | undefined => config.optional(key);

/** The first layer has the window, the second has none, and so on; newer files list every layer's kind. */
function windows(config: HFConfig) {
  const window = slidingWindow(config.count("sliding_window", 4096));
  const kinds = config.list("layer_types");
  return (layer: number) => ((kinds ? kinds[layer] === "sliding_attention" : layer % 2 === 0) ? window : causal());
}
