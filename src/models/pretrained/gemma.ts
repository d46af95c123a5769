/**
 * Gemma keeps gains as g − 1 and multiplies embeddings by √width. Gemma 2 adds norms behind each sublayer, capped scores
 * and logits, and a sliding window in every second layer.
 * Sources: "Gemma: Open Models Based on Gemini Research and Technology", 2024; "Gemma 2: Improving Open Language Models
 * at a Practical Size", 2024.
 */
import { causal, normNames, peri, rmsNorm, slidingWindow } from "../../nn/index.js";
import type { GPTOptions } from "../gpt.js";
import type { Architecture } from "./architecture.js";
import type { HFConfig } from "./hf-config.js";
import { gatedMLPs, llamaLayout, llamaOptions, preNormNames } from "./llama.js";

/** What both share. The first one's `hidden_act: "gelu"` has always been the form with a tanh. */
function gemmaOptions(config: HFConfig): GPTOptions {
  const eps = config.number("rms_norm_eps", 1e-6);
  const mlp = config.choice("hidden_activation", "gelu_pytorch_tanh", gatedMLPs);
  return {
    ...llamaOptions(config),
    headWidth: config.count("head_dim", 256),
    mlp: mlp({ hidden: config.count("intermediate_size") }),
    norm: (n) => rmsNorm(n, { eps, gainOffset: 1 }),
    bias: { attention: config.flag("attention_bias", false) },
    tieEmbeddings: config.flag("tie_word_embeddings", true),
    embeddingScale: Math.sqrt(config.count("hidden_size")),
  };
}

export const gemma: Architecture = {
  modelType: "gemma",
  architectures: ["GemmaForCausalLM"],
  layout: () => llamaLayout("Gemma", preNormNames),
  options: gemmaOptions,
};

export const gemma2: Architecture = {
  modelType: "gemma2",
  architectures: ["Gemma2ForCausalLM"],
  layout: () => llamaLayout("Gemma 2", normNames),
  options: (config) => {
    const attentionSoftcap = config.optional("attn_logit_softcapping");
    const logitSoftcap = config.optional("final_logit_softcapping");
    return {
      ...gemmaOptions(config),
      placement: peri(),
      embedNorm: false,
      attentionScale: 1 / Math.sqrt(config.number("query_pre_attn_scalar", 256)),
      ...(attentionSoftcap !== undefined && { attentionSoftcap }),
      ...(logitSoftcap !== undefined && { logitSoftcap }),
      mask: windows(config),
    };
  },
};

/** The first layer has the window, the second has none, and so on; newer files list every layer's kind. */
function windows(config: HFConfig) {
  const window = slidingWindow(config.count("sliding_window", 4096));
  const kinds = config.list("layer_types");
  return (layer: number) => ((kinds ? kinds[layer] === "sliding_attention" : layer % 2 === 0) ? window : causal());
}
